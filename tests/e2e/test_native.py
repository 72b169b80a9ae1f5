"""`e2e.client` over the native protocol: with itself, and with Matrix clients in one room."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from e2e.client import files, identity_setup
from e2e.client.key_sharing import Audience
from e2e.client.records import Source
from e2e.client.session import Session
from e2e.client.trust import Trust
from e2e.client.verification.flow import State
from tests.e2e.js_user import JsUser
from tests.e2e.mautrix_user import MautrixUser
from tests.e2e.nio_user import NioUser
from tests.support.live_server import LiveServer
from tests.support.native_olm import (
    NativeOlmClient,
    native_account,
    native_login,
    native_session,
)
from tests.support.olm_session import PASSWORD, OlmClient, olm_session, registered, unique


def js_enters(url: str, name: str, _directory: Path) -> AbstractAsyncContextManager[JsUser]:
    return JsUser.enters(url, name)


def mautrix_enters(
    url: str, name: str, _directory: Path
) -> AbstractAsyncContextManager[MautrixUser]:
    return MautrixUser.enters(url, name)


@pytest.fixture
async def native(server: LiveServer, tmp_path: Path) -> AsyncIterator[NativeOlmClient]:
    account = await native_account(server.url, unique("nadia"))
    async with native_session(tmp_path, account) as client:
        yield client


@pytest.fixture
async def matrix(server: LiveServer, tmp_path: Path) -> AsyncIterator[OlmClient]:
    account = await registered(server.url, unique("matt"))
    async with olm_session(tmp_path, account) as client:
        yield client


async def added(native: NativeOlmClient, other: OlmClient) -> str:
    """An encrypted room that the native client made, with both in it."""
    room_id = await native.creates("office", other.user_id)
    await other.knows(lambda: room_id in other.session.rooms.joined)
    return room_id


class TestMessages:
    async def test_between_two_native_clients(self, server, tmp_path, native):
        account = await native_account(server.url, unique("nick"))
        async with native_session(tmp_path, account) as other:
            room_id = await added(native, other)
            await native.says(room_id, "hello")
            said = await other.hears("hello")
            assert said.decrypted.origin.device_id == native.device_id
            await other.says(room_id, "hello yourself")
            await native.hears("hello yourself")

    async def test_with_a_matrix_client_both_ways(self, native, matrix):
        room_id = await added(native, matrix)
        await native.says(room_id, "hello matrix")
        said = await matrix.hears("hello matrix")
        assert said.decrypted.origin.device_id == native.device_id
        await matrix.says(room_id, "hello native")
        said = await native.hears("hello native")
        assert said.event["sender"] == matrix.user_id
        assert said.decrypted.origin.device_id == matrix.device_id

    async def test_in_a_room_of_a_matrix_client(self, native, matrix):
        room_id = await matrix.creates("office", native.user_id)
        await native.knows(lambda: bool(native.session.rooms.invited))
        await native.joins(room_id)
        await matrix.sees_member(room_id, native.user_id)
        await matrix.says(room_id, "welcome")
        await native.hears("welcome")
        await native.says(room_id, "thanks")
        await matrix.hears("thanks")

    @pytest.mark.parametrize("library", [NioUser.enters, mautrix_enters, js_enters])
    async def test_with_other_libraries(self, server, tmp_path, native, library):
        async with library(server.url, unique("other"), tmp_path) as other:
            room_id = await native.creates("office", other.user_id)
            await other.joins(room_id)
            await native.says(room_id, "hello")
            heard = await other.hears(room_id, "hello")
            assert heard.sender == native.user_id
            await other.says(room_id, "hello yourself")
            said = await native.hears("hello yourself")
            assert said.decrypted.origin.device_id == other.device_id

    async def test_an_edit_and_an_answer(self, native, matrix):
        room_id = await added(native, matrix)
        await native.says(room_id, "helo")
        said = await matrix.hears("helo")
        edit = {
            "msgtype": "m.text",
            "body": "* hello",
            "m.new_content": {"msgtype": "m.text", "body": "hello"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": said.event["event_id"]},
        }
        await native.session.send(room_id, "m.room.message", edit)
        heard = await matrix.hears("* hello")
        relation = heard.event["content"]["m.relates_to"]
        assert relation["event_id"] == said.event["event_id"]
        answer = {
            "msgtype": "m.text",
            "body": "well said",
            "m.relates_to": {"m.in_reply_to": {"event_id": said.event["event_id"]}},
        }
        await matrix.session.send(room_id, "m.room.message", answer)
        heard = await native.hears("well said")
        assert heard.event["content"]["m.relates_to"]["m.in_reply_to"]

    async def test_files_both_ways(self, tmp_path, native, matrix):
        room_id = await added(native, matrix)
        for one, other, text in ((native, matrix, "from native"), (matrix, native, "from matrix")):
            path = tmp_path / f"{one.device_id}.txt"
            path.write_text(text)
            await files.send(one.session, room_id, path)
            said = await other.hears(path.name)
            await files.save(other.session, said.event["content"], tmp_path / text)
            assert (tmp_path / text).read_text() == text

    async def test_who_is_gone_reads_no_more(self, server, tmp_path, native, matrix):
        room_id = await added(native, matrix)
        await native.says(room_id, "before")
        before = await matrix.hears("before")
        account = await native_account(server.url, unique("nick"))
        async with native_session(tmp_path, account) as nick:
            await native.invites(room_id, nick.user_id)
            await nick.joins(room_id)
            await native.sees_member(room_id, nick.user_id)
            await native.says(room_id, "to all")
            await nick.hears("to all")
            await nick.session.server.leave(room_id)
        await native.sees_member(room_id, nick.user_id, "leave")
        await native.says(room_id, "after")
        after = await matrix.hears("after")
        assert after.decrypted.session_id != before.decrypted.session_id


class TestComingBack:
    async def test_a_session_goes_on_where_it_was(self, server, tmp_path, matrix):
        account = await native_account(server.url, unique("nadia"))
        async with native_session(tmp_path, account) as native:
            room_id = await added(native, matrix)
            await native.says(room_id, "before")
            await matrix.hears("before")
        await matrix.says(room_id, "while you were away")
        async with native_session(tmp_path, account) as native:
            await native.hears("while you were away")
            await native.says(room_id, "back again")
        await matrix.hears("back again")

    async def test_a_connection_that_breaks_loses_nothing(self, native, matrix):
        room_id = await added(native, matrix)
        await native.session.server.close()
        await matrix.says(room_id, "into the void")
        await native.hears("into the void")

    async def test_tokens_are_renewed(self, native, matrix):
        server = native.session.server
        old = server._tokens
        await server._renew(old)
        assert server._tokens.access != old.access
        await server.close()
        room_id = await added(native, matrix)
        await matrix.says(room_id, "still there")
        await native.hears("still there")


class TestIdentity:
    async def test_set_up_and_recovered_on_a_new_device(self, server, tmp_path, matrix):
        localpart = unique("nadia")
        first = await native_account(server.url, localpart)
        async with native_session(tmp_path, first) as native:
            key = await identity_setup.set_up(native.session, password=PASSWORD)
            room_id = await added(native, matrix)
            await matrix.says(room_id, "for the first")
            await native.hears("for the first")
            await native.session.flush()
        second = await native_login(server.url, localpart)
        async with native_session(tmp_path, second) as native:
            restored, damaged = await identity_setup.recover(native.session, key)
            assert restored >= 1
            assert damaged == 0
            history = await native.session.history(room_id, 10)
            assert "for the first" in [said.event["content"].get("body") for said in history]

    async def test_only_signed_devices_get_keys_by_default(self, server, tmp_path, matrix):
        account = await native_account(server.url, unique("nadia"))
        async with native_session(tmp_path, account, Audience.CROSS_SIGNED) as native:
            room_id = await added(native, matrix)
            await native.says(room_id, "not for everybody")
            await matrix.knows(
                lambda: any("m.unverified" in str(getattr(h, "problem", "")) for h in matrix.heard)
            )


class TestHistory:
    """ "Sharing keys between users"."""

    async def test_it_comes_with_an_invitation_both_ways(self, native, matrix):
        for one in (native, matrix):
            await identity_setup.set_up(one.session, password=PASSWORD)
        for one, other in ((native, matrix), (matrix, native)):
            room_id = await one.creates("office")
            await one.says(room_id, "before")
            assert await one.session.invite(room_id, other.user_id) == 1
            await other.knows(lambda session=other.session, r=room_id: r in session.rooms.invited)
            await other.session.join(room_id)

            async def is_read(session: Session = other.session, room_id: str = room_id) -> bool:
                known = (
                    await session.history(room_id, 20) if room_id in session.rooms.joined else []
                )
                said = {each.event["content"].get("body"): each for each in known}
                return "before" in said and said["before"].decrypted.origin.source is Source.BUNDLE

            await other.until(is_read)


class TestVerification:
    async def test_native_and_matrix_compare_short_strings(self, native, matrix):
        await added(native, matrix)
        for one, other in ((native, matrix), (matrix, native)):
            await one.session.step(lambda m, user_id=other.user_id: m.track([user_id]))
        await native.session.step(
            lambda m: m.verification.request(matrix.user_id, now_ms=native.session.now_ms())
        )
        asked = await matrix.flow_with(native.user_id, State.REQUESTED)
        await matrix.session.step(lambda m: m.verification.accept(asked))
        ready = await native.flow_with(matrix.user_id, State.READY)
        await native.session.step(lambda m: m.verification.start_sas(ready))
        await self.confirmed(native, matrix)

    async def test_in_the_room(self, native, matrix):
        room_id = await added(native, matrix)
        for one, other in ((native, matrix), (matrix, native)):
            await one.session.step(lambda m, user_id=other.user_id: m.track([user_id]))
        await native.session.step(lambda m: m.verification.request_in_room(room_id, matrix.user_id))
        asked = await matrix.flow_with(native.user_id, State.REQUESTED)
        await matrix.session.step(lambda m: m.verification.accept(asked))
        ready = await native.flow_with(matrix.user_id, State.READY)
        await native.session.step(lambda m: m.verification.start_sas(ready))
        await self.confirmed(native, matrix)

    async def confirmed(self, one: OlmClient, other: OlmClient) -> None:
        """Both see the same, and say so."""

        def comparing() -> list[State]:
            flows = [*one._flows(other.user_id), *other._flows(one.user_id)]
            return [flow.state for flow in flows if flow.state is State.COMPARING]

        for _ in range(30):
            for side in (one, other):
                side.heard += await side.session.sync(200)
            if len(comparing()) == 2:
                break
        shown = []
        for side, peer in ((one, other), (other, one)):
            flow = await side.flow_with(peer.user_id, State.COMPARING)
            shown.append(await side.session.step(lambda m, f=flow: m.verification.short_strings(f)))
            await side.session.step(
                lambda m, f=flow, s=side: m.verification.confirm(f, now_ms=s.session.now_ms())
            )
        assert shown[0] == shown[1]
        for side, peer in ((one, other), (other, one)):
            await side.flow_with(peer.user_id, State.DONE)
            device = await side.session.step(
                lambda m, p=peer: m.trust.of_device(m.tracking.device(p.user_id, p.device_id))
            )
            assert device is Trust.VERIFIED
