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

MESSAGE_TYPES = frozenset({"m.room.message", "m.room.encrypted", "m.sticker"})
REPLACE = "m.replace"
ANNOTATION = "m.annotation"
THREAD = "m.thread"
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
