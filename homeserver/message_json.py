"""Messages as clients get them, as JSON that is put together from JSON. Pure.

Source: C-S API v1.19 "Room event format".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from homeserver.identifiers import EventID
from homeserver.values import value

_CONTENT = b',"content":'
_DEPTH = b',"depth":'
_SENT_AT = b',"origin_server_ts":'
_PREV_EVENTS = b',"prev_events":'
_SENDER = b',"sender":'
_SIGNATURES = b',"signatures":'
_TYPE = b',"type":'


@value
class MessageParts:
    """What clients get of the stored form of a message. All JSON."""

    content: bytes
    sent_at: bytes
    sender: bytes
    type: bytes


def cut(raw: bytes) -> MessageParts:
    """raw: of a message that was sent here and not redacted since, in a room with canonical JSON.

    Its keys are known and sorted. A quote within a string has a backslash before it, so a comma and
    the name of a key in quotes stand together only where there is such a key; the content alone may
    have more of them, and is found from both ends. This takes a fourth of the time of parsing it
    and writing it again.
    """
    content = raw.index(_CONTENT) + len(_CONTENT)
    depth = raw.rindex(_DEPTH)
    sent_at = raw.index(_SENT_AT, depth) + len(_SENT_AT)
    prev_events = raw.index(_PREV_EVENTS, sent_at)
    sender = raw.index(_SENDER, prev_events) + len(_SENDER)
    signatures = raw.index(_SIGNATURES, sender)
    event_type = raw.index(_TYPE, signatures) + len(_TYPE)
    return MessageParts(
        raw[content:depth], raw[sent_at:prev_events], raw[sender:signatures], raw[event_type:-1]
    )


def parts_of(pdu: Mapping[str, Any]) -> MessageParts:
    """The same of any message."""
    return MessageParts(
        orjson.dumps(pdu["content"]),
        orjson.dumps(pdu["origin_server_ts"]),
        orjson.dumps(pdu["sender"]),
        orjson.dumps(pdu["type"]),
    )


@value
class Message:
    """A message for whoever reads it: its JSON up to its age, when it was sent, and for the session
    that sent it, its transaction ID as JSON.
    """

    head: bytes
    sent_at: int
    session_nid: int | None
    txn_id: bytes | None

    def json(self, session_nid: int, now_ms: int) -> bytes:
        """For the session that reads."""
        if self.txn_id is None or self.session_nid != session_nid:
            return b"%b%d}}" % (self.head, now_ms - self.sent_at)
        return b'%b%d,"transaction_id":%b}}' % (self.head, now_ms - self.sent_at, self.txn_id)


def head_of(parts: MessageParts, *, event_id: EventID, room_id: bytes, membership: bytes) -> bytes:
    """Up to the age. room_id: JSON. membership: the reader's, before the event."""
    return (
        b'{"content":%b,"event_id":%b,"origin_server_ts":%b,"room_id":%b,"sender":%b,"type":%b,'
        b'"unsigned":{"membership":"%b","age":'
    ) % (
        parts.content,
        orjson.dumps(event_id),
        parts.sent_at,
        room_id,
        parts.sender,
        parts.type,
        membership,
    )
