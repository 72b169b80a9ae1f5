"""What one client, one user or one address may take of the server, and that others do not pay."""

import asyncio

import pytest

from tests.support.play import PASSWORD, Person, Play
from tests.support.stubborn import StubbornDevice


async def strict_cast(play: Play, *names: str) -> list[Person]:
    """The same as `cast`, on a server for those who are invited."""
    code = await play.invitation()
    people = [await play.enters(name, code=code) for name in names]
    for person in people:
        await person.connects()
    return people


class TestConnections:
    async def test_a_user_has_five(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        for _ in range(4):
            await alice.connects()
        sixth = await alice.connects()
        assert (await sixth.hears("error"))["code"] == "TOO_MANY_CONNECTIONS"
        assert (await sixth.is_closed())[0] == 4009
        for device in alice.devices[:5]:
            await device.is_up_to_date()
        await bob.connects()
        await bob.device.is_up_to_date()

    async def test_one_that_closes_makes_room(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        for _ in range(4):
            await alice.connects()
        await alice.devices[2].closes()
        again = await alice.connects()
        await again.is_up_to_date()


class TestFrames:
    @pytest.mark.parametrize("size", [131_073, 1_000_000])
    async def test_one_that_is_too_large_ends_the_connection(self, play: Play, size: int) -> None:
        (alice,) = await play.cast("alice")
        other = await alice.connects()
        await alice.device.socket.send("x" * size)
        assert (await alice.devices[0].is_closed())[0] == 1009
        await other.is_up_to_date()

    async def test_the_largest_that_is_taken(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        frame = '{"type": "ping", "padding": ""}'
        padding = " " * (131_072 - len(frame))
        await alice.device.socket.send(frame.replace('""', f'"{padding}"'))
        await alice.hears("pong")

    async def test_who_floods_is_warned_and_then_cut_off(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)

        async def floods() -> None:
            for _ in range(20_000):
                await alice.device.socket.send('{"type": "ping"}')

        flooding = asyncio.create_task(floods())
        code, _ = await alice.devices[0].is_closed()
        await asyncio.gather(flooding, return_exceptions=True)
        assert code == 4029
        warnings = alice.devices[0].heard("error", code="RATE_LIMITED")
        assert warnings
        assert all(warning["retry_after_ms"] > 0 for warning in warnings)
        await bob.says(room, "I am not bothered")
        await alice.connects()
        await alice.device.is_up_to_date()

    async def test_messages_too_fast_are_refused_and_can_be_sent_later(
        self, strict_play: Play
    ) -> None:
        alice, bob = await strict_cast(strict_play, "alice", "bob")
        room = await alice.creates_group(bob)
        for number in range(60):
            await alice.device.sends(
                "message.send", room_id=room, content=str(number), ref=str(number)
            )
        answers = [
            await alice.hears(lambda frame: frame["type"] in ("message.sent", "error"))
            for _ in range(60)
        ]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert len(answers) - len(refused) >= 30
        assert refused
        assert {answer["code"] for answer in refused} == {"RATE_LIMITED"}
        assert all(0 < answer["retry_after_ms"] <= 60_000 for answer in refused)
        await bob.says(room, "I have not said anything yet")
        answer = await alice.post(f"/api/rooms/{room}/messages", {"content": "Over REST, then?"})
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json["retry_after_ms"] > 0


class TestSlowClients:
    async def test_cut_off_without_a_loss(self, play: Play) -> None:
        """The one who does not read is cut off; the others go on, and he resumes."""
        alice, bob, carol = await play.cast("alice", "bob", "carol")
        room = await alice.creates_group(bob, carol)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        slow = await StubbornDevice.opens(play.server.websocket_url, bob.token)
        cut = await play.metric("foyer_slow_consumers_cut_total")
        sent = 0
        while await play.metric("foyer_slow_consumers_cut_total") == cut:
            await alice.says(room, f"{sent:05}" + "x" * 30_000)
            sent += 1
        assert await slow.reads_to_the_end() == 4008
        received = [frame for frame in slow.frames if frame["type"] == "message.new"]
        assert len(received) < sent

        await alice.says(room, "the end")
        last = received[-1]["cursor"] if received else cursor
        await bob.connects(cursor=last)
        await bob.hears("message.new", content="the end")
        numbers = [
            frame["message"]["content"][:5] for frame in (*received, *bob.heard("message.new"))
        ]
        assert numbers == [*(f"{number:05}" for number in range(sent)), "the e"]
        await carol.hears("message.new", content="the end")
        assert len(carol.heard("message.new")) == sent + 1


class TestResuming:
    async def test_who_was_away_for_too_long_starts_afresh(self, strict_play: Play) -> None:
        alice, bob = await strict_cast(strict_play, "alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        for number in range(21):
            await alice.says(room, str(number))
        device = await bob.connects(cursor=cursor)
        assert (await device.hears("error"))["code"] == "CURSOR_TOO_OLD"
        assert (await device.hears("resumed"))["replayed"] == 0
        assert device.heard("message.new") == []
        assert len(await bob.messages(room)) == 21
        await alice.says(room, "live")
        await device.hears("message.new", content="live")

    async def test_who_was_not_gets_everything(self, strict_play: Play) -> None:
        alice, bob = await strict_cast(strict_play, "alice", "bob")
        room = await alice.creates_group(bob)
        cursor = bob.device.cursor
        await bob.leaves_the_stage()
        for number in range(20):
            await alice.says(room, str(number))
        device = await bob.connects(cursor=cursor)
        await device.hears("resumed")
        assert len(device.heard("message.new")) == 20


class TestRequests:
    async def test_a_user_who_asks_too_much(self, strict_play: Play) -> None:
        alice, bob = await strict_cast(strict_play, "alice", "bob")
        answers = [await alice.get("/api/rooms") for _ in range(100)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert [answer.status for answer in answers[:40]] == [200] * 40
        for answer in refused:
            assert answer.error == (429, "RATE_LIMITED")
            assert int(answer.headers["Retry-After"]) * 1000 >= answer.json["retry_after_ms"] > 0
        assert await bob.gets("/api/rooms") == []

    async def test_an_address_that_asks_too_much(self, strict_play: Play) -> None:
        (alice,) = await strict_cast(strict_play, "alice")
        headers = {"X-Forwarded-For": "192.0.2.1"}
        answers = [
            await strict_play.request("GET", "/api/rooms", headers=headers) for _ in range(200)
        ]
        assert {answer.status for answer in answers} == {401, 429}
        assert [answer.status for answer in answers[:100]] == [401] * 100
        assert await alice.gets("/api/rooms") == []
        assert (await strict_play.request("GET", "/health", headers=headers)).status == 200

    async def test_what_a_client_says_of_its_address_is_not_believed(
        self, strict_play: Play
    ) -> None:
        """Only what the trusted proxy added, at the end of the header, counts."""
        statuses = set()
        for number in range(200):
            headers = {"X-Forwarded-For": f"198.51.100.{number}, 192.0.2.2"}
            answer = await strict_play.request("GET", "/api/rooms", headers=headers)
            statuses.add(answer.status)
        assert statuses == {401, 429}

    async def test_a_body_that_is_too_large(self, play: Play) -> None:
        alice = await play.enters("alice")
        answer = await alice.post("/api/rooms", b'{"name": "' + b"x" * 2_000_000 + b'"}')
        assert answer.error == (413, "TOO_LARGE")
        assert await alice.gets("/api/rooms") == []

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
    async def test_a_body_that_is_none(self, play: Play, body: bytes) -> None:
        alice = await play.enters("alice")
        assert (await alice.post("/api/rooms", body)).error == (400, "INVALID_INPUT")

    async def test_paths_and_methods_that_there_are_not(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert (await alice.get("/api/nothing")).error == (404, "NOT_FOUND")
        answer = await alice.put("/api/rooms", {})
        assert answer.error == (405, "METHOD_NOT_ALLOWED")
        assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


class TestGuessingPasswords:
    async def guesses(self, alice: Person, address: str, count: int) -> list[int]:
        body = {"email": alice.email, "password": "a guess"}
        headers = {"X-Forwarded-For": address}
        return [
            (await alice.play.request("POST", "/api/auth/login", body, headers=headers)).status
            for _ in range(count)
        ]

    async def test_it_is_slowed_down_and_the_owner_still_gets_in(self, play: Play) -> None:
        alice = await play.enters("alice")
        address = alice.address.replace("10.", "100.", 1)
        statuses = await self.guesses(alice, address, 40)
        assert statuses[:10] == [401] * 10
        assert statuses.count(429) >= 20
        headers = {"X-Forwarded-For": address}
        body = {"email": alice.email, "password": PASSWORD}
        answer = await play.request("POST", "/api/auth/login", body, headers=headers)
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await alice.logs_in()).status == 200

    async def test_another_way_to_name_the_account_does_not_help(self, play: Play) -> None:
        alice = await play.enters("alice")
        username = (await alice.gets("/api/users/me"))["username"]
        address = alice.address.replace("10.", "101.", 1)
        headers = {"X-Forwarded-For": address}
        statuses = []
        for number in range(40):
            name = (alice.email, alice.email.upper(), f" {alice.email}", username)[number % 4]
            body = {"email": name, "password": "a guess"}
            answer = await play.request("POST", "/api/auth/login", body, headers=headers)
            statuses.append(answer.status)
        # By address and by name the same account may be guessed at once each.
        assert statuses.count(401) <= 25

    async def test_logging_in_rightly_is_not_limited_by_it(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert [(await alice.logs_in()).status for _ in range(20)] == [200] * 20

    async def test_new_accounts_of_one_address(self, strict_play: Play) -> None:
        code = await strict_play.invitation()
        crowd = [Person(strict_play, "crowd") for _ in range(5)]
        for person in crowd:
            person.address = f"192.0.2.{100 + len(strict_play.tag)}"
        answers = [await person.registers(code=code) for person in crowd]
        assert [answer.status for answer in answers] == [201, 201, 201, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) > 60
