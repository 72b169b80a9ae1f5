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

    async def test_an_identity_is_uploaded(self, alice: MatrixUser):
        await alice.native.post("/api/encryption/identity", Identity.of(alice.user_id).upload())
