"""Events in the format that clients get. Pure.

What stands beside an event for one reader is computed elsewhere (`views.client_events`) and put
into its `unsigned` here.
Source: C-S API v1.19 "Room event format", "Stripped state", "Aggregations of child events".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from homeserver.events.event import Event
from homeserver.events.stored import LocalFacts
from homeserver.identifiers import EventID

JsonObject = dict[str, Any]

STRIPPED_TYPES = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)
"""What somebody who might join a room may know about it ("Stripped state")."""

_REDACTION = "m.room.redaction"
_NATIVE_SCOPE = "n"


def client_event(
    event: Event,
    *,
    now_ms: int,
    unsigned: Mapping[str, Any] | None = None,
    with_room_id: bool = True,
) -> JsonObject:
    """The event as a client gets it. unsigned: what it says beside the age.

    with_room_id: False where the answer says elsewhere which room it is, as in a sync.
    """
    rendered: JsonObject = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "sender": event.sender,
        "type": event.type,
        "unsigned": {"age": now_ms - event.origin_server_ts},
    }
    if event.state_key is not None:
        rendered["state_key"] = event.state_key
    if with_room_id:
        rendered["room_id"] = event.room_id
    if event.type == _REDACTION and event.redacts is not None:
        # Room v11 "Moving the `redacts` property": clients get it in both places, whatever the
        # version of the room.
        rendered["redacts"] = event.redacts
        rendered["content"] = {**event.content, "redacts": event.redacts}
    if unsigned:
        rendered["unsigned"] |= unsigned
    return rendered


def stripped_event(event: Event) -> JsonObject:
    """A state event for somebody who is not in the room."""
    return {
        "content": event.content,
        "sender": event.sender,
        "state_key": event.state_key,
        "type": event.type,
    }


def transaction_id(facts: LocalFacts, session_nid: int | None) -> str | None:
    """As the client chose it, if this session sent the event over the Matrix API.

    Source: C-S API v1.19 "Transaction identifiers". What native clients chose is none of theirs.
    """
    if facts.txn_id is None or session_nid is None or facts.session_nid != session_nid:
        return None
    return without_scope(facts.txn_id)


def without_scope(txn_id: str) -> str | None:
    """Of a stored transaction ID, what the client chose; None if that was a native client."""
    scope, _, own = txn_id.partition(":")
    return None if scope == _NATIVE_SCOPE else own


def thread_summary(latest: JsonObject, *, count: int, participated: bool) -> JsonObject:
    """C-S API v1.19 "Server-side aggregation of m.thread relationships"."""
    return {
        "latest_event": latest,
        "count": count,
        "current_user_participated": participated,
    }


def reference_chunk(event_ids: Iterable[EventID]) -> JsonObject:
    """C-S API v1.19 "Server-side aggregation of m.reference"."""
    return {"chunk": [{"event_id": event_id} for event_id in event_ids]}
