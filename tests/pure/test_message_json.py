"""Messages that are cut out of their stored form. Source: C-S API v1.19 "Room event format"."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import canonical_json
from homeserver.events.build import Draft, complete
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.events.signing import SigningKey
from homeserver.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.message_json import Message, cut, head_of, parts_of

SERVER = ServerName("example.org")
KEY = SigningKey.from_seed(bytes(32), "ed25519:1")
ROOM = RoomID("!room:example.org")
KEYS = ("content", "depth", "origin_server_ts", "prev_events", "sender", "signatures", "type")
TRICKY = st.sampled_from(['"', "\\", '\\"', *(f',"{key}":' for key in KEYS), '"},"depth":1,"'])
TEXT = st.lists(st.one_of(TRICKY, st.text(max_size=5))).map("".join)
NAMES = st.one_of(st.sampled_from(KEYS), TEXT)
VALUES = st.recursive(
    st.one_of(TEXT, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
CONTENTS = st.dictionaries(NAMES, VALUES, max_size=4)


def is_type(text: str) -> bool:
    return len(text.encode()) < 200 and "\0" not in text


def sent(content: dict, event_type: str = "m.room.message", version: str = "12") -> bytes:
    event = complete(
        Draft(room_id=ROOM, sender=UserID("@a:example.org"), type=event_type, content=content),
        version=ROOM_VERSIONS[version],
        prev_events=[EventID("$" + "p" * 43)],
        auth_events=[EventID("$" + "a" * 43), EventID("$" + "b" * 43)],
        depth=7,
        origin_server_ts=1_700_000_000_000,
        server_name=SERVER,
        key=KEY,
    )
    return event.raw


class TestCut:
    @given(content=CONTENTS, event_type=TEXT.filter(is_type))
    def test_it_gives_what_parsing_gives(self, content: dict, event_type: str) -> None:
        raw = sent(content, event_type)
        parts, parsed = cut(raw), parts_of(canonical_json.decode_strict(raw))
        assert orjson.loads(parts.content) == orjson.loads(parsed.content) == content
        assert orjson.loads(parts.type) == orjson.loads(parsed.type) == event_type
        assert (parts.sent_at, parts.sender) == (parsed.sent_at, parsed.sender)


class TestMessage:
    def test_only_the_session_that_sent_it_is_told_its_transaction_id(self) -> None:
        head = head_of(
            cut(sent({"body": "x"})),
            event_id=EventID("$e"),
            room_id=orjson.dumps(ROOM),
            membership=b"join",
        )
        message = Message(head, sent_at=1_000, session_nid=5, txn_id=b'"t"')
        others, own = (orjson.loads(message.json(nid, 1_250)) for nid in (6, 5))
        assert others == {
            "content": {"body": "x"},
            "event_id": "$e",
            "origin_server_ts": 1_700_000_000_000,
            "room_id": ROOM,
            "sender": "@a:example.org",
            "type": "m.room.message",
            "unsigned": {"membership": "join", "age": 250},
        }
        assert own == {**others, "unsigned": {**others["unsigned"], "transaction_id": "t"}}
