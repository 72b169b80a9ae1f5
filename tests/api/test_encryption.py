"""End-to-end encryption over the native REST interface, and beside it over the Matrix API."""

from typing import Any

import pytest

from homeserver.identifiers import native_uuid
from tests.support.encryption import Identity, KeyMaker
from tests.support.matrix_server import MatrixServer, MatrixUser, q

MEGOLM = "m.megolm.v1.aes-sha2"
KEYS = "/api/encryption/keys"


def ciphertext(text: str = "AwgAEnACgAkLmt6q", **more: Any) -> dict[str, Any]:
    """What a client sends in place of a content. Nobody here can read it."""
    return {"algorithm": MEGOLM, "ciphertext": text, "session_id": "S", **more}


async def device_of(user: MatrixUser) -> KeyMaker:
    """Uploads the keys of the user's session, by the native interface."""
    me = await user.native.get("/api/users/me")
    maker = KeyMaker.of(me["user_id"], me["device_id"])
    counts = await user.native.post(KEYS, maker.upload(one_time=3, fallback="F"))
    assert counts == {"one_time_key_counts": {"signed_curve25519": 3}}
    return maker


async def uuid_of(user: MatrixUser) -> str:
    return str((await user.native.get("/api/users/me"))["id"])


class TestKeys:
    async def test_a_device_is_what_matrix_calls_the_session(self, alice: MatrixUser):
        whoami = await alice.get("v3/account/whoami")
        me = await alice.native.get("/api/users/me")
        assert (me["user_id"], me["device_id"]) == (whoami["user_id"], whoami["device_id"])

    async def test_both_protocols_read_the_same_keys(self, alice: MatrixUser, bob: MatrixUser):
        await device_of(alice)
        wanted = {"device_keys": {alice.user_id: []}}
        by_native = await bob.native.post(f"{KEYS}/query", wanted)
        by_matrix = await bob.post("v3/keys/query", wanted)
        assert by_native["device_keys"] == by_matrix["device_keys"]
        assert len(by_native["device_keys"][alice.user_id]) == 1

    async def test_a_key_is_handed_out_once(self, alice: MatrixUser, bob: MatrixUser):
        maker = await device_of(alice)
        wanted = {"one_time_keys": {alice.user_id: {maker.device_id: "signed_curve25519"}}}
        claimed = [
            await bob.native.post(f"{KEYS}/claim", wanted),
            await bob.post("v3/keys/claim", wanted),
        ]
        names = [each["one_time_keys"][alice.user_id][maker.device_id] for each in claimed]
        assert names[0].keys() != names[1].keys()


class TestEncryptedMessages:
    @pytest.fixture
    async def room(self, alice: MatrixUser, bob: MatrixUser) -> dict[str, Any]:
        members = [await uuid_of(bob)]
        wanted = {"type": "group", "members": members, "encrypted": True}
        return await alice.native.post("/api/rooms", wanted)

    async def test_a_room_says_how_it_is_encrypted(self, alice: MatrixUser, room: dict[str, Any]):
        assert room["encryption"] == {"algorithm": MEGOLM}
        state = await alice.get(f"v3/rooms/{q(room['matrix_id'])}/state/m.room.encryption/")
        assert state == {"algorithm": MEGOLM}
        assert (await alice.native.get("/api/rooms"))[0]["matrix_id"] == room["matrix_id"]

    async def test_a_native_message_is_an_encrypted_event(
        self, alice: MatrixUser, bob: MatrixUser, room: dict[str, Any]
    ):
        path = f"/api/rooms/{room['id']}/messages"
        sent = await alice.native.post(path, {"encrypted": ciphertext("one", device_id="D")})
        page = await bob.get(f"v3/rooms/{q(room['matrix_id'])}/messages", dir="b", limit=1)
        event = page["chunk"][0]
        assert event["type"] == "m.room.encrypted"
        assert event["content"] == ciphertext("one", device_id="D")
        assert str(native_uuid(event["event_id"])) == sent["id"]

    async def test_a_matrix_event_is_an_encrypted_message(
        self, alice: MatrixUser, bob: MatrixUser, room: dict[str, Any]
    ):
        event_id = await alice.sends(room["matrix_id"], "m.room.encrypted", ciphertext("two"))
        message = (await bob.native.get(f"/api/rooms/{room['id']}/messages"))[-1]
        assert message["encrypted"] == ciphertext("two", event_id=event_id, sender=alice.user_id)
        assert "content" not in message

    async def test_plain_text_is_refused(self, alice: MatrixUser, room: dict[str, Any]):
        path = f"/api/rooms/{room['id']}/messages"
        refused = await alice.native.is_refused("POST", path, {"content": "oops"})
        assert refused == "ENCRYPTION_REQUIRED"


class TestToDevice:
    async def test_a_message_waits_until_it_is_acknowledged(
        self, server: MatrixServer, alice: MatrixUser, bob: MatrixUser
    ):
        body = {
            "type": "m.room_key_request",
            "ref": "r1",
            "messages": {bob.user_id: {"*": {"body": "x"}}},
        }
        await alice.native.post("/api/encryption/to-device", body)
        await alice.native.post("/api/encryption/to-device", body)
        for _ in range(2):
            news = await bob.native.get("/api/encryption/news")
            assert news["to_device"] == [
                {
                    "sender": alice.user_id,
                    "type": "m.room_key_request",
                    "content": {"body": "x"},
                }
            ]
        later = await bob.native.get("/api/encryption/news", since=news["token"])
        assert later["to_device"] == []
        assert (await bob.native.get("/api/encryption/news"))["to_device"] == []


class TestAroundMessages:
    """What else shows messages: lists, threads, search, counts."""

    async def test_lists_threads_and_single_messages_show_ciphertexts(
        self, alice: MatrixUser, bob: MatrixUser
    ):
        members = [await uuid_of(bob)]
        wanted = {"type": "group", "members": members, "encrypted": True}
        room = await alice.native.post("/api/rooms", wanted)
        path = f"/api/rooms/{room['id']}/messages"
        root = await alice.native.post(path, {"encrypted": ciphertext("root")})
        answer = await alice.native.post(
            path, {"encrypted": ciphertext("answer"), "thread_id": root["id"]}
        )
        (listed,) = await bob.native.get("/api/rooms")
        assert listed["unread_count"] == 2
        assert listed["last_message"]["encrypted"]["ciphertext"] == "answer"
        (threaded,) = await bob.native.get(f"/api/messages/{root['id']}/thread")
        assert threaded["encrypted"]["ciphertext"] == "answer"
        assert threaded["thread_id"] == root["id"]
        changed = await alice.native.patch(
            f"/api/messages/{answer['id']}", {"encrypted": ciphertext("better")}
        )
        assert changed["encrypted"]["ciphertext"] == "better"
        single = await bob.native.get(f"/api/messages/{answer['id']}")
        assert single["encrypted"] == changed["encrypted"]
        assert await bob.native.get("/api/search", q="better") == []
        await alice.native.delete(f"/api/messages/{answer['id']}")
        gone = await bob.native.get(f"/api/messages/{answer['id']}")
        assert (gone["content"], "encrypted" in gone) == ("", False)

    async def test_a_reference_is_a_relation_and_stands_alone(self, alice: MatrixUser):
        room = await alice.native.post("/api/rooms", {"type": "group", "encrypted": True})
        path = f"/api/rooms/{room['id']}/messages"
        body = {"encrypted": ciphertext("ready", reference="$request")}
        sent = await alice.native.post(path, body)
        page = await alice.get(f"v3/rooms/{q(room['matrix_id'])}/messages", dir="b", limit=1)
        relation = {"rel_type": "m.reference", "event_id": "$request"}
        assert page["chunk"][0]["content"]["m.relates_to"] == relation
        message = await alice.native.get(f"/api/messages/{sent['id']}")
        assert message["encrypted"]["reference"] == "$request"
        refused = await alice.native.is_refused("POST", path, {**body, "reply_to": sent["id"]})
        assert refused == "INVALID_INPUT"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"content": "both", "encrypted": ciphertext()},
            {"encrypted": ciphertext(), "attachments": ["0b7c2f3e-9a4d-5c1e-8f60-1a2b3c4d5e6f"]},
            {"encrypted": {"algorithm": MEGOLM}},
            {"encrypted": ciphertext(body="oops")},
            {"encrypted": ciphertext(reference="no event")},
        ],
    )
    async def test_a_message_says_one_thing(self, alice: MatrixUser, body: dict[str, Any]):
        room = await alice.native.post("/api/rooms", {"type": "group", "encrypted": True})
        path = f"/api/rooms/{room['id']}/messages"
        assert await alice.native.is_refused("POST", path, body) == "INVALID_INPUT"
        assert await alice.native.is_refused("POST", path) == "INVALID_INPUT"

    async def test_what_is_no_ciphertext_is_shown_as_nothing(self, alice: MatrixUser):
        room = await alice.native.post("/api/rooms", {"type": "group", "encrypted": True})
        content = {"algorithm": "m.olm.v1", "ciphertext": {}}
        await alice.sends(room["matrix_id"], "m.room.encrypted", content)
        (message,) = await alice.native.get(f"/api/rooms/{room['id']}/messages")
        assert (message["content"], "encrypted" in message) == ("", False)


class TestRooms:
    async def test_a_room_becomes_encrypted_and_stays_so(self, alice: MatrixUser, bob: MatrixUser):
        room = await alice.native.post(
            "/api/rooms", {"type": "group", "members": [await uuid_of(bob)]}
        )
        path = f"/api/rooms/{room['id']}"
        assert "encryption" not in room
        assert await alice.native.is_refused("GET", f"{path}/encryption") == "NOT_FOUND"
        await alice.native.patch(path, {"encrypted": False})
        assert await bob.native.is_refused("PATCH", path, {"encrypted": True}) == "FORBIDDEN"
        changed = await alice.native.patch(path, {"encrypted": True})
        assert changed["encryption"] == {"algorithm": MEGOLM}
        assert await alice.native.is_refused("PATCH", path, {"encrypted": False}) == "INVALID_INPUT"

    async def test_members_learn_whom_to_encrypt_for(
        self, server: MatrixServer, alice: MatrixUser, bob: MatrixUser
    ):
        room = await alice.native.post("/api/rooms", {"type": "group", "encrypted": True})
        path = f"/api/rooms/{room['id']}"
        await alice.native.post(f"{path}/invites", {"user_id": await uuid_of(bob)})
        found = await alice.native.get(f"{path}/encryption")
        assert found == {
            "matrix_id": room["matrix_id"],
            "algorithm": MEGOLM,
            "rotation_period_ms": None,
            "rotation_period_msgs": None,
            "history_visibility": "shared",
            "members": [
                {
                    "id": await uuid_of(alice),
                    "user_id": alice.user_id,
                    "name": "alice",
                    "membership": "join",
                },
                {
                    "id": await uuid_of(bob),
                    "user_id": bob.user_id,
                    "name": "bob",
                    "membership": "invite",
                },
            ],
        }
        assert await bob.native.is_refused("GET", f"{path}/encryption") == "INVALID_ROOM"

    async def test_rooms_of_matrix_clients_say_how_often_keys_change(self, alice: MatrixUser):
        room_id = await alice.creates_room()
        content = {"algorithm": MEGOLM, "rotation_period_ms": 1000, "rotation_period_msgs": 10}
        await alice.sets(room_id, "m.room.encryption", content)
        (room,) = await alice.native.get("/api/rooms")
        assert (room["encryption"], room["matrix_id"]) == (content, room_id)


class TestIdentity:
    async def test_the_first_needs_no_password_and_another_does(self, alice: MatrixUser):
        path = "/api/encryption/identity"
        first, second = Identity.of(alice.user_id), Identity.of(alice.user_id)
        await alice.native.post(path, first.upload())
        await alice.native.post(path, first.upload())
        for more in ({}, {"password": "wrong"}):
            refused = await alice.native.is_refused("POST", path, {**second.upload(), **more})
            assert refused == "PASSWORD_REQUIRED"
        await alice.native.post(path, {**second.upload(), "password": "correct horse"})
        found = await alice.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        assert found["master_keys"][alice.user_id]["keys"] == second.key("master")["keys"]

    async def test_signatures_are_kept_and_what_is_wrong_is_told(
        self, alice: MatrixUser, bob: MatrixUser
    ):
        maker = await device_of(alice)
        identity = Identity.of(alice.user_id)
        await alice.native.post("/api/encryption/identity", identity.upload())
        signed = identity.signs("self_signing", maker.device_keys())
        body = {alice.user_id: {maker.device_id: signed, "NOBODY": signed}}
        answer = await alice.native.post("/api/encryption/signatures", body)
        assert answer["failures"][alice.user_id].keys() == {"NOBODY"}
        assert answer["failures"][alice.user_id]["NOBODY"]["code"] == "NOT_FOUND"
        found = await bob.native.post(f"{KEYS}/query", {"device_keys": {alice.user_id: []}})
        keys = found["device_keys"][alice.user_id][maker.device_id]
        assert identity.self_signing.key_id in keys["signatures"][alice.user_id]


class TestBackups:
    """As `room_keys` of the Matrix API, which sees the same backups."""

    ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"

    def key(self, index: int = 0) -> dict[str, Any]:
        return {
            "first_message_index": index,
            "forwarded_count": 0,
            "is_verified": True,
            "session_data": {"ciphertext": f"{index}"},
        }

    async def begins(self, user: MatrixUser) -> str:
        body = {"algorithm": self.ALGORITHM, "auth_data": {"public_key": "abc"}}
        answer = await user.native.post("/api/encryption/backups", body)
        return f"/api/encryption/backups/{answer['version']}"

    async def test_keys_go_in_and_come_out(self, alice: MatrixUser):
        path = await self.begins(alice)
        rooms = {
            "!a:example.org": {"sessions": {"S1": self.key(), "S2": self.key()}},
            "!b:example.org": {"sessions": {"S3": self.key()}},
        }
        counted = await alice.native.put(f"{path}/keys", {"rooms": rooms})
        assert counted["count"] == 3
        assert await alice.native.get(f"{path}/keys") == {"rooms": rooms}
        of_room = await alice.native.get(f"{path}/keys", room_id="!b:example.org")
        assert of_room == {"rooms": {"!b:example.org": rooms["!b:example.org"]}}
        place = {"room_id": "!a:example.org", "session_id": "S1"}
        one = await alice.native.get(f"{path}/keys", **place)
        assert one == {"rooms": {"!a:example.org": {"sessions": {"S1": self.key()}}}}
        gone = await alice.native.delete(f"{path}/keys", **place)
        assert gone["count"] == 2
        latest = await alice.native.get("/api/encryption/backups/latest")
        assert latest == await alice.native.get(path)
        assert (latest["count"], latest["auth_data"]) == (2, {"public_key": "abc"})
        by_matrix = await alice.get("v3/room_keys/version")
        assert by_matrix == latest

    async def test_only_the_newest_takes_keys(self, alice: MatrixUser):
        old, new = await self.begins(alice), await self.begins(alice)
        refused = await alice.native.is_refused("PUT", f"{old}/keys", {"rooms": {}})
        assert refused == "WRONG_BACKUP_VERSION"
        body = {"algorithm": self.ALGORITHM, "auth_data": {"public_key": "def"}}
        await alice.native.put(new, body)
        assert (await alice.native.get(new))["auth_data"] == {"public_key": "def"}
        await alice.native.delete(new)
        assert await alice.native.is_refused("GET", new) == "NOT_FOUND"

    async def test_a_place_must_be_that_of_the_body(self, alice: MatrixUser, bob: MatrixUser):
        path = await self.begins(alice)
        body = {"rooms": {"!a:example.org": {"sessions": {"S1": self.key()}}}}
        query = f"{path}/keys?room_id=!b:example.org"
        assert await alice.native.is_refused("PUT", query, body) == "INVALID_INPUT"
        query = f"{path}/keys?session_id=S1"
        assert await alice.native.is_refused("GET", query) == "INVALID_INPUT"
        assert await bob.native.is_refused("GET", path) == "NOT_FOUND"


class TestAccountData:
    async def test_both_protocols_keep_the_same(self, alice: MatrixUser, bob: MatrixUser):
        path = "/api/account-data/m.secret_storage.default_key"
        assert await alice.native.is_refused("GET", path) == "NOT_FOUND"
        await alice.native.put(path, {"key": "abc"})
        assert await alice.native.get(path) == {"key": "abc"}
        by_matrix = f"v3/user/{q(alice.user_id)}/account_data/m.secret_storage.default_key"
        assert await alice.get(by_matrix) == {"key": "abc"}
        assert await bob.native.is_refused("GET", path) == "NOT_FOUND"

    async def test_what_the_server_controls_is_refused(self, alice: MatrixUser):
        path = "/api/account-data/m.push_rules"
        assert await alice.native.is_refused("PUT", path, {}) == "INVALID_INPUT"


class TestBadInput:
    """What cannot be used is refused, and never a defect."""

    BODIES: tuple[tuple[str, Any], ...] = (
        (KEYS, {"device_keys": {"user_id": 1.5}}),
        (KEYS, {"one_time_keys": {"a\0:b": "x"}}),
        (KEYS, {"one_time_keys": {"signed_curve25519:A": {"key": 2**60}}}),
        (KEYS, {"fallback_keys": {"no id": "x"}}),
        (KEYS, {"device_keys": []}),
        (KEYS, {"devicekeys": {}}),
        (f"{KEYS}/query", {"device_keys": {"@a\0:example.org": []}}),
        (f"{KEYS}/query", {"device_keys": {"@a:example.org": ["x" * 256]}}),
        (f"{KEYS}/query", {}),
        (f"{KEYS}/claim", {"one_time_keys": {"@a:example.org": {"D\0": "x"}}}),
        (f"{KEYS}/claim", {"one_time_keys": {"@a:example.org": "x"}}),
        ("/api/encryption/to-device", {"type": "t", "messages": {}}),
        ("/api/encryption/to-device", {"type": "", "ref": "r", "messages": {}}),
        (
            "/api/encryption/to-device",
            {"type": "t", "ref": "r", "messages": {"@a:example.org": {"*": "x"}}},
        ),
        ("/api/encryption/identity", {"master_key": {"keys": 1}}),
        ("/api/encryption/identity", {"self_signing_key": {}}),
        ("/api/encryption/signatures", {"@a:example.org": 1}),
        ("/api/encryption/backups", {"algorithm": "none", "auth_data": {}}),
    )

    async def test_bodies_that_cannot_be_used(self, alice: MatrixUser):
        for path, body in self.BODIES:
            refused = await alice.native.is_refused("POST", path, body)
            assert refused == "INVALID_INPUT", (path, body)

    async def test_too_much_is_too_large(self, alice: MatrixUser):
        large = {"x": "y" * 65_536}
        body = {"type": "t", "ref": "r", "messages": {alice.user_id: {"*": large}}}
        refused = await alice.native.is_refused("POST", "/api/encryption/to-device", body)
        assert refused == "TOO_LARGE"
        many = {f"@u{number}:example.org": [] for number in range(10_001)}
        refused = await alice.native.is_refused("POST", f"{KEYS}/query", {"device_keys": many})
        assert refused == "TOO_LARGE"

    async def test_what_nobody_has_is_no_defect(self, alice: MatrixUser):
        wanted = {"device_keys": {"nonsense": [], "@\ud7ff:example.org": [], "@a:other.org": []}}
        await alice.native.post(f"{KEYS}/query", wanted)
        signed = {"@nobody:example.org": {"D\0": {}}, "x\0": {"D": {}}}
        answer = await alice.native.post("/api/encryption/signatures", signed)
        assert answer["failures"].keys() == signed.keys()
        refused = await alice.native.is_refused("GET", "/api/encryption/backups/0")
        assert refused == "NOT_FOUND"
        refused = await alice.native.is_refused("GET", "/api/encryption/news", since="e1_r1")
        assert refused == "INVALID_INPUT"
