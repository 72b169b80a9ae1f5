"""Frames of end-to-end encryption, with the real engine: a device is told what concerns it, and
nothing that it has not asked for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from homeserver.storage.database import Database
from tests.support.devices import Device
from tests.support.encryption import SIGNED, Identity, KeyMaker, curve25519
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

MEGOLM = "m.megolm.v1.aes-sha2"
NEWS = "encryption.news"
Connects = Callable[..., Awaitable[Device]]


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


@pytest.fixture
async def alice(server: MatrixServer) -> MatrixUser:
    return await server.registers("alice")


@pytest.fixture
async def bob(server: MatrixServer) -> MatrixUser:
    return await server.registers("bob")


@pytest.fixture
async def connects(server: MatrixServer) -> AsyncIterator[Connects]:
    devices: list[Device] = []

    async def opens(user: MatrixUser, query: str = "") -> Device:
        url = f"{server.client.make_url('/ws')}{query}".replace("http", "ws", 1)
        headers = {"Authorization": f"Bearer {user.token}"}
        socket = await connect(url, additional_headers=headers, proxy=None)
        devices.append(Device(socket))
        return devices[-1]

    yield opens
    for device in devices:
        await device.vanishes()
        device.check()


async def uuid_of(user: MatrixUser) -> str:
    return str((await user.native.get("/api/users/me"))["id"])


async def room_of(by: MatrixUser, *others: MatrixUser, **more: Any) -> dict[str, Any]:
    members = [await uuid_of(each) for each in others]
    room: dict[str, Any] = await by.native.post(
        "/api/rooms", {"type": "group", "members": members, **more}
    )
    return room


async def listens(device: Device, since: str | None = None) -> dict[str, Any]:
    """The first news."""
    await device.asks("encryption.listen", **({} if since is None else {"since": since}))
    return await device.hears(NEWS)


async def acknowledges(device: Device, news: dict[str, Any]) -> None:
    assert (await device.asks("encryption.ack", token=news["token"]))["type"] == "ack"


async def keys_of(user: MatrixUser, device: Device, one_time: int = 2) -> KeyMaker:
    """Uploads the keys of a device by frames."""
    me = await user.native.get("/api/users/me")
    maker = KeyMaker.of(me["user_id"], me["device_id"])
    answer = await device.asks("keys.upload", **maker.upload(one_time=one_time))
    assert answer["type"] == "keys.uploaded"
    assert answer["one_time_key_counts"] == {SIGNED: one_time}
    return maker


async def tells(device: Device, to: MatrixUser, *bodies: str) -> None:
    """Sends messages to all devices of somebody."""
    for body in bodies:
        answer = await device.asks(
            "to_device.send", event_type="m.dummy", messages={to.user_id: {"*": {"body": body}}}
        )
        assert answer["type"] == "ack"


async def hears_when(device: Device, tells_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The news that tell something; those before are acknowledged."""
    while not tells_it(news := await device.hears(NEWS)):
        await acknowledges(device, news)
    return news


def bodies(news: dict[str, Any]) -> list[str]:
    return [each["content"]["body"] for each in news["to_device"]]


class TestKeys:
    async def test_keys_are_uploaded_read_and_claimed(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        maker = await keys_of(alice, phone)
        queried = await laptop.asks("keys.query", device_keys={alice.user_id: []})
        assert [*queried["device_keys"][alice.user_id]] == [maker.device_id]
        wanted = {alice.user_id: {maker.device_id: SIGNED}}
        claimed = [await laptop.asks("keys.claim", one_time_keys=wanted) for _ in range(3)]
        names = [each["one_time_keys"].get(alice.user_id) for each in claimed]
        assert names[0] != names[1]
        assert None not in names[:2]
        assert names[2] is None

    async def test_keys_of_another_device_are_refused(self, alice, connects):
        phone = await connects(alice)
        answer = await phone.asks("keys.upload", **KeyMaker.of(alice.user_id, "OTHER").upload())
        assert (answer["type"], answer["code"]) == ("error", "INVALID_INPUT")

    @pytest.mark.parametrize("place", [0, 50, 99])
    async def test_a_key_that_is_wrongly_signed_is_refused_with_all(self, alice, connects, place):
        phone = await connects(alice)
        maker = await keys_of(alice, phone, one_time=2)
        keys = maker.one_time_keys(*(f"N{number}" for number in range(100)))
        keys[f"{SIGNED}:N{place}"]["key"] = curve25519()
        answer = await phone.asks("keys.upload", one_time_keys=keys)
        assert (answer["type"], answer["code"]) == ("error", "INVALID_INPUT")
        assert f"{SIGNED}:N{place}" in answer["message"]
        wanted = {alice.user_id: {maker.device_id: SIGNED}}
        claimed = [await phone.asks("keys.claim", one_time_keys=wanted) for _ in range(3)]
        assert [len(each["one_time_keys"]) for each in claimed] == [1, 1, 0]

    async def test_what_a_frame_cannot_carry_is_for_rest(self, alice, connects):
        phone = await connects(alice)
        wanted = {alice.user_id: {f"D{number}": SIGNED for number in range(101)}}
        answer = await phone.asks("keys.claim", one_time_keys=wanted)
        assert (answer["type"], answer["code"]) == ("error", "TOO_LARGE")


class TestListening:
    async def test_who_has_not_asked_is_told_nothing(self, alice, bob, connects):
        room = await room_of(alice, bob)
        phone, laptop = await connects(alice), await connects(bob)
        await keys_of(bob, laptop)
        await tells(laptop, alice, "hello")
        await laptop.asks("message.send", room_id=room["id"], content="hi")
        await phone.hears("message.new")
        await phone.is_up_to_date()
        assert not phone.heard(NEWS)

    async def test_the_first_news_tell_what_waits(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        await tells(laptop, alice, "one", "two")
        news = await listens(phone)
        assert bodies(news) == ["one", "two"]
        assert news["to_device"][0]["sender"] == bob.user_id
        assert news["to_device"][0]["type"] == "m.dummy"
        assert news["device_lists"] == {"changed": [], "left": []}
        assert news["one_time_key_counts"] == {SIGNED: 0}

    async def test_more_comes_after_the_acknowledgement(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        first = await listens(phone)
        await tells(laptop, alice, "one", "two")
        await phone.is_up_to_date()
        assert len(phone.heard(NEWS)) == 1
        await acknowledges(phone, first)
        second = await phone.hears(NEWS)
        assert bodies(second) == ["one", "two"]

    async def test_another_token_lets_nothing_more_come(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        first = await listens(phone)
        await acknowledges(phone, first)
        await tells(laptop, alice, "one")
        await phone.hears(NEWS)
        await tells(laptop, alice, "two")
        await acknowledges(phone, first)
        await phone.is_up_to_date()
        assert len(phone.heard(NEWS)) == 2

    async def test_a_token_that_is_none_is_refused(self, alice, connects):
        phone = await connects(alice)
        assert (await phone.asks("encryption.listen", since="x"))["code"] == "INVALID_INPUT"
        assert (await phone.asks("encryption.ack", token="s1"))["code"] == "INVALID_INPUT"

    async def test_at_most_a_hundred_messages_come_at_once(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        sent = [str(number) for number in range(130)]
        await tells(laptop, alice, *sent)
        news = await listens(phone)
        assert bodies(news) == sent[:100]
        await acknowledges(phone, news)
        assert bodies(await phone.hears(NEWS)) == sent[100:]

    async def test_messages_that_came_meanwhile_keep_their_order(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        news = await listens(phone)
        sent = [str(number) for number in range(230)]
        await tells(laptop, alice, *sent)
        heard: list[str] = []
        while len(heard) < len(sent):
            await acknowledges(phone, news)
            news = await phone.hears(NEWS)
            assert len(news["to_device"]) <= 100
            heard += bodies(news)
        assert heard == sent

    async def test_the_same_ref_sends_once(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        fields = {"event_type": "m.dummy", "messages": {alice.user_id: {"*": {"body": "once"}}}}
        for _ in range(2):
            await laptop.asks("to_device.send", ref="same", **fields)
        assert bodies(await listens(phone)) == ["once"]

    async def test_keys_that_were_handed_out_are_told(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        maker = await keys_of(alice, phone)
        news = await listens(phone)
        assert news["one_time_key_counts"] == {SIGNED: 2}
        await acknowledges(phone, news)
        wanted = {alice.user_id: {maker.device_id: SIGNED}}
        await laptop.asks("keys.claim", one_time_keys=wanted)
        left = {SIGNED: 1}
        await hears_when(phone, lambda news: news["one_time_key_counts"] == left)


class TestInterruptions:
    """Messages to devices are told until they are acknowledged, and then no more."""

    async def test_what_was_not_acknowledged_comes_again(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        begin = await listens(phone)
        await acknowledges(phone, begin)
        await tells(laptop, alice, "one")
        assert bodies(await phone.hears(NEWS)) == ["one"]
        await phone.vanishes()
        await tells(laptop, alice, "two")
        again = await connects(alice)
        news = await listens(again, begin["token"])
        assert bodies(news) == ["one", "two"]

    async def test_a_token_that_is_passed_acknowledges(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        await tells(laptop, alice, "one")
        news = await listens(phone)
        await phone.vanishes()
        again = await connects(alice)
        assert bodies(await listens(again, news["token"])) == []
        await again.vanishes()
        assert bodies(await alice.native.get("/api/encryption/news")) == []

    async def test_what_was_acknowledged_does_not_come_with_an_older_token(
        self, alice, bob, connects
    ):
        phone, laptop = await connects(alice), await connects(bob)
        begin = await listens(phone)
        await acknowledges(phone, begin)
        await tells(laptop, alice, "one")
        await acknowledges(phone, await phone.hears(NEWS))
        await phone.vanishes()
        again = await connects(alice)
        assert bodies(await listens(again, begin["token"])) == []

    async def test_messages_survive_the_server(self, database: Database, connects):
        async with matrix_server(database) as before:
            alice, bob = await before.registers("anna"), await before.registers("bert")
            await alice.native.post(
                "/api/encryption/to-device",
                {"type": "m.dummy", "ref": "r", "messages": {bob.user_id: {"*": {"body": "x"}}}},
            )
            assert bodies(await bob.native.get("/api/encryption/news")) == ["x"]
        async with matrix_server(database) as after:
            again = MatrixUser(after.client, bob.token, bob.user_id)
            news = await again.native.get("/api/encryption/news")
            assert bodies(news) == ["x"]
            await again.native.get("/api/encryption/news", since=news["token"])
            assert bodies(await again.native.get("/api/encryption/news")) == []

    async def test_the_newest_connection_that_listens_counts(self, alice, bob, connects):
        first, laptop = await connects(alice), await connects(bob)
        await acknowledges(first, await listens(first))
        second = await connects(alice)
        await acknowledges(second, await listens(second))
        await tells(laptop, alice, "one")
        assert bodies(await second.hears(NEWS)) == ["one"]
        await first.is_up_to_date()
        assert len(first.heard(NEWS)) == 1
        await second.vanishes()
        assert bodies(await first.hears(NEWS)) == ["one"]

    async def test_matrix_and_native_acknowledge_the_same_messages(self, alice, bob, connects):
        laptop = await connects(bob)
        await tells(laptop, alice, "one")
        sync = await alice.get("v3/sync")
        assert len(sync["to_device"]["events"]) == 1
        await alice.get("v3/sync", since=sync["next_batch"], timeout=0)
        phone = await connects(alice)
        assert bodies(await listens(phone)) == []


class TestDeviceLists:
    async def test_changes_of_keys_are_told_to_those_in_a_room(self, alice, bob, connects):
        await room_of(alice, bob)
        phone, laptop = await connects(alice), await connects(bob)
        await acknowledges(phone, await listens(phone))
        await keys_of(bob, laptop)
        assert (await phone.hears(NEWS))["device_lists"]["changed"] == [bob.user_id]

    async def test_changes_of_strangers_are_not(self, alice, bob, connects):
        phone, laptop = await connects(alice), await connects(bob)
        await acknowledges(phone, await listens(phone))
        await keys_of(bob, laptop)
        await tells(laptop, alice, "after it")
        news = await phone.hears(NEWS)
        assert bodies(news) == ["after it"]
        assert news["device_lists"]["changed"] == []

    async def test_an_own_new_identity_is_told(self, alice, connects):
        phone = await connects(alice)
        await acknowledges(phone, await listens(phone))
        await alice.native.post("/api/encryption/identity", Identity.of(alice.user_id).upload())
        assert (await phone.hears(NEWS))["device_lists"]["changed"] == [alice.user_id]

    async def test_who_comes_is_told_to_those_who_are_there(self, alice, bob, connects):
        room = await room_of(alice)
        phone = await connects(alice)
        await acknowledges(phone, await listens(phone))
        path = f"/api/rooms/{room['id']}/members"
        await alice.native.post(path, {"user_ids": [await uuid_of(bob)]})
        assert (await phone.hears(NEWS))["device_lists"]["changed"] == [bob.user_id]

    async def test_who_comes_is_told_of_those_who_are_there(self, alice, bob, connects):
        room = await room_of(alice)
        laptop = await connects(bob)
        await acknowledges(laptop, await listens(laptop))
        path = f"/api/rooms/{room['id']}/members"
        await alice.native.post(path, {"user_ids": [await uuid_of(bob)]})
        assert (await laptop.hears(NEWS))["device_lists"]["changed"] == [alice.user_id]

    async def test_who_leaves_the_last_room_is_told_as_gone(self, alice, bob, connects):
        rooms = [await room_of(alice, bob) for _ in range(2)]
        phone, laptop = await connects(alice), await connects(bob)
        for device in (phone, laptop):
            await acknowledges(device, await listens(device))
        await bob.native.post(f"/api/rooms/{rooms[0]['id']}/leave", status=204)
        await bob.native.post(f"/api/rooms/{rooms[1]['id']}/leave", status=204)
        assert (await phone.hears(NEWS))["device_lists"] == {"changed": [], "left": [bob.user_id]}
        assert (await laptop.hears(NEWS))["device_lists"] == {
            "changed": [],
            "left": [alice.user_id],
        }

    async def test_who_was_away_is_told_all_of_it(self, server, alice, bob, connects):
        carol = await server.registers("carol")
        shared = await room_of(alice, bob)
        phone = await connects(alice)
        news = await listens(phone)
        await phone.vanishes()
        await bob.native.post(f"/api/rooms/{shared['id']}/leave", status=204)
        await room_of(alice, carol)
        again = await connects(alice)
        assert (await listens(again, news["token"]))["device_lists"] == {
            "changed": [carol.user_id],
            "left": [bob.user_id],
        }


class TestEncryptedRooms:
    async def test_a_room_that_becomes_encrypted_is_told(self, alice, bob, connects):
        room = await room_of(alice, bob)
        laptop = await connects(bob)
        await alice.native.patch(f"/api/rooms/{room['id']}", {"encrypted": True})
        updated = await laptop.hears("room.updated")
        assert updated["room"]["encryption"] == {"algorithm": MEGOLM}
        assert updated["room"]["matrix_id"].startswith("!")

    async def test_both_protocols_exchange_what_nobody_here_reads(self, alice, bob, connects):
        room = await room_of(alice, bob, encrypted=True)
        matrix_id = room["matrix_id"]
        phone = await connects(alice)
        sent = await phone.asks("message.send", room_id=room["id"], encrypted=_said("one"))
        mine = (await phone.hears("message.new"))["message"]
        assert mine["encrypted"]["ciphertext"] == "one"
        assert mine["encrypted"]["sender"] == alice.user_id
        answer = await bob.sends(
            matrix_id,
            "m.room.encrypted",
            {
                **_said("two"),
                "m.relates_to": {"m.in_reply_to": {"event_id": mine["encrypted"]["event_id"]}},
            },
        )
        theirs = (await phone.hears("message.new"))["message"]
        assert theirs["encrypted"] == _said("two", event_id=answer, sender=bob.user_id)
        assert theirs["reply_to"] == sent["message_id"]
        await _edits(phone, bob, matrix_id, mine, theirs, answer)

    async def test_in_an_encrypted_room_text_is_refused(self, alice, connects):
        room = await room_of(alice, encrypted=True)
        phone = await connects(alice)
        answer = await phone.asks("message.send", room_id=room["id"], content="oops")
        assert (answer["type"], answer["code"]) == ("error", "ENCRYPTION_REQUIRED")
        sent = await phone.asks("message.send", room_id=room["id"], encrypted=_said("one"))
        answer = await phone.asks("message.edit", message_id=sent["message_id"], content="oops")
        assert answer["code"] == "ENCRYPTION_REQUIRED"

    async def test_elsewhere_ciphertexts_are_refused(self, alice, connects):
        room = await room_of(alice)
        phone = await connects(alice)
        answer = await phone.asks("message.send", room_id=room["id"], encrypted=_said("one"))
        assert (answer["code"], answer["field"]) == ("INVALID_INPUT", "encrypted")

    async def test_what_was_missed_comes_as_it_was_said(self, alice, bob, connects):
        room = await room_of(alice, bob, encrypted=True)
        phone = await connects(alice, "?cursor=now")
        cursor = (await phone.hears("resumed"))["cursor"]
        await phone.vanishes()
        kept = await bob.sends(room["matrix_id"], "m.room.encrypted", _said("kept"))
        gone = await bob.sends(room["matrix_id"], "m.room.encrypted", _said("gone"))
        relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": kept}}
        edit = await bob.sends(
            room["matrix_id"], "m.room.encrypted", {**_said("better"), **relation}
        )
        await bob.put(f"v3/rooms/{q(room['matrix_id'])}/redact/{q(gone)}/t1", {})
        again = await connects(alice, f"?cursor={cursor}")
        await again.hears("resumed")
        new = [each["message"] for each in again.heard("message.new")]
        assert [each.get("encrypted", {}).get("ciphertext") for each in new] == ["kept", None]
        assert new[1]["content"] == ""
        (updated,) = again.heard("message.updated")
        assert updated["message"]["encrypted"] == _said("better", event_id=edit, sender=bob.user_id)


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"algorithm": MEGOLM, "ciphertext": text, "session_id": "S", **more}


async def _edits(
    phone: Device,
    bob: MatrixUser,
    matrix_id: str,
    mine: dict[str, Any],
    theirs: dict[str, Any],
    answer: str,
) -> None:
    """Edits by both protocols, a reaction, and a deletion."""
    await phone.asks("message.edit", message_id=mine["id"], encrypted=_said("one, better"))
    updated = (await phone.hears("message.updated"))["message"]
    assert updated["encrypted"]["ciphertext"] == "one, better"
    assert updated["edited_at"]
    page = await bob.get(f"v3/rooms/{q(matrix_id)}/messages", dir="b", limit=1)
    assert page["chunk"][0]["content"]["m.relates_to"] == {
        "rel_type": "m.replace",
        "event_id": mine["encrypted"]["event_id"],
    }
    relation = {"rel_type": "m.replace", "event_id": answer}
    await bob.sends(matrix_id, "m.room.encrypted", {**_said("2"), "m.relates_to": relation})
    updated = (await phone.hears("message.updated", id=theirs["id"]))["message"]
    assert updated["encrypted"]["ciphertext"] == "2"
    await phone.asks("reaction.add", message_id=theirs["id"], key="+1")
    await phone.hears("reaction.added", message_id=theirs["id"])
    await bob.put(f"v3/rooms/{q(matrix_id)}/redact/{q(answer)}/t2", {})
    await phone.hears("message.deleted", message_id=theirs["id"])
