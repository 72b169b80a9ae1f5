"""Who is here, over all devices. Source: seed section 1; C-S API v1.19 "Presence"."""

from dataclasses import replace

import pytest

from homeserver.errors import AccountSuspended
from tests.support.server import running_server

POLL_MS = 30_000
GRACE_MS = 30_000
IDLE_MS = 300_000


@pytest.fixture
async def alice(engine):
    return await engine.person("alice")


def presence(engine):
    return engine.core.streams.presence


def status(engine, by) -> str:
    return presence(engine).state(by.user_nid).status


def passes(engine, ms: int) -> None:
    engine.clock.ms += ms
    presence(engine).pass_time()


class TestDevicesThatSync:
    async def test_who_syncs_is_online_for_a_while(self, engine, alice):
        await engine.actions.presence.synced(alice, "online", wait_ms=POLL_MS)
        assert status(engine, alice) == "online"
        passes(engine, POLL_MS + GRACE_MS - 1)
        assert status(engine, alice) == "online"
        passes(engine, 1)
        assert status(engine, alice) == "offline"

    async def test_each_sync_prolongs_it(self, engine, alice):
        for _ in range(5):
            await engine.actions.presence.synced(alice, "online")
            passes(engine, GRACE_MS - 1)
            assert status(engine, alice) == "online"
        passes(engine, 1)
        assert status(engine, alice) == "offline"

    async def test_who_does_not_want_to_count_does_not(self, engine, alice):
        await engine.actions.presence.synced(alice, "offline")
        assert status(engine, alice) == "offline"

    async def test_who_says_that_he_is_away_is(self, engine, alice):
        await engine.actions.presence.synced(alice, "away")
        assert status(engine, alice) == "away"
        await engine.actions.presence.synced(alice, "online")
        assert status(engine, alice) == "online"

    async def test_syncing_does_not_end_being_busy(self, engine, alice):
        await engine.actions.presence.say(alice, "busy", None)
        await engine.actions.presence.synced(alice, "online")
        assert status(engine, alice) == "busy"
        await engine.actions.presence.say(alice, "online", None)
        assert status(engine, alice) == "online"

    async def test_with_two_devices_the_one_that_says_most_counts(self, engine, alice):
        await engine.actions.presence.synced(alice, "away", wait_ms=2 * POLL_MS)
        await engine.actions.presence.connected(alice, 1)
        assert status(engine, alice) == "online"
        await engine.actions.presence.disconnected(alice, 1)
        assert status(engine, alice) == "away"
        passes(engine, 2 * POLL_MS + GRACE_MS)
        assert status(engine, alice) == "offline"


class TestIdling:
    async def _syncs_for(self, engine, by, ms: int) -> None:
        for _ in range(ms // 10_000):
            await engine.actions.presence.synced(by, "online")
            passes(engine, 10_000)

    async def test_who_only_syncs_is_away_after_a_while(self, engine, alice):
        await self._syncs_for(engine, alice, IDLE_MS - 10_000)
        assert status(engine, alice) == "online"
        await self._syncs_for(engine, alice, 10_000)
        assert status(engine, alice) == "away"

    async def test_who_sends_something_is_back(self, engine, alice):
        room = await engine.group(alice)
        await self._syncs_for(engine, alice, IDLE_MS)
        assert status(engine, alice) == "away"
        await engine.says(alice, room, "hello")
        assert status(engine, alice) == "online"
        assert presence(engine).state(alice.user_nid).last_active_ms == engine.clock.ms

    async def test_sending_also_ends_being_away_by_ones_own_word(self, engine, alice):
        room = await engine.group(alice)
        await engine.actions.presence.say(alice, "away", None)
        await engine.says(alice, room, "hello")
        assert status(engine, alice) == "online"

    async def test_native_connections_say_it_themselves(self, engine, alice):
        await engine.actions.presence.connected(alice, 1)
        passes(engine, 10 * IDLE_MS)
        assert status(engine, alice) == "online"


class TestNumbers:
    async def test_changes_are_told_together(self, engine, alice):
        bob = await engine.person("bob")
        told = []
        stream = presence(engine)
        stream.tell_changes()
        stream.subscribe_changes(told.append)
        before = stream.position
        await engine.actions.presence.synced(alice, "online")
        await engine.actions.presence.synced(bob, "online")
        await engine.actions.presence.synced(bob, "away")
        stream.tell_changes()
        assert told == [{alice.user_nid, bob.user_nid}]
        assert stream.position == before + 1
        assert stream.changed_since(before) == told[0]
        stream.tell_changes()
        assert stream.position == before + 1

    async def test_a_message_is_a_change(self, engine, alice):
        stream = presence(engine)
        await engine.actions.presence.say(alice, "online", "Hello")
        stream.tell_changes()
        before = stream.position
        await engine.actions.presence.say(alice, "online", "Good-bye")
        stream.tell_changes()
        assert stream.changed_since(before) == {alice.user_nid}

    async def test_syncing_again_is_none(self, engine, alice):
        stream = presence(engine)
        await engine.actions.presence.synced(alice, "online")
        stream.tell_changes()
        before = stream.position
        await engine.actions.presence.synced(alice, "online")
        stream.tell_changes()
        assert stream.position == before


class TestAfterARestart:
    async def test_messages_and_when_somebody_was_seen_last_are_known(self, database):
        async with running_server(database) as first:
            alice = await first.person("alice")
            await first.actions.presence.say(alice, "online", "Hello")
            await first.core.drain()
        async with running_server(database) as second:
            state = presence(second).state(alice.user_nid)
            assert (state.status, state.status_msg) == ("offline", "Hello")
            assert await presence(second).last_seen(alice.user_nid) == first.clock.ms

    async def test_a_message_that_was_taken_back_is_not(self, database):
        async with running_server(database) as first:
            alice = await first.person("alice")
            await first.actions.presence.say(alice, "online", "Hello")
            await first.core.drain()
            await first.actions.presence.say(alice, "online", None)
            await first.core.drain()
        async with running_server(database) as second:
            assert presence(second).state(alice.user_nid).status_msg is None


async def test_whose_account_is_suspended_says_nothing_of_himself(engine, alice):
    suspended = replace(alice, is_suspended=True)
    with pytest.raises(AccountSuspended):
        await engine.actions.presence.say(suspended, "online", "Hello")
    await engine.actions.presence.synced(suspended, "online")
    assert status(engine, alice) == "online"
