"""Messages as JSON. Source: C-S API v1.19 "Room event format"."""

import orjson
from hypothesis import given

from homeserver.events import canonical_json
from homeserver.events.build import Draft, complete
from homeserver.events.event import Event
from homeserver.events.room_version import V12
from homeserver.identifiers import RoomID
from homeserver.message_json import Message, message_head
from tests.support.json_values import contents
from tests.support.room_factory import ALICE, HERE, KEYS

ROOM = RoomID("!room")
SENT_AT = 1_700_000_000_000


def sent(content: dict) -> Event:
    return complete(
        Draft(room_id=ROOM, sender=ALICE, type="m.room.message", content=content),
        version=V12,
        prev_events=[],
        auth_events=[],
        depth=7,
        origin_server_ts=SENT_AT,
        server_name=HERE,
        key=KEYS[HERE],
    )


class TestMessage:
    @given(content=contents)
    def test_only_the_session_that_sent_it_is_told_its_transaction_id(self, content: dict) -> None:
        event = sent(content)
        head = message_head(
            canonical_json.decode_strict(event.raw),
            event_id=event.event_id,
            room_id=orjson.dumps(ROOM),
            membership=b"join",
        )
        message = Message(head, sent_at=SENT_AT, session_nid=5, txn_id=b'"t"')
        others, own = (orjson.loads(message.json(nid, SENT_AT + 250)) for nid in (6, 5))
        assert others == {
            "content": content,
            "event_id": event.event_id,
            "origin_server_ts": SENT_AT,
            "room_id": ROOM,
            "sender": ALICE,
            "type": "m.room.message",
            "unsigned": {"membership": "join", "age": 250},
        }
        assert own == {**others, "unsigned": {**others["unsigned"], "transaction_id": "t"}}
