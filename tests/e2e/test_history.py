"""The history of a room that comes with an invitation ("Sharing keys between users")."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.client import identity_setup
from e2e.client.key_sharing import Audience
from e2e.client.records import Source
from tests.e2e.our_user import OurUser
from tests.support.live_server import LiveServer
from tests.support.olm_session import PASSWORD, logged_in, olm_session, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def alice(server: LiveServer, directory: Path) -> AsyncIterator[OurUser]:
    async with with_identity(server, directory) as user:
        yield user


@pytest_asyncio.fixture(loop_scope="module")
async def bob(server: LiveServer, directory: Path) -> AsyncIterator[OurUser]:
    async with with_identity(server, directory) as user:
        yield user


@asynccontextmanager
async def with_identity(server: LiveServer, directory: Path) -> AsyncIterator[OurUser]:
    entering = OurUser.enters(server.url, unique("ours"), directory, Audience.CROSS_SIGNED)
    async with entering as user:
        user.recovery_key = await identity_setup.set_up(user.client.session, password=PASSWORD)
        yield user


async def accepts(newcomer: OurUser, room_id: str) -> None:
    """As its users do."""
    session = newcomer.client.session
    await newcomer.client.knows(lambda: room_id in session.rooms.invited)
    assert await session.join(room_id) == room_id


async def test_who_is_invited_reads_what_was_said_before(alice, bob):
    """Of strangers: they share no room before."""
    room_id = await alice.client.creates("office")
    await alice.says(room_id, "before")
    assert await alice.client.session.invite(room_id, bob.user_id) == 1
    await accepts(bob, room_id)
    said = await bob.client.hears("before")
    origin = said.decrypted.origin
    assert (origin.source, origin.shared_by) == (Source.BUNDLE, alice.user_id)


async def test_not_what_was_said_when_newcomers_should_not_see_it(alice, bob):
    room_id = await alice.client.creates("office")
    path = f"/_matrix/client/v3/rooms/{room_id}/state/m.room.history_visibility"
    server = alice.client.session.server
    await server.call("PUT", path, {"history_visibility": "joined"})
    room = alice.client.session.rooms.joined[room_id]
    await alice.client.knows(lambda: room.history_visibility == "joined")
    await alice.says(room_id, "hidden")
    assert await alice.client.session.invite(room_id, bob.user_id) == 0
    await server.call("PUT", path, {"history_visibility": "shared"})
    await alice.client.knows(lambda: room.history_visibility == "shared")
    await accepts(bob, room_id)
    await alice.sees_member(room_id, bob.user_id)
    await alice.says(room_id, "shown")
    await bob.client.hears("shown")
    assert bob.client._said("hidden") is None


async def test_a_file_that_is_gone_is_given_up(alice, bob):
    room_id = await alice.client.creates("office")
    before = await alice.says(room_id, "before")
    session, theirs = alice.client.session, bob.client.session
    await session.step(lambda m: m.track([bob.user_id]))
    await session.perform(await session.keeper.run(lambda m: m.bundles.claim(bob.user_id)))
    gone = {"url": "mxc://foyer.example/gone"}
    await session.step(lambda m: m.bundles.share(bob.user_id, room_id, gone))
    await alice.client.invites(room_id, bob.user_id)
    await accepts(bob, room_id)
    await bob.cannot_read(room_id, before)
    waiting = await theirs.keeper.run(lambda m: m.bundles.inviters(now_ms=theirs.now_ms()))
    assert waiting == []
    await alice.sees_member(room_id, bob.user_id)
    await alice.says(room_id, "after")
    await bob.hears(room_id, "after")


async def test_a_new_device_shares_what_only_the_backup_knows(server, directory, alice, bob):
    room_id = await alice.client.creates("office")
    await alice.says(room_id, "long ago")
    await alice.client.session.flush()
    again = await logged_in(server.url, alice.user_id)
    async with olm_session(directory, again, Audience.CROSS_SIGNED) as laptop:
        session = laptop.session
        await identity_setup.recover(session, alice.recovery_key)
        await alice.says(room_id, "since then")
        await alice.client.session.flush()
        assert await session.invite(room_id, bob.user_id) == 1
    await accepts(bob, room_id)
    await bob.client.hears("long ago")
    await bob.client.hears("since then")


async def test_js_sdk_reads_what_we_share(alice, theirs):
    room_id = await alice.client.creates("office")
    await alice.says(room_id, "before js")
    assert await alice.client.session.invite(room_id, theirs.user_id) == 1
    await theirs.joins(room_id)
    await theirs.hears(room_id, "before js")


async def test_we_read_what_js_sdk_shares(alice, theirs):
    room_id = await theirs.creates("office")
    await theirs.says(room_id, "before us")
    await theirs.asks("invites", room_id, alice.user_id)
    await accepts(alice, room_id)
    said = await alice.client.hears("before us")
    assert said.decrypted.origin.source is Source.BUNDLE
