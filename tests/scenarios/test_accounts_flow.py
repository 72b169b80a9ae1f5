"""Accounts and sessions, from the first administrator to the last log-out."""

import asyncio
from pathlib import Path
from secrets import token_hex
from uuid import UUID, uuid4

import pytest

from tests.support.devices import Device
from tests.support.live_server import running
from tests.support.play import PASSWORD, Person, Play
from tests.support.promises import Answer, Json

NEW_PASSWORD = "another horse, another battery"


async def is_logged_out(person: Person, device: Device) -> None:
    """The server ended the session that the device belongs to."""
    await device.hears("session.revoked")
    assert (await device.is_closed())[0] == 4001
    assert person.id


async def token_works(person: Person, token: str) -> bool:
    answer = await person.get("/api/users/me", token=token)
    assert answer.status == 200 or answer.error == (401, "UNAUTHENTICATED")
    return answer.status == 200


class TestRegistration:
    async def test_open_to_everybody(self, play: Play) -> None:
        alice = Person(play, "alice")
        answer = await alice.registers()
        assert answer.status == 201
        granted = answer.json
        assert granted["expires_in"] == 86_400
        assert UUID(granted["session_id"])
        assert granted["user"]["email"] == alice.email
        me = await alice.gets("/api/users/me")
        assert me["user_id"] == f"@{me['username']}:foyer.example"
        assert me["is_admin"] is False

    async def test_closed_but_for_the_first_administrator(self, tmp_path: Path) -> None:
        with running(tmp_path, {"auth": {"registration": "closed"}}) as server:
            code = server.first_admin_code
            assert code is not None
            async with Play(server, token_hex(3)) as play:
                alice = Person(play, "alice")
                assert (await alice.registers()).error == (403, "FORBIDDEN")
                assert (await alice.registers(code="wrong-code")).error == (403, "FORBIDDEN")
                root = Person(play, "root")
                assert (await root.registers(code=code)).status == 201
                assert (await root.gets("/api/users/me"))["is_admin"] is True
                assert (await alice.registers(code=code)).error == (403, "FORBIDDEN")
                invitation = await root.post("/api/invitations", {})
                assert (await alice.registers(code=invitation.json["code"])).status == 201
                await play.request("GET", "/health")
            server.restart()
            assert server.first_admin_code is None

    async def test_with_invitations(self, strict_play: Play) -> None:
        guest = Person(strict_play, "guest")
        assert (await guest.registers()).error == (403, "FORBIDDEN")
        root = await strict_play.administrator()
        made = await root.post("/api/invitations", {"uses": 2, "expires_in": 3600})
        assert (made.status, made.json["uses"]) == (201, 2)
        assert made.json["expires_at"]
        code = made.json["code"]
        assert (await guest.registers(code=f" {code.upper()} ")).status == 201
        assert (await guest.gets("/api/users/me"))["is_admin"] is False
        other, late = Person(strict_play, "other"), Person(strict_play, "late")
        taken = await other.requests(
            "POST",
            "/api/auth/register",
            {"email": guest.email, "name": "Other", "password": PASSWORD, "code": code},
            token="",
        )
        assert taken.error == (409, "CONFLICT")
        assert (await other.registers(code=code)).status == 201
        assert (await late.registers(code=code)).error == (403, "FORBIDDEN")
        assert (await guest.post("/api/invitations", {})).error == (403, "FORBIDDEN")

    async def test_what_is_taken(self, play: Play) -> None:
        alice, bob = await play.enters("alice"), Person(play, "bob")
        username = (await alice.gets("/api/users/me"))["username"]
        for taken in ({"email": alice.email}, {"email": alice.email.upper()}):
            body = {"email": bob.email, "name": "Bob", "password": PASSWORD, **taken}
            answer = await bob.post("/api/auth/register", body, token="")
            assert answer.error == (409, "CONFLICT")
        assert (await bob.registers(username=username)).error == (409, "CONFLICT")
        assert (await bob.registers()).status == 201

    @pytest.mark.parametrize(
        "wrong",
        [
            {"email": "no address"},
            {"email": ""},
            {"password": "short"},
            {"name": ""},
            {"name": " "},
            {"username": "no spaces"},
            {"user_name": "misspelt"},
            {"email": None},
        ],
    )
    async def test_what_cannot_be(self, play: Play, wrong: Json) -> None:
        alice = Person(play, "alice")
        body = {"email": alice.email, "name": "Alice", "password": PASSWORD, **wrong}
        answer = await alice.post("/api/auth/register", body, token="")
        assert answer.error == (400, "INVALID_INPUT")
        (field,) = wrong
        assert answer.json["field"] == field

    async def test_the_same_account_at_once_is_made_once(self, play: Play) -> None:
        alice = Person(play, "alice")
        answers = await asyncio.gather(*(alice.registers() for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [201] + [409] * 5


class TestLogin:
    async def test_by_address_in_any_case_or_by_username(self, play: Play) -> None:
        alice = await play.enters("alice")
        me = await alice.gets("/api/users/me")
        for name in (alice.email.upper(), me["username"], me["user_id"]):
            answer = await alice.post(
                "/api/auth/login", {"email": name, "password": PASSWORD}, token=""
            )
            assert (answer.status, answer.json["user"]["id"]) == (200, alice.id)

    async def test_each_one_is_a_session(self, play: Play) -> None:
        alice = await play.enters("alice")
        first = alice.token
        await alice.logs_in()
        assert alice.token != first
        assert await token_works(alice, first)
        assert len(await alice.gets("/api/sessions")) == 2

    async def test_a_refusal_does_not_tell_whether_the_account_exists(self, play: Play) -> None:
        alice = await play.enters("alice")
        wrong, unknown = [
            await alice.post("/api/auth/login", {"email": email, "password": "wrong"}, token="")
            for email in (alice.email, f"not-{alice.email}")
        ]
        assert wrong.json == unknown.json


class TestRefreshing:
    async def refreshes(self, alice: Person, token: str) -> Answer:
        return await alice.post("/api/auth/refresh", {"refresh_token": token}, token="")

    async def test_tokens_are_replaced_and_the_session_goes_on(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        old_refresh, session = alice.refresh_token, alice.session_id
        answer = await self.refreshes(alice, old_refresh)
        assert answer.status == 200
        assert answer.json["refresh_token"] != old_refresh
        assert answer.json["session_id"] == session
        alice.is_logged_in(answer.json)
        assert await token_works(alice, alice.token)
        await alice.device.is_up_to_date()

    async def test_who_uses_one_twice_ends_the_session(self, play: Play) -> None:
        """Then two have it, and one of them is a thief."""
        (alice,) = await play.cast("alice")
        stolen = alice.refresh_token
        renewed = (await self.refreshes(alice, stolen)).json
        assert (await self.refreshes(alice, stolen)).error == (401, "UNAUTHENTICATED")
        for token in (alice.token, renewed["token"]):
            assert not await token_works(alice, token)
        assert (await self.refreshes(alice, renewed["refresh_token"])).error[0] == 401
        await is_logged_out(alice, alice.devices[0])
        assert (await alice.logs_in()).status == 200

    @pytest.mark.parametrize("token", ["nonsense", "A" * 64, "A" * 5000, "", None, 1])
    async def test_what_is_no_refresh_token(self, play: Play, token: Json) -> None:
        alice = await play.enters("alice")
        assert (await self.refreshes(alice, token)).status in (400, 401)
        assert (await self.refreshes(alice, alice.token)).error == (401, "UNAUTHENTICATED")
        assert await token_works(alice, alice.token)


class TestLogout:
    async def test_one_session(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        token, refresh = alice.token, alice.refresh_token
        await alice.logs_in()
        other = await alice.connects()
        assert (await alice.post("/api/auth/logout", token=token)).status == 204
        assert not await token_works(alice, token)
        refused = await alice.post("/api/auth/refresh", {"refresh_token": refresh}, token="")
        assert refused.error == (401, "UNAUTHENTICATED")
        await is_logged_out(alice, alice.devices[0])
        await other.is_up_to_date()
        assert await token_works(alice, alice.token)

    async def test_all_sessions(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        tokens = [alice.token]
        for _ in range(2):
            await alice.logs_in()
            await alice.connects()
            tokens.append(alice.token)
        assert (await alice.post("/api/auth/logout/all")).status == 204
        for token in tokens:
            assert not await token_works(alice, token)
        for device in alice.devices:
            await is_logged_out(alice, device)
        await bob.device.is_up_to_date()


class TestPasswords:
    async def changes(self, alice: Person, current: str, new: str) -> Answer:
        body = {"current_password": current, "new_password": new}
        return await alice.put("/api/auth/password", body)

    async def test_a_new_one_ends_the_other_sessions(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        old = alice.token
        await alice.logs_in()
        kept = await alice.connects()
        answer = await self.changes(alice, PASSWORD, NEW_PASSWORD)
        assert (answer.status, answer.json["id"]) == (200, alice.id)
        await is_logged_out(alice, alice.devices[0])
        assert not await token_works(alice, old)
        await kept.is_up_to_date()
        assert await token_works(alice, alice.token)
        assert (await alice.logs_in(PASSWORD)).error == (401, "UNAUTHENTICATED")
        assert (await alice.logs_in(NEW_PASSWORD)).status == 200

    async def test_not_without_the_current_one(self, play: Play) -> None:
        alice = await play.enters("alice")
        assert (await self.changes(alice, "a guess", NEW_PASSWORD)).error == (403, "FORBIDDEN")
        short = await self.changes(alice, PASSWORD, "short")
        assert short.error == (400, "INVALID_INPUT")
        assert short.json["field"] == "new_password"
        assert (await alice.logs_in()).status == 200


class TestSessions:
    async def test_the_list(self, play: Play) -> None:
        alice = await play.enters("alice")
        first = alice.session_id
        alice.address = "198.51.100.9"
        await alice.logs_in()
        sessions = {each["id"]: each for each in await alice.gets("/api/sessions")}
        assert sessions.keys() == {first, alice.session_id}
        assert sessions[alice.session_id]["current"] is True
        assert sessions[first]["current"] is False
        assert sessions[alice.session_id]["last_seen_ip"] == "198.51.100.9"
        assert "aiohttp" in sessions[alice.session_id]["user_agent"]
        assert alice.token not in str(sessions)

    async def test_one_may_be_ended_but_only_by_its_owner(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        bob = await play.enters("bob")
        path = f"/api/sessions/{alice.session_id}"
        for session in (path, f"/api/sessions/{uuid4()}", "/api/sessions/nonsense"):
            assert (await bob.delete(session)).error == (404, "NOT_FOUND")
        await alice.device.is_up_to_date()
        assert (await alice.delete(path)).status == 204
        await is_logged_out(alice, alice.devices[0])
        assert not await token_works(alice, alice.token)


class TestOperators:
    """The command line, while the server runs."""

    async def test_a_deactivated_account_is_out_at_once(self, play: Play) -> None:
        alice, bob = await play.cast("alice", "bob")
        room = await alice.creates_group(bob)
        await bob.says(room, "I was here")
        ended = await asyncio.to_thread(play.server.foyer, "user", "deactivate", bob.email)
        assert ended.returncode == 0, ended.stderr
        await is_logged_out(bob, bob.devices[0])
        assert not await token_works(bob, bob.token)
        assert (await bob.logs_in()).error == (401, "UNAUTHENTICATED")
        refresh = await bob.post(
            "/api/auth/refresh", {"refresh_token": bob.refresh_token}, token=""
        )
        assert refresh.error == (401, "UNAUTHENTICATED")
        assert await alice.texts(room) == ["I was here"]
        for body in (
            {"type": "group", "members": [bob.id]},
            {"type": "direct", "members": [bob.id]},
        ):
            assert (await alice.post("/api/rooms", body)).error == (404, "INVALID_USER")

    async def test_a_new_password_and_a_token(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        command = ("user", "password", alice.email, "--password", NEW_PASSWORD)
        changed = await asyncio.to_thread(play.server.foyer, *command)
        assert changed.returncode == 0, changed.stderr
        await is_logged_out(alice, alice.devices[0])
        assert (await alice.logs_in(NEW_PASSWORD)).status == 200
        made = await asyncio.to_thread(play.server.foyer, "token", "create", alice.email)
        assert await token_works(alice, made.stdout.strip())
