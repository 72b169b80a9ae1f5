"""A client that follows /sync, and what it believes: to be held against a first sync.

view = ClientView("@alice:example.org")
view.take(answer)                  # the JSON of each answer, in order
assert view.beliefs() == fresh.beliefs()
"""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
NOTHING_NEW = {"next_batch", "device_one_time_keys_count", "device_unused_fallback_key_types"}
"""What an answer has that tells nothing."""


@dataclass
class RoomView:
    """One room as a client knows it. timeline: without what was before its last gap."""

    state: dict[tuple[str, str], str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    contents: dict[str, Json] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)
    summary: Json = field(default_factory=dict)
    counts: Json = field(default_factory=dict)

    def take(self, part: Json) -> None:
        timeline = part["timeline"]
        if timeline["limited"]:
            self.timeline = []
        for event in part.get("state", {}).get("events", ()):
            self._believe(event)
        for event in timeline["events"]:
            self.timeline.append(event["event_id"])
            self.contents[event["event_id"]] = event["content"]
            if "state_key" in event and "state_after" not in part:
                self._believe(event)
        for event in part.get("state_after", {}).get("events", ()):
            self._believe(event)
        for event in part.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        for event in part.get("ephemeral", {}).get("events", ()):
            self._hear(event)
        self.summary |= part.get("summary", {})
        self.counts = part.get("unread_notifications", self.counts)

    def _believe(self, event: Json) -> None:
        self.state[event["type"], event["state_key"]] = event["event_id"]

    def _hear(self, event: Json) -> None:
        if event["type"] == "m.typing":
            self.typing = event["content"]["user_ids"]
            return
        for event_id, kinds in event["content"].items():
            for kind, users in kinds.items():
                for user_id, receipt in users.items():
                    key = user_id, kind, receipt.get("thread_id", "")
                    self.receipts[key] = event_id, receipt["ts"]


@dataclass
class ClientView:
    """Everything that one client knows."""

    user_id: str
    since: str | None = None
    joined: dict[str, RoomView] = field(default_factory=dict)
    invited: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    knocked: set[str] = field(default_factory=set)
    left: dict[str, Json] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    presence: dict[str, Json] = field(default_factory=dict)

    def take(self, answer: Json) -> None:
        self.since = answer["next_batch"]
        rooms = answer.get("rooms", {})
        for room_id, part in rooms.get("leave", {}).items():
            self._forget(room_id)
            self.left[room_id] = part
        for room_id, part in rooms.get("join", {}).items():
            known = self.joined.get(room_id)
            self._forget(room_id)
            self.joined[room_id] = known or RoomView()
            self.joined[room_id].take(part)
        for room_id, part in rooms.get("invite", {}).items():
            self._forget(room_id)
            events = part["invite_state"]["events"]
            self.invited[room_id] = {(each["type"], each["state_key"]) for each in events}
        for room_id in rooms.get("knock", {}):
            self._forget(room_id)
            self.knocked.add(room_id)
        for event in answer.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        for event in answer.get("presence", {}).get("events", ()):
            self.presence[event["sender"]] = event["content"]

    def _forget(self, room_id: str) -> None:
        self.joined.pop(room_id, None)
        self.invited.pop(room_id, None)
        self.knocked.discard(room_id)
        self.left.pop(room_id, None)

    def holds_against(self, fresh: "ClientView") -> None:
        """What this client was told bit by bit is what a new one is told at once."""
        assert self.joined.keys() == fresh.joined.keys()
        assert self.invited.keys() == fresh.invited.keys()
        assert self.knocked == fresh.knocked
        assert self.account_data == fresh.account_data
        for room_id, room in self.joined.items():
            other = fresh.joined[room_id]
            assert room.state == other.state, room_id
            assert room.account_data == other.account_data
            assert room.receipts == other.receipts
            assert room.typing == other.typing
            assert room.summary | other.summary == room.summary
            assert room.counts == other.counts
            shorter = min(len(room.timeline), len(other.timeline))
            assert (
                room.timeline[-shorter or len(room.timeline) :]
                == (other.timeline[-shorter or len(other.timeline) :])
            )
