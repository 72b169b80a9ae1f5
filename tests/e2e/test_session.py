"""`e2e.client` sessions with each other, on a real server."""

from pathlib import Path

import pytest

from e2e.client.key_sharing import Audience
from e2e.client.records import LocalTrust
from e2e.client.trust import Trust
from e2e.client.verification.flow import State
from tests.support.live_server import LiveServer
from tests.support.olm_session import (
    OlmClient,
    logged_in,
    olm_session,
    registered,
    unique,
)


async def meet(alice: OlmClient, bob: OlmClient) -> str:
    """An encrypted room with both in it."""
    room_id = await alice.creates("office", bob.user_id)
    await bob.joins(room_id)
    await alice.sees_member(room_id, bob.user_id)
    return room_id


@pytest.fixture
async def pair(server: LiveServer, tmp_path: Path):
    one = await registered(server.url, unique("alice"))
    other = await registered(server.url, unique("bob"))
    async with olm_session(tmp_path, one) as alice, olm_session(tmp_path, other) as bob:
        yield alice, bob


class TestMessages:
    async def test_both_ways(self, pair):
        alice, bob = pair
        room_id = await meet(alice, bob)
        await alice.says(room_id, "hello")
        said = await bob.hears("hello")
        assert said.decrypted is not None
        assert said.decrypted.origin.device_id == alice.device_id
        await bob.says(room_id, "hello yourself")
        await alice.hears("hello yourself")

    async def test_who_joins_late_reads_from_then_on(self, server, tmp_path, pair):
        alice, bob = pair
        room_id = await meet(alice, bob)
        before = await alice.says(room_id, "before")
        late = await registered(server.url, unique("charlie"))
        async with olm_session(tmp_path, late) as charlie:
            await alice.invites(room_id, charlie.user_id)
            await charlie.joins(room_id)
            await alice.sees_member(room_id, charlie.user_id)
            await alice.says(room_id, "after")
            await charlie.hears("after")
            assert "missing" in await charlie.cannot_read(before)

    async def test_a_device_that_comes_later_gets_the_next_message(self, server, tmp_path, pair):
        alice, bob = pair
        room_id = await meet(alice, bob)
        await alice.says(room_id, "for one")
        await bob.hears("for one")
        again = await logged_in(server.url, bob.user_id)
        async with olm_session(tmp_path, again) as bob_too:
            await alice.session.sync()
            await alice.says(room_id, "for both")
            await bob.hears("for both")
            await bob_too.hears("for both")

    async def test_a_blocked_device_hears_why(self, pair):
        alice, bob = pair
        room_id = await meet(alice, bob)
        await alice.says(room_id, "for Bob")
        await alice.session.step(
            lambda m: m.trust.mark_device(bob.user_id, bob.device_id, LocalTrust.BLOCKED)
        )
        event_id = await alice.says(room_id, "not for Bob")
        await bob.hears("for Bob")
        assert "m.blacklisted" in await bob.cannot_read(event_id)

    async def test_a_session_goes_on_after_a_restart(self, server, tmp_path):
        one = await registered(server.url, unique("alice"))
        other = await registered(server.url, unique("bob"))
        async with olm_session(tmp_path, one) as alice:
            async with olm_session(tmp_path, other) as bob:
                room_id = await meet(alice, bob)
                await alice.says(room_id, "before")
                await bob.hears("before")
            await alice.says(room_id, "while you were away")
            async with olm_session(tmp_path, other) as bob:
                await bob.hears("while you were away")
                await bob.says(room_id, "back again")
            await alice.hears("back again")

    async def test_by_default_only_signed_devices_get_keys(self, server, tmp_path, pair):
        _, bob = pair
        careful = await registered(server.url, unique("alice"))
        async with olm_session(tmp_path, careful, Audience.CROSS_SIGNED) as alice:
            room_id = await meet(alice, bob)
            event_id = await alice.says(room_id, "not for everybody")
            assert "m.unverified" in await bob.cannot_read(event_id)


class TestVerification:
    async def test_two_devices_compare_short_strings(self, pair):
        alice, bob = pair
        await meet(alice, bob)
        for one, other in ((alice, bob), (bob, alice)):
            await one.session.step(lambda m, user_id=other.user_id: m.track([user_id]))
        await alice.session.step(
            lambda m: m.verification.request(bob.user_id, now_ms=alice.session.now_ms())
        )
        asked = await bob.flow_with(alice.user_id, State.REQUESTED)
        await bob.session.step(lambda m: m.verification.accept(asked))
        ready = await alice.flow_with(bob.user_id, State.READY)
        await alice.session.step(lambda m: m.verification.start_sas(ready))
        await bob.flow_with(alice.user_id, State.STARTED)
        await alice.flow_with(bob.user_id, State.STARTED)
        await self.both_compare(alice, bob)
        for one, other in ((alice, bob), (bob, alice)):
            await one.flow_with(other.user_id, State.DONE)
            assert await self.trust(one, other) is Trust.VERIFIED

    async def both_compare(self, alice: OlmClient, bob: OlmClient) -> None:
        """Neither knows whose turn it is, so both sync in turns."""
        shown = []
        for _ in range(20):
            for one in (alice, bob):
                one.heard += await one.session.sync()
                shown = [
                    flow
                    for side, peer in ((alice, bob), (bob, alice))
                    for flow in side._flows(peer.user_id)
                    if flow.state is State.COMPARING
                ]
            if len(shown) == 2:
                break
        ours, theirs = shown
        strings = await alice.session.step(lambda m: m.verification.short_strings(ours))
        assert strings == await bob.session.step(lambda m: m.verification.short_strings(theirs))
        for one, flow in ((alice, ours), (bob, theirs)):
            await one.session.step(
                lambda m, f=flow, c=one: m.verification.confirm(f, now_ms=c.session.now_ms())
            )

    async def trust(self, one: OlmClient, other: OlmClient) -> Trust:
        return await one.session.step(
            lambda m: m.trust.of_device(m.tracking.device(other.user_id, other.device_id))
        )
