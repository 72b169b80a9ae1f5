"""How messages, edits, reactions, replies and threads read in event content.

Source: C-S API v1.19, "Instant Messaging", "Event replacements", "Event annotations and
reactions", "Threading", "Rich replies". Content comes from anybody: every field may be of any type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from homeserver.attachments import caption_in, file_in, with_caption
from homeserver.events.event import Event
from homeserver.identifiers import EventID

ENCRYPTED_TYPE = "m.room.encrypted"
MESSAGE_TYPES = frozenset({"m.room.message", ENCRYPTED_TYPE, "m.sticker"})
REPLACE = "m.replace"
ANNOTATION = "m.annotation"
THREAD = "m.thread"
REFERENCE = "m.reference"
REACTION_TYPE = "m.reaction"
REDACTION_TYPE = "m.room.redaction"
MESSAGE_TYPE = "m.room.message"

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Relation:
    """`m.relates_to` with a `rel_type`. `key` only for annotations."""

    rel_type: str
    event_id: EventID
    key: str | None = None


def relation_of(event: Event) -> Relation | None:
    """The relation of an event to another, or None where there is none that can be read."""
    return None if event.is_state else relation_in(event.content)


def relation_in(content: Mapping[str, Any]) -> Relation | None:
    """The relation that the content of a message event names."""
    relates = content.get("m.relates_to")
    if relates is None or not isinstance(relates, Mapping):
        return None
    rel_type, event_id, key = relates.get("rel_type"), relates.get("event_id"), relates.get("key")
    if not isinstance(rel_type, str) or not isinstance(event_id, str):
        return None
    if rel_type == ANNOTATION and not isinstance(key, str):
        return None
    return Relation(rel_type, EventID(event_id), key if rel_type == ANNOTATION else None)


def is_message(event: Event) -> bool:
    """Whether it stands on its own in a conversation: a message that replaces none."""
    if event.is_state or event.type not in MESSAGE_TYPES:
        return False
    relation = relation_of(event)
    return relation is None or relation.rel_type != REPLACE


def reply_of(event: Event) -> EventID | None:
    """The event that it answers ("Rich replies"); the fall-back reply of a thread is none."""
    relates = event.content.get("m.relates_to")
    if relates is None or not isinstance(relates, Mapping):
        return None
    # C-S API v1.19 "Fallback for unthreaded clients": is_falling_back marks a made-up reply.
    if relates.get("rel_type") == THREAD and relates.get("is_falling_back") is True:
        return None
    target = relates.get("m.in_reply_to")
    event_id = target.get("event_id") if isinstance(target, Mapping) else None
    return EventID(event_id) if isinstance(event_id, str) else None


def thread_of(event: Event) -> EventID | None:
    """The root of the thread that it stands in."""
    relation = relation_of(event)
    return relation.event_id if relation is not None and relation.rel_type == THREAD else None


def text_of(content: Mapping[str, Any]) -> str:
    """The plain text of a message's content; "" where it has none (redacted, encrypted)."""
    body = content.get("body")
    return body if isinstance(body, str) else ""


def shown_text_of(content: Mapping[str, Any]) -> str:
    """What is said in a message: its text, or what is said about its file."""
    return text_of(content) if file_in(content) is None else caption_in(content)


def new_content_of(edit: Event) -> Mapping[str, Any]:
    """What an edit puts in the place of the content: `m.new_content`, or {} if malformed."""
    content = edit.content.get("m.new_content")
    return content if isinstance(content, Mapping) else {}


def text_content(
    text: str, *, reply_to: EventID | None = None, thread: EventID | None = None
) -> dict[str, Any]:
    """Content of an `m.text` message, an answer and in a thread where asked for."""
    return related({"msgtype": "m.text", "body": text}, reply_to=reply_to, thread=thread)


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """What an encrypted message says, for those who have the key of its session.

    Source: C-S API v1.19 "m.room.encrypted".
    """

    algorithm: str
    ciphertext: str
    session_id: str
    sender_key: str | None = None
    device_id: str | None = None
    reference: EventID | None = None
    """The event that it belongs to ("Reference relations")."""

    def content(self) -> dict[str, Any]:
        """As content of an event."""
        said = {
            "algorithm": self.algorithm,
            "ciphertext": self.ciphertext,
            "session_id": self.session_id,
            "sender_key": self.sender_key,
            "device_id": self.device_id,
        }
        given = {name: value for name, value in said.items() if value is not None}
        if self.reference is None:
            return given
        return {**given, "m.relates_to": {"rel_type": REFERENCE, "event_id": self.reference}}


def ciphertext_of(event: Event) -> Ciphertext | None:
    """None for what no device of a room can read: redacted, malformed, or of Olm."""
    content = event.content
    algorithm, text = content.get("algorithm"), content.get("ciphertext")
    session_id = content.get("session_id")
    if not (isinstance(algorithm, str) and isinstance(text, str) and isinstance(session_id, str)):
        return None
    sender_key, device_id = content.get("sender_key"), content.get("device_id")
    return Ciphertext(
        algorithm,
        text,
        session_id,
        sender_key if isinstance(sender_key, str) else None,
        device_id if isinstance(device_id, str) else None,
        _reference_of(event),
    )


def _reference_of(event: Event) -> EventID | None:
    relation = relation_of(event)
    return relation.event_id if relation is not None and relation.rel_type == REFERENCE else None


def encrypted_edit(said: Ciphertext, target: EventID) -> dict[str, Any]:
    """Content of an edit whose `m.new_content` is inside ("Edits of encrypted events")."""
    return {**said.content(), "m.relates_to": {"rel_type": REPLACE, "event_id": target}}


def related(
    content: dict[str, Any], *, reply_to: EventID | None = None, thread: EventID | None = None
) -> dict[str, Any]:
    """The content as an answer, and in a thread."""
    relates: dict[str, Any] = {}
    if thread is not None:
        relates |= {"rel_type": THREAD, "event_id": thread}
        if reply_to is None:
            relates |= {"is_falling_back": True, "m.in_reply_to": {"event_id": thread}}
        else:
            relates["is_falling_back"] = False
    if reply_to is not None:
        relates["m.in_reply_to"] = {"event_id": reply_to}
    return {**content, "m.relates_to": relates} if relates else content


def edit_content(
    text: str, target: EventID, edited: Mapping[str, Any] = _NOTHING
) -> dict[str, Any]:
    """Content of an edit; `* ` marks it for clients that know no edits. edited: content of the
    target, whose file stays.
    """
    content = with_caption(edited, text) or {"msgtype": "m.text", "body": text}
    return {
        **content,
        "body": f"* {text}",
        "m.new_content": content,
        "m.relates_to": {"rel_type": REPLACE, "event_id": target},
    }


def reaction_content(key: str, target: EventID) -> dict[str, Any]:
    """Content of an `m.reaction`."""
    return {"m.relates_to": {"rel_type": ANNOTATION, "event_id": target, "key": key}}
