"""Pings: what their answers prove, and who does not answer."""

import asyncio

import aiohttp

from tests.native.stage import on_stage, until


async def silent_client(stage, name):
    """A client that reads frames and answers pings only when it is told to."""
    session = aiohttp.ClientSession()
    stage.person(name)
    socket = await session.ws_connect(
        f"http://127.0.0.1:{stage.port}/ws",
        headers={"Authorization": f"Bearer {name}"},
        autoping=False,
    )
    return session, socket


async def next_ping(socket):
    """The payload of the next ping, past other frames."""
    async with asyncio.timeout(10):
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.PING:
                return message.data
            assert message.type is aiohttp.WSMsgType.TEXT, message


class TestDelivered:
    """Seed section 1: `message.delivered`."""

    async def test_the_sender_learns_that_somebody_has_it(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, bob = [await stage.connects(name) for name in ("alice", "bob")]
            message = stage.says("alice", room, "hello")
            await bob.hears("message.new")
            delivered = await alice.hears_next("message.delivered")
            assert delivered["message_id"] == str(message.stored.facts.uuid)
            assert delivered["delivered_at"] == "2023-11-14T22:13:20.000Z"
            bob_nid, room_nid = stage.person("bob").user_nid, room.record.room_nid
            facts = message.stored.facts
            assert stage.deliveries == [(bob_nid, room_nid, facts.event_nid, 1)]

    async def test_it_is_told_once_however_many_have_it(self):
        async with on_stage() as stage:
            names = ["bob", "carol", "dora", "erin"]
            room = stage.room("alice", *names)
            alice = await stage.connects("alice")
            others = [await stage.connects(name) for name in names]
            message = stage.says("alice", room, "hello")
            for other in others:
                await other.hears("message.new")
                assert await other.is_idle()
            await alice.hears_next("message.delivered")
            stage.says("alice", room, "again")
            again = await alice.hears_next("message.delivered")
            assert again["message_id"] != str(message.stored.facts.uuid)

    async def test_devices_of_the_sender_prove_nothing(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice, laptop = [await stage.connects("alice") for _ in range(2)]
            stage.says("alice", room, "anybody?")
            await laptop.hears("message.new")
            await alice.hears("message.new")
            stage.live.heartbeat.tick()
            assert await alice.is_idle()
            assert await laptop.is_idle()
            assert stage.deliveries == []

    async def test_nothing_is_told_before_the_answer(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice = await stage.connects("alice")
            session, bob = await silent_client(stage, "bob")
            stage.says("alice", room, "hello")
            number = await next_ping(bob)
            assert stage.deliveries == []
            await alice.hears("message.new")
            await bob.pong(number)
            await alice.hears_next("message.delivered")
            await session.close()

    async def test_an_answer_that_is_none_proves_nothing(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            session, bob = await silent_client(stage, "bob")
            stage.says("alice", room, "hello")
            number = await next_ping(bob)
            await bob.pong(b"")
            await bob.pong(b"12345678")
            await bob.send_str('{"type":"ping"}')
            await bob.receive()
            assert stage.deliveries == []
            await bob.pong(number)
            await until(lambda: stage.deliveries)
            await session.close()

    async def test_one_ping_at_a_time_and_the_next_proves_the_rest(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            session, bob = await silent_client(stage, "bob")
            stage.says("alice", room, "0")
            first = await next_ping(bob)
            for number in range(1, 10):
                stage.says("alice", room, str(number))
            await bob.pong(first)
            second = await next_ping(bob)
            assert [each[3] for each in stage.deliveries] == [1]
            await bob.pong(second)
            await until(lambda: len(stage.deliveries) == 2)
            assert stage.deliveries[-1][3] == 10
            await session.close()

    async def test_when_the_first_does_not_answer_others_are_asked(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob", "carol")
            alice = await stage.connects("alice")
            silent = [await silent_client(stage, "bob") for _ in range(2)]
            message = stage.says("alice", room, "hello")
            for _, socket in silent:
                await next_ping(socket)
            carol = await stage.connects("carol", cursor="e0_r0")
            await carol.hears("message.new")
            delivered = await alice.hears_next("message.delivered")
            assert delivered["message_id"] == str(message.stored.facts.uuid)
            stage.says("alice", room, "once more")
            stage.clock.seconds += 5
            stage.live.deliveries.tick()
            await alice.hears_next("message.delivered")
            for session, _ in silent:
                await session.close()

    async def test_who_was_away_proves_it_when_he_has_resumed(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            alice = await stage.connects("alice")
            message = stage.says("alice", room, "for later")
            assert stage.deliveries == []
            bob = await stage.connects("bob", cursor="e0_r0")
            await bob.hears("message.new")
            delivered = await alice.hears_next("message.delivered")
            assert delivered["message_id"] == str(message.stored.facts.uuid)

    async def test_who_begins_now_has_not_received_what_was_said_before(self):
        async with on_stage() as stage:
            room = stage.room("alice", "bob")
            stage.says("alice", room, "for later")
            bob = await stage.connects("bob")
            for _ in range(20):
                stage.live.heartbeat.tick()
            assert await bob.is_idle()
            assert stage.deliveries == []

    async def test_what_is_kept_is_bounded(self):
        async with on_stage() as stage:
            rooms = [stage.room("alice", "bob") for _ in range(3)]
            await stage.connects("alice")
            for room in rooms:
                for number in range(100):
                    stage.says("alice", room, str(number))
            kept = stage.live.deliveries._rooms
            assert all(len(waiting) <= 32 for waiting in kept.values())


class TestHeartbeat:
    async def test_a_client_that_answers_stays(self):
        async with on_stage(ping_interval_seconds=10, pong_timeout_seconds=5) as stage:
            stage.room("alice")
            alice = await stage.connects("alice")
            for _ in range(40):
                stage.clock.seconds += 1
                stage.live.heartbeat.tick()
                assert await alice.is_idle()

    async def test_a_client_that_does_not_answer_is_gone(self):
        async with on_stage(ping_interval_seconds=10, pong_timeout_seconds=5) as stage:
            stage.room("bob")
            session, _ = await silent_client(stage, "bob")
            ticks = 0
            while len(stage.live.hub._audience):
                stage.clock.seconds += 1
                stage.live.heartbeat.tick()
                ticks += 1
                await asyncio.sleep(0)
                assert ticks < 30
            assert 5 <= ticks <= 17
            await session.close()

    async def test_pings_are_spread_over_the_interval(self):
        async with on_stage(ping_interval_seconds=10, max_connections_per_user=20) as stage:
            stage.room("alice")
            for _ in range(20):
                await stage.connects("alice")
            pinged = []
            for _ in range(10):
                before = sum(each.ping for each in stage.live.hub._audience)
                stage.live.heartbeat.tick()
                pinged.append(sum(each.ping for each in stage.live.hub._audience) - before)
            assert pinged == [2] * 10
