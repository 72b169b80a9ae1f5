"""Events in the format that clients get."""

import pytest

from homeserver.client_event import (
    client_event,
    reference_chunk,
    stripped_event,
    thread_summary,
    transaction_id,
)
from homeserver.events.event import Event
from homeserver.events.redaction import redact_event
from homeserver.events.room_version import ROOM_VERSIONS, V12
from homeserver.events.stored import LocalFacts, Status
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid

ALICE = UserID("@alice:example.org")
ROOM = RoomID("!room")
NOW_MS = 5_000


def event(**fields: object) -> Event:
    """A message of Alice's at 1,000 ms, unless the fields say otherwise."""
    given = {
        "event_id": EventID("$event"),
        "room_id": ROOM,
        "sender": ALICE,
        "type": "m.room.message",
        "state_key": None,
        "content": {"body": "hello"},
        "prev_events": (),
        "auth_events": (),
        "depth": 1,
        "origin_server_ts": 1_000,
        "redacts": None,
        "version": V12,
        "raw": b'{"auth_events":[],"content":{},"type":"m.room.redaction"}',
    }
    return Event(**given | fields)


def facts(*, txn_id: str | None, session_nid: int | None = 7) -> LocalFacts:
    return LocalFacts(
        event_nid=1,
        room_nid=1,
        sender_nid=1,
        uuid=native_uuid("$event"),
        position=1,
        state_version=1,
        status=Status.ACCEPTED,
        is_message=True,
        session_nid=session_nid,
        txn_id=txn_id,
    )


class TestClientEvent:
    """C-S API v1.19 "Room event format"."""

    def test_a_message(self) -> None:
        assert client_event(event(), now_ms=NOW_MS) == {
            "content": {"body": "hello"},
            "event_id": "$event",
            "origin_server_ts": 1_000,
            "room_id": ROOM,
            "sender": ALICE,
            "type": "m.room.message",
            "unsigned": {"age": 4_000},
        }

    @pytest.mark.parametrize("state_key", ["", "key"])
    def test_state_has_its_key(self, state_key) -> None:
        rendered = client_event(event(state_key=state_key), now_ms=NOW_MS)
        assert rendered["state_key"] == state_key

    def test_where_the_room_is_known_it_is_left_out(self) -> None:
        assert "room_id" not in client_event(event(), now_ms=NOW_MS, with_room_id=False)

    def test_what_is_beside_it_stands_beside_the_age(self) -> None:
        rendered = client_event(event(), now_ms=NOW_MS, unsigned={"membership": "join"})
        assert rendered["unsigned"] == {"age": 4_000, "membership": "join"}

    @pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: version.name)
    def test_a_redaction_says_in_both_places_what_it_redacts(self, version) -> None:
        in_content = {"redacts": "$target"} if version.redacts_in_content else {}
        redaction = event(
            type="m.room.redaction",
            content={"reason": "spam", **in_content},
            redacts=EventID("$target"),
            version=version,
        )
        rendered = client_event(redaction, now_ms=NOW_MS)
        assert rendered["redacts"] == "$target"
        assert rendered["content"] == {"reason": "spam", "redacts": "$target"}
        assert redaction.content == {"reason": "spam", **in_content}

    def test_a_redacted_redaction_of_an_old_room_redacts_nothing_any_more(self) -> None:
        redaction = event(
            type="m.room.redaction", redacts=EventID("$target"), version=ROOM_VERSIONS["10"]
        )
        rendered = client_event(redact_event(redaction), now_ms=NOW_MS)
        assert "redacts" not in rendered
        assert rendered["content"] == {}

    def test_another_event_may_have_a_redacts_of_its_own(self) -> None:
        rendered = client_event(event(content={"redacts": "$x"}), now_ms=NOW_MS)
        assert "redacts" not in rendered


class TestStrippedEvent:
    """C-S API v1.19 "Stripped state"."""

    def test_only_four_properties(self) -> None:
        stripped = stripped_event(event(type="m.room.name", state_key="", content={"name": "x"}))
        assert stripped == {
            "content": {"name": "x"},
            "sender": ALICE,
            "state_key": "",
            "type": "m.room.name",
        }


class TestTransactionID:
    """C-S API v1.19 "Transaction identifiers"."""

    @pytest.mark.parametrize("own", ["a", "", "a:b", "n:x"])
    def test_the_session_gets_what_it_chose(self, own) -> None:
        assert transaction_id(facts(txn_id=f"sAbC-_1:{own}"), 7) == own

    def test_another_session_gets_nothing(self) -> None:
        assert transaction_id(facts(txn_id="sAbC:x"), 8) is None
        assert transaction_id(facts(txn_id="sAbC:x", session_nid=None), None) is None

    @pytest.mark.parametrize("txn_id", [None, "n:x"])
    def test_there_is_none_without_one_of_this_protocol(self, txn_id) -> None:
        assert transaction_id(facts(txn_id=txn_id), 7) is None


class TestAggregations:
    """C-S API v1.19 "Aggregations of child events"."""

    def test_a_thread(self) -> None:
        assert thread_summary({"event_id": "$x"}, count=2, participated=True) == {
            "latest_event": {"event_id": "$x"},
            "count": 2,
            "current_user_participated": True,
        }

    def test_references(self) -> None:
        chunk = reference_chunk([EventID("$a"), EventID("$b")])
        assert chunk == {"chunk": [{"event_id": "$a"}, {"event_id": "$b"}]}
