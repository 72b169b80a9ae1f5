"""What ends a connection, and what does not."""

import asyncio
import json

import pytest

from schema.wire.errors import CloseCode
from tests.native.stage import START_MS, on_stage, until


class TestSlowClients:
    async def test_one_that_does_not_read_is_cut_off_and_loses_nothing(self):
        async with on_stage(max_pending_bytes=65_536) as stage:
            room = stage.room("alice", "bob", "carol")
            bob = await stage.connects("bob", cursor="now", max_queue=1)
            carol = await stage.connects("carol", max_queue=None)
            await bob.hears("resumed")
            text = "x" * 50_000
            said = 0
            while stage.metrics.slow_consumers_cut._value.get() == 0:
                stage.says("alice", room, text)
                said += 1
                await carol.hears("message.new")
            heard, code = await bob.hears_to_the_end("message.new")
            assert code == CloseCode.TOO_SLOW
            assert heard < said
            bob = await stage.connects("bob", cursor=bob.cursor, max_queue=None)
            for _ in range(said - heard):
                await bob.hears("message.new")
            await bob.hears("resumed")

    async def test_what_waits_for_it_is_bounded(self):
        async with on_stage(max_pending_bytes=65_536) as stage:
            room = stage.room("alice", "bob")
            bob = await stage.connects("bob", max_queue=1)
            (connection,) = stage.live.hub._audience
            waiting = []
            while connection.farewell is None:
                stage.says("alice", room, "x" * 10_000)
                waiting.append(connection.outbox.get_write_buffer_size())
                await asyncio.sleep(0)
            assert max(waiting) < 65_536 + 20_000
            assert await bob.ends() == CloseCode.TOO_SLOW

    async def test_answers_count_too(self):
        async with on_stage(max_pending_bytes=65_536) as stage:
            stage.room("bob")
            bob = await stage.connects("bob", max_queue=1)
            (connection,) = stage.live.hub._audience
            nonsense = json.dumps({"type": "x" * 60, "ref": "r" * 64})
            while connection.farewell is None:
                await bob.socket.send(nonsense)
            assert await bob.ends() == CloseCode.TOO_SLOW


class TestConnectionsOfOneUser:
    async def test_one_too_many_is_refused_and_the_others_stay(self):
        async with on_stage(max_connections_per_user=2) as stage:
            room = stage.room("alice", "bob")
            first, second = [await stage.connects("bob") for _ in range(2)]
            third = await stage.connects("bob")
            assert (await third.hears("error"))["code"] == "TOO_MANY_CONNECTIONS"
            assert await third.ends() == CloseCode.TOO_MANY_CONNECTIONS
            stage.says("alice", room, "hello")
            await first.hears("message.new")
            await second.hears("message.new")

    async def test_one_that_ended_makes_room(self):
        async with on_stage(max_connections_per_user=1) as stage:
            stage.room("bob")
            first = await stage.connects("bob")
            await first.leaves()
            await until(lambda: not len(stage.live.hub._audience))
            second = await stage.connects("bob")
            assert await second.is_idle()

    async def test_connecting_at_the_same_moment_does_not_get_round_it(self):
        async with on_stage(max_connections_per_user=2) as stage:
            stage.room("bob")
            await asyncio.gather(*(stage.connects("bob") for _ in range(8)))
            assert len(stage.live.hub._audience) == 2


class TestFrames:
    async def test_one_that_is_too_large_ends_the_connection(self):
        async with on_stage(max_frame_bytes=65_536) as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.socket.send("x" * 70_000)
            assert (await alice.hears("error"))["code"] == "TOO_LARGE"
            assert await alice.ends() == CloseCode.TOO_BIG

    async def test_one_that_is_far_too_large_does_as_well(self):
        async with on_stage(max_frame_bytes=65_536) as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.socket.send("x" * 400_000)
            assert await alice.ends() == CloseCode.TOO_BIG

    async def test_a_message_in_fragments_is_one_frame(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            await alice.socket.send(['{"type":', '"ping"', "}"])
            await alice.hears("pong")

    async def test_flooding_is_refused_and_then_ends_the_connection(self):
        async with on_stage(frames_burst=10, frames_per_second=1) as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            for _ in range(30):
                await alice.says("ping")
            for _ in range(10):
                await alice.hears("pong")
            for _ in range(10):
                error = await alice.hears("error")
                assert (error["code"], error["retry_after_ms"]) == ("RATE_LIMITED", 1000)
            assert await alice.ends() == CloseCode.FLOODING


class TestSessions:
    async def test_a_token_that_expires_ends_the_connection(self):
        async with on_stage() as stage:
            stage.room("alice")
            stage.expires_at_ms = START_MS + 60_000
            alice = await stage.connects("alice")
            stage.clock.seconds = 59.9
            stage.live.connections.expire()
            assert await alice.is_idle()
            stage.clock.seconds = 60
            stage.live.connections.expire()
            assert (await alice.hears("error"))["code"] == "UNAUTHENTICATED"
            assert await alice.ends() == CloseCode.UNAUTHENTICATED

    async def test_a_revoked_session_ends_at_once_and_others_stay(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.bus.announce("session-revoked", str(stage.requester("bob").session_uuid))
            stage.says("alice", room, "bob must not hear this")
            assert await bob.hears("session.revoked") == {"type": "session.revoked"}
            assert (await bob.hears("error"))["code"] == "UNAUTHENTICATED"
            assert await bob.ends() == CloseCode.UNAUTHENTICATED
            await alice.hears("message.new")

    async def test_a_deactivated_account_ends_too(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            stage.bus.announce("account-changed", str(stage.person("alice").uuid))
            assert await alice.is_idle()
            stage.ended_sessions.add(stage.requester("alice").session_uuid)
            stage.bus.announce("account-changed", str(stage.person("alice").uuid))
            assert await alice.ends() == CloseCode.UNAUTHENTICATED


class TestStopping:
    async def test_what_was_asked_is_answered_and_then_all_are_sent_away(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            stage.gate.clear()
            await alice.says("message.send", room_id=room.uuid, content="last words")
            await alice.is_idle()
            draining = asyncio.ensure_future(stage.live.drain(grace_s=5.0))
            await asyncio.sleep(0)
            await alice.says("message.send", room_id=room.uuid, content="too late", ref="late")
            late = await alice.hears("error")
            assert (late["code"], late["ref"]) == ("UNAVAILABLE", "late")
            stage.gate.set()
            await alice.hears("message.new")
            await alice.hears("message.sent")
            assert await alice.ends() == CloseCode.RESTART
            await bob.hears("message.new")
            assert await bob.ends() == CloseCode.RESTART
            await draining

    async def test_nobody_is_let_in_any_more(self):
        async with on_stage() as stage:
            stage.room("alice")
            await stage.live.drain(CloseCode.GOING_AWAY, grace_s=1.0)
            with pytest.raises(Exception, match="503"):
                await stage.connects("alice")

    async def test_a_client_that_does_not_answer_is_left_behind(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            alice.socket.transport.pause_reading()
            await stage.live.drain(grace_s=0.2)
            assert len(stage.live.hub._audience) == 0
