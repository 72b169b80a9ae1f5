"""How a session reads the native protocol (`e2e.client.native.translation`)."""

from typing import Any

import pytest

from e2e.client.native.translation import KnownRoom, Told, event_of, mxc_of, uuid_of, written
from homeserver.identifiers import native_uuid

ROOM = "7b9e2c4e-0000-5000-8000-000000000001"
MESSAGE = "7b9e2c4e-0000-5000-8000-000000000002"
ALICE = "7b9e2c4e-0000-5000-8000-00000000000a"
MATRIX_ROOM = "!office"
CIPHER = {
    "algorithm": "m.megolm.v1.aes-sha2",
    "ciphertext": "AwgA",
    "session_id": "session",
    "sender_key": "key",
    "device_id": "PHONE",
}


def message(**fields: Any) -> dict[str, Any]:
    return {
        "id": MESSAGE,
        "room_id": ROOM,
        "user_id": ALICE,
        "user_name": "Alice",
        "created_at": "2026-01-02T03:04:05.678Z",
        "reply_to": None,
        "attachments": [],
        **fields,
    }


def encrypted(**fields: Any) -> dict[str, Any]:
    inside = {**CIPHER, "event_id": "$event", "sender": "@alice:example.org"}
    return message(encrypted={**inside, **fields})


def plain_room() -> KnownRoom:
    return KnownRoom(ROOM, {"id": ROOM, "name": "Office"})


def encrypted_room() -> KnownRoom:
    outline = {"id": ROOM, "name": "Office", "matrix_id": MATRIX_ROOM}
    encryption = {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 5}
    return KnownRoom(ROOM, {**outline, "encryption": encryption})


@pytest.fixture
def rooms() -> dict[str, KnownRoom]:
    return {ROOM: encrypted_room()}


@pytest.fixture
def told(rooms: dict[str, KnownRoom]) -> Told:
    return Told(rooms, own_id="@bob:example.org")


class TestMessagesAsEvents:
    def test_an_encrypted_one_is_what_matrix_clients_sent(self):
        event = event_of(encrypted(), encrypted_room())
        assert event["type"] == "m.room.encrypted"
        assert event["room_id"] == MATRIX_ROOM
        assert event["event_id"] == "$event"
        assert event["sender"] == "@alice:example.org"
        assert event["content"] == CIPHER
        assert event["origin_server_ts"] == 1767323045678
        assert event["message_id"] == MESSAGE

    def test_a_reference_is_the_relation(self):
        event = event_of(encrypted(reference="$request"), encrypted_room())
        relation = {"rel_type": "m.reference", "event_id": "$request"}
        assert event["content"]["m.relates_to"] == relation

    def test_an_edit_replaces_its_message(self):
        event = event_of(encrypted(), encrypted_room(), is_edit=True)
        relation = {"rel_type": "m.replace", "event_id": MESSAGE}
        assert event["content"]["m.relates_to"] == relation

    def test_a_plain_one_has_its_text(self):
        event = event_of(message(content="hello", reply_to=MESSAGE), plain_room())
        assert event["type"] == "m.room.message"
        assert event["room_id"] == ROOM
        assert event["sender"] == "Alice"
        assert event["content"]["body"] == "hello"
        assert event["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": MESSAGE}}

    def test_a_file_has_its_address(self):
        url = "/api/attachments/example.org/abc/photo.png"
        file = {"url": url, "filename": "photo.png", "size": 3, "mime_type": "image/png"}
        event = event_of(message(content="", attachments=[file]), plain_room())
        assert event["content"]["url"] == "mxc://example.org/abc"
        assert event["content"]["body"] == "photo.png"
        assert mxc_of(url) == "mxc://example.org/abc"


class TestWhatIsWritten:
    def test_an_encrypted_message(self):
        assert written("m.room.encrypted", CIPHER) == {"encrypted": CIPHER}

    def test_an_answer_in_a_thread(self):
        relates = {
            "rel_type": "m.thread",
            "event_id": "$root",
            "m.in_reply_to": {"event_id": "$asked"},
        }
        body = written("m.room.encrypted", {**CIPHER, "m.relates_to": relates})
        assert body == {
            "encrypted": CIPHER,
            "thread_id": str(native_uuid("$root")),
            "reply_to": str(native_uuid("$asked")),
        }

    def test_the_reply_that_a_thread_makes_up_is_none(self):
        relates = {
            "rel_type": "m.thread",
            "event_id": "$root",
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": "$root"},
        }
        body = written("m.room.encrypted", {**CIPHER, "m.relates_to": relates})
        assert "reply_to" not in body

    def test_an_edit_names_its_message(self):
        relates = {"rel_type": "m.replace", "event_id": "$said"}
        body = written("m.room.encrypted", {**CIPHER, "m.relates_to": relates})
        assert body["edits"] == str(native_uuid("$said"))

    def test_a_verification_names_its_request(self):
        relates = {"rel_type": "m.reference", "event_id": "$request"}
        body = written("m.room.encrypted", {**CIPHER, "m.relates_to": relates})
        assert body["encrypted"]["reference"] == "$request"

    def test_a_file_is_attached(self):
        content = {"body": "photo.png", "filename": "photo.png", "url": "mxc://example.org/abc"}
        body = written("m.room.message", content)
        assert body == {"attachments": [str(native_uuid("mxc://example.org/abc"))], "content": ""}

    def test_a_uuid_names_itself(self):
        assert uuid_of(ROOM) == ROOM
        assert uuid_of("!office") == str(native_uuid("!office"))


class TestFrames:
    def test_what_happens_in_rooms_stands_in_their_timelines(self, told):
        told.take({"type": "message.new", "message": encrypted(), "cursor": "e5_r1"})
        answer = told.answer("next")
        (event,) = answer["rooms"]["join"][MATRIX_ROOM]["timeline"]["events"]
        assert event["event_id"] == "$event"
        assert told.cursor == "e5_r1"
        assert answer["next_batch"] == "next"

    def test_a_message_of_a_room_that_was_left_is_passed_over(self, told):
        told.take({"type": "room.left", "room_id": ROOM, "reason": "left"})
        told.take({"type": "message.new", "message": encrypted()})
        assert told.answer("next")["rooms"] == {
            "join": {},
            "invite": {},
            "leave": {MATRIX_ROOM: {}},
        }

    def test_who_goes_is_a_member_no_more(self, told, rooms):
        rooms[ROOM].members = {"@alice:example.org": "join"}
        rooms[ROOM].people = {ALICE: "@alice:example.org"}
        frame = {"room_id": ROOM, "user_id": ALICE, "user_name": "Alice"}
        told.take({"type": "member.left", **frame})
        (event,) = told.answer("next")["rooms"]["join"][MATRIX_ROOM]["timeline"]["events"]
        assert event["state_key"] == "@alice:example.org"
        assert event["content"]["membership"] == "leave"
        assert rooms[ROOM].members is None

    def test_a_room_that_is_encrypted_now_is_another_one(self, rooms):
        rooms[ROOM] = plain_room()
        told = Told(rooms, own_id="@bob:example.org")
        told.take({"type": "room.updated", "room": encrypted_room().outline})
        answer = told.answer("next")["rooms"]
        assert answer["leave"] == {ROOM: {}}
        state = answer["join"][MATRIX_ROOM]["state"]["events"]
        content = {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 5}
        assert [e["content"] for e in state if e["type"] == "m.room.encryption"] == [content]

    def test_news_of_encryption_add_up(self, told):
        told.take(
            {
                "type": "encryption.news",
                "token": "t1",
                "to_device": [{"type": "m.dummy"}],
                "device_lists": {"changed": ["@a:x", "@b:x"], "left": []},
                "one_time_key_counts": {"signed_curve25519": 7},
                "unused_fallback_key_types": ["signed_curve25519"],
            }
        )
        told.take(
            {
                "type": "encryption.news",
                "token": "t2",
                "to_device": [{"type": "m.room_key_request"}],
                "device_lists": {"changed": ["@c:x"], "left": ["@a:x"]},
                "one_time_key_counts": {"signed_curve25519": 6},
                "unused_fallback_key_types": [],
            }
        )
        answer = told.answer("next")
        assert told.news == "t2"
        types = [event["type"] for event in answer["to_device"]["events"]]
        assert types == ["m.dummy", "m.room_key_request"]
        assert answer["device_lists"] == {"changed": ["@b:x", "@c:x"], "left": ["@a:x"]}
        assert answer["device_one_time_keys_count"] == {"signed_curve25519": 6}
        assert answer["device_unused_fallback_key_types"] == []

    def test_what_is_left_of_keys_is_told_again(self, rooms, told):
        """For a session, a count that is not told is none left."""
        counts, unused = {"signed_curve25519": 7}, ["signed_curve25519"]
        told.take(
            {
                "type": "encryption.news",
                "token": "t1",
                "one_time_key_counts": counts,
                "unused_fallback_key_types": unused,
            }
        )
        after = Told(rooms, own_id="@bob:example.org", stock=told.stock).answer("next")
        assert after["device_one_time_keys_count"] == counts
        assert after["device_unused_fallback_key_types"] == unused

    def test_an_invitation_says_who_invites(self, told):
        room = {"id": ROOM, "name": "Office", "matrix_id": MATRIX_ROOM}
        by = {"id": ALICE, "name": "Alice", "user_id": "@alice:example.org"}
        told.take({"type": "room.invited", "room": room, "by": by})
        events = told.answer("next")["rooms"]["invite"][MATRIX_ROOM]["invite_state"]["events"]
        assert {e["type"]: e.get("sender") for e in events}["m.room.member"] == by["user_id"]
