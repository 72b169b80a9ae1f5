"""What a client shows that passes events on and leaves it to programs to make something of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.clients.seen import the

Content = Mapping[str, Any]


@dataclass
class Shown:
    """A message. body: None once it is deleted."""

    event_id: str
    body: str | None
    thread: str | None
    reply_to: str | None


@dataclass
class Screen:
    """A room, from its events in the order they come in."""

    messages: dict[str, Shown] = field(default_factory=dict)
    reactions: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Message, key and sender, by the event of the reaction."""
    members: dict[str, str] = field(default_factory=dict)
    """Names of those who are in the room."""
    receipts: dict[str, str] = field(default_factory=dict)
    """How far each user has read."""
    writing: list[str] = field(default_factory=list)
    name: str | None = None
    topic: str | None = None
    unread: int = 0

    def takes(self, event: Mapping[str, Any]) -> None:
        content = event.get("content") or {}
        match event["type"]:
            case "m.room.message":
                self._message(event, content)
            case "m.reaction" if "m.relates_to" in content:
                relation = content["m.relates_to"]
                reaction = (relation["event_id"], relation["key"], event["sender"])
                self.reactions[event["event_id"]] = reaction
            case "m.room.redaction":
                self._redaction(content.get("redacts") or event["redacts"])
            case "m.room.member":
                self._member(event["state_key"], content)
            case "m.room.name":
                self.name = content.get("name")
            case "m.room.topic":
                self.topic = content.get("topic")

    def main(self) -> list[str]:
        return [
            each.body
            for each in self.messages.values()
            if each.thread is None and each.body is not None
        ]

    def thread(self, root: str) -> list[str]:
        return [
            each.body
            for each in self.messages.values()
            if each.thread == root and each.body is not None
        ]

    def find(self, text: str) -> Shown:
        return the(each for each in self.messages.values() if each.body == text)

    def counts(self, text: str) -> dict[str, int]:
        """Reactions to a message, by key."""
        event_id = self.find(text).event_id
        keys = [key for target, key, _ in self.reactions.values() if target == event_id]
        return {key: keys.count(key) for key in keys}

    def reaction_of(self, text: str, key: str, sender: str) -> str:
        """The event of somebody's reaction."""
        wanted = (self.find(text).event_id, key, sender)
        return the(event_id for event_id, each in self.reactions.items() if each == wanted)

    def has_read(self, user_id: str, text: str) -> bool:
        order = list(self.messages)
        upto = self.receipts.get(user_id)
        return upto in order and order.index(upto) >= order.index(self.find(text).event_id)

    def _message(self, event: Mapping[str, Any], content: Content) -> None:
        if not content:
            return
        relation = content.get("m.relates_to") or {}
        if relation.get("rel_type") == "m.replace":
            original = self.messages.get(relation["event_id"])
            if original is not None and original.body is not None:
                original.body = content["m.new_content"]["body"]
            return
        in_thread = relation.get("rel_type") == "m.thread"
        reply_to = (relation.get("m.in_reply_to") or {}).get("event_id")
        self.messages[event["event_id"]] = Shown(
            event_id=event["event_id"],
            body=content["body"],
            thread=relation["event_id"] if in_thread else None,
            reply_to=None if in_thread and relation.get("is_falling_back") else reply_to,
        )

    def _redaction(self, event_id: str) -> None:
        self.reactions.pop(event_id, None)
        if event_id in self.messages:
            self.messages[event_id].body = None

    def _member(self, user_id: str, content: Content) -> None:
        if content["membership"] == "join":
            self.members[user_id] = content.get("displayname") or user_id
        else:
            self.members.pop(user_id, None)
