"""Messages as clients get them, as JSON that is put together once for all readers. Pure.

Source: C-S API v1.19 "Room event format".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from homeserver.identifiers import EventID
from homeserver.values import value


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


def message_head(
    pdu: Mapping[str, Any], *, event_id: EventID, room_id: bytes, membership: bytes
) -> bytes:
    """Of a message that is no redaction, from its stored form: the same as `client_event` up to the
    age. room_id: JSON. membership: the reader's, before the event.
    """
    return (
        b'{"content":%b,"event_id":%b,"origin_server_ts":%d,"room_id":%b,"sender":%b,"type":%b,'
        b'"unsigned":{"membership":"%b","age":'
    ) % (
        orjson.dumps(pdu["content"]),
        orjson.dumps(event_id),
        pdu["origin_server_ts"],
        room_id,
        orjson.dumps(pdu["sender"]),
        orjson.dumps(pdu["type"]),
        membership,
    )
