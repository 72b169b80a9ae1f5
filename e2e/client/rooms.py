"""What a client must know of rooms to write to them: members, names, invitations. Pure.

Source: C-S API v1.19, "Syncing", "Calculating the display name for a room".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ENCRYPTION_STATE = ("m.room.encryption", "m.room.history_visibility")

_MAX_NAMES = 3


@dataclass(slots=True)
class Room:
    """members: user ID → membership."""

    room_id: str
    name: str | None = None
    alias: str | None = None
    encrypted: bool = False
    history_visibility: str = "shared"
    members: dict[str, str] = field(default_factory=dict)
    display_names: dict[str, str] = field(default_factory=dict)

    def readers(self) -> list[str]:
        """Who should be able to read what is sent now: members, and the invited where the history
        will be theirs when they join.
        """
        counts = {"join"} if self.history_visibility == "joined" else {"join", "invite"}
        return [user_id for user_id, membership in self.members.items() if membership in counts]

    def title(self, own_id: str) -> str:
        if self.name or self.alias:
            return str(self.name or self.alias)
        others = [user_id for user_id in self.readers() if user_id != own_id]
        names = [self.display_names.get(user_id, user_id) for user_id in others]
        rest = len(names) - _MAX_NAMES
        shown = ", ".join(names[:_MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")
        return shown or self.room_id


@dataclass(frozen=True, slots=True)
class Invitation:
    room_id: str
    name: str | None
    sender: str


class Rooms:
    """Built from a sync with full state, kept up by the ones after it."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id
        self.joined: dict[str, Room] = {}
        self.invited: dict[str, Invitation] = {}

    def apply(self, answer: Mapping[str, Any]) -> None:
        """An answer of `/sync`."""
        rooms = answer.get("rooms", {})
        for room_id, joined in rooms.get("join", {}).items():
            room = self.joined.setdefault(room_id, Room(room_id))
            self.invited.pop(room_id, None)
            for event in state_events(joined):
                _apply(room, event)
        for room_id, invited in rooms.get("invite", {}).items():
            events = invited.get("invite_state", {}).get("events", [])
            self.invited[room_id] = _invitation(room_id, self._own_id, events)
        for room_id in rooms.get("leave", {}):
            self.joined.pop(room_id, None)
            self.invited.pop(room_id, None)

    def find(self, text: str) -> Room | None:
        """By ID, alias or name."""
        if text in self.joined:
            return self.joined[text]
        named = [
            room
            for room in self.joined.values()
            if text in (room.alias, room.name, room.title(self._own_id))
        ]
        return named[0] if len(named) == 1 else None


def state_events(room: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of a joined room of a sync, in order: the state before the timeline, and that in it."""
    for section in ("state", "timeline"):
        for event in room.get(section, {}).get("events", []):
            if "state_key" in event and isinstance(event.get("content"), dict):
                yield event


def somebody_left(room: Mapping[str, Any], *, full_state: bool) -> bool:
    """Whether a member may be gone since the sync before. full_state: the sync tells of everybody
    who ever was in the room, so who left in a gap cannot be seen.
    Source: "m.megolm.v1.aes-sha2", v1.19: in a limited sync, any membership other than join counts.
    """
    is_limited = room.get("timeline", {}).get("limited") is True
    if full_state:
        events = room.get("timeline", {}).get("events", [])
        return is_limited or _has_member(events, {"leave", "ban"})
    gone = {"leave", "ban", "invite", "knock"} if is_limited else {"leave", "ban"}
    return _has_member(state_events(room), gone)


def _has_member(events: Iterable[Mapping[str, Any]], memberships: set[str]) -> bool:
    return any(
        event.get("type") == "m.room.member" and event["content"].get("membership") in memberships
        for event in events
    )


def _apply(room: Room, event: Mapping[str, Any]) -> None:
    content = event["content"]
    match event["type"]:
        case "m.room.member":
            user_id = str(event["state_key"])
            room.members[user_id] = str(content.get("membership"))
            if isinstance(content.get("displayname"), str):
                room.display_names[user_id] = content["displayname"]
        case "m.room.encryption":
            room.encrypted = room.encrypted or "algorithm" in content
        case "m.room.history_visibility":
            room.history_visibility = str(content.get("history_visibility"))
        case "m.room.name":
            room.name = content.get("name") or None
        case "m.room.canonical_alias":
            room.alias = content.get("alias") or None


def _invitation(room_id: str, own_id: str, events: list[dict[str, Any]]) -> Invitation:
    name, sender = None, ""
    for event in events:
        if event.get("type") == "m.room.name":
            name = event["content"].get("name")
        if event.get("type") == "m.room.member" and event.get("state_key") == own_id:
            sender = str(event.get("sender"))
    return Invitation(room_id, name, sender)
