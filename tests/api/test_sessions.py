"""Sessions: access tokens, refresh tokens, tickets, and how they end."""

import asyncio
from collections.abc import Callable
from secrets import token_bytes
from uuid import uuid4

import jwt
import pytest

from clientapi.authentication import Authenticator
from homeserver.actions.accounts_admin import Operator
from homeserver.actions.tokens import Grant
from homeserver.errors import NotAuthenticated, NotFound
from tests.support.office import CHEAP, DAY_MS, HOUR_MS, SECRET, Office


@pytest.fixture
def office(database) -> Office:
    return Office(database, CHEAP)


class TestAccessTokens:
    async def test_a_known_token_reads_no_table(self, office):
        alice = await office.registers("Alice")
        await office.authenticator.authenticate(alice.access_token)
        await office.database.close()
        assert await office.authenticator.authenticate(alice.access_token) == alice.requester

    async def test_its_claims(self, office):
        alice = await office.registers("Alice")
        claims = jwt.decode(alice.access_token, options={"verify_signature": False})
        assert claims == {
            "iss": "example.org",
            "sub": str(alice.requester.user_uuid),
            "sid": str(alice.requester.session_uuid),
            "iat": office.clock.ms // 1000,
            "exp": office.clock.ms // 1000 + 3600,
        }
        assert alice.expires_in_s == 3600

    async def test_it_expires_also_when_it_is_known(self, office):
        alice = await office.registers("Alice")
        assert await office.is_welcome(alice)
        office.clock.ms += HOUR_MS - 1
        assert await office.is_welcome(alice)
        office.clock.ms += 1
        assert not await office.is_welcome(alice)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda claims: jwt.encode(claims, b"another secret of at least 32 bytes", "HS256"),
            lambda claims: jwt.encode(claims, None, "none"),
            lambda claims: jwt.encode(claims, SECRET, "HS512"),
            lambda claims: jwt.encode(claims | {"iss": "elsewhere.org"}, SECRET, "HS256"),
            lambda claims: jwt.encode(claims | {"sub": str(uuid4())}, SECRET, "HS256"),
            lambda claims: jwt.encode(claims | {"sid": str(uuid4())}, SECRET, "HS256"),
            lambda claims: jwt.encode(claims | {"sid": "not a UUID"}, SECRET, "HS256"),
            lambda claims: jwt.encode(claims | {"exp": "soon"}, SECRET, "HS256"),
            lambda claims: jwt.encode(claims | {"exp": 1e400}, SECRET, "HS256"),
            lambda claims: jwt.encode({"sub": claims["sub"]}, SECRET, "HS256"),
            lambda claims: "",
            lambda claims: "a.b.c",
            lambda claims: "é",
            lambda claims: "\ud800",
            lambda claims: "x" * 100_000,
        ],
    )
    async def test_what_this_server_did_not_issue_is_refused(self, office, forge):
        alice = await office.registers("Alice")
        claims = jwt.decode(alice.access_token, options={"verify_signature": False})
        with pytest.raises(NotAuthenticated):
            await office.authenticator.authenticate(forge(claims))

    async def test_a_revocation_that_comes_while_the_session_is_looked_up_counts(self, office):
        alice = await office.registers("Alice")
        look_up = office.accounts.sessions.requester

        async def slow(claims):
            found = await look_up(claims)
            await office.accounts.tokens.logout(alice.requester)
            return found

        office.authenticator._sessions = replace_requester(slow)
        await office.authenticator.authenticate(alice.access_token)
        office.authenticator._sessions = office.accounts.sessions
        assert not await office.is_welcome(alice)

    async def test_a_lost_announcement_costs_a_minute(self, office):
        alice = await office.registers("Alice")
        assert await office.is_welcome(alice)
        async with office.database.transaction() as db:
            await db.execute("DELETE FROM sessions")
        office.clock.ms += 60_000
        assert not await office.is_welcome(alice)

    async def test_memory_is_bounded(self, office):
        small = Authenticator(
            access_tokens=office.accounts.access_tokens,
            tokens=office.accounts.tokens,
            sessions=office.accounts.sessions,
            sightings=office.accounts.sightings,
            application_services=office.accounts.application_services,
            bus=office.bus,
            clock=office.clock,
            random_bytes=token_bytes,
            ticket_ttl_s=30,
            max_remembered=5,
        )
        await office.registers("Alice")
        for _ in range(12):
            await small.authenticate((await office.logs_in("alice")).access_token)
        assert len(small._tokens._entries) == 5
        assert len(small._tokens._keys_of) == 5 + 1
        office.clock.ms += 60_000
        await small.authenticate((await office.logs_in("alice")).access_token)
        assert len(small._tokens._entries) == 1


class TestRefreshTokens:
    async def test_a_refresh_gives_new_tokens_for_the_same_session(self, office):
        alice = await office.registers("Alice")
        office.clock.ms += 2 * HOUR_MS
        fresh = await office.accounts.tokens.refresh(alice.refresh_token)
        assert await office.is_welcome(fresh)
        assert fresh.requester.session_nid == alice.requester.session_nid
        assert fresh.refresh_token != alice.refresh_token

    async def test_a_token_that_is_used_twice_ends_the_session(self, office):
        alice = await office.registers("Alice")
        fresh = await office.accounts.tokens.refresh(alice.refresh_token)
        assert await office.is_welcome(fresh)
        with pytest.raises(NotAuthenticated, match="used before"):
            await office.accounts.tokens.refresh(alice.refresh_token)
        assert not await office.is_welcome(fresh)
        with pytest.raises(NotAuthenticated):
            await office.accounts.tokens.refresh(fresh.refresh_token)

    async def test_also_when_it_was_used_long_ago(self, office):
        first = await office.registers("Alice")
        newest = first
        for _ in range(5):
            newest = await office.accounts.tokens.refresh(newest.refresh_token)
        with pytest.raises(NotAuthenticated, match="used before"):
            await office.accounts.tokens.refresh(first.refresh_token)
        assert not await office.is_welcome(newest)

    async def test_of_two_uses_at_once_one_at_most_succeeds(self, office):
        alice = await office.registers("Alice")
        outcomes = await asyncio.gather(
            *(office.accounts.tokens.refresh(alice.refresh_token) for _ in range(6)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 1

    async def test_other_sessions_stay(self, office):
        alice = await office.registers("Alice")
        laptop = await office.logs_in("alice")
        assert await office.is_welcome(await office.accounts.tokens.refresh(alice.refresh_token))
        with pytest.raises(NotAuthenticated):
            await office.accounts.tokens.refresh(alice.refresh_token)
        assert await office.is_welcome(laptop)

    @pytest.mark.parametrize("token", ["", "x", "é", "\x00", "A" * 64, "=" * 100])
    async def test_what_is_no_refresh_token_is_refused(self, office, token):
        with pytest.raises(NotAuthenticated):
            await office.accounts.tokens.refresh(token)

    async def test_a_session_that_is_renewed_does_not_end(self, office):
        grant = await office.registers("Alice")
        for _ in range(5):
            office.clock.ms += 60 * DAY_MS
            grant = await office.accounts.tokens.refresh(grant.refresh_token)
        assert await office.is_welcome(grant)

    async def test_a_session_that_is_not_renewed_ends(self, office):
        alice = await office.registers("Alice")
        office.clock.ms += 90 * DAY_MS
        with pytest.raises(NotAuthenticated):
            await office.accounts.tokens.refresh(alice.refresh_token)

    async def test_after_a_deactivation_nothing_is_renewed(self, office):
        alice = await office.registers("Alice")
        await office.accounts.admin.deactivate(Operator(), alice.requester.user_uuid)
        with pytest.raises(NotAuthenticated):
            await office.accounts.tokens.refresh(alice.refresh_token)


class TestRepeatableRefresh:
    """C-S API v1.19 "Refreshing access tokens"."""

    async def test_uses_at_once_give_the_same_token(self, office):
        alice = await office.registers("Alice")
        grants = await asyncio.gather(
            *(_again(office, alice.refresh_token) for _ in range(6)),
        )
        assert len({grant.refresh_token for grant in grants}) == 1

    async def test_who_missed_the_answer_may_ask_again(self, office):
        alice = await office.registers("Alice")
        missed = await _again(office, alice.refresh_token)
        again = await _again(office, alice.refresh_token)
        assert again.refresh_token == missed.refresh_token
        assert await office.is_welcome(again)
        newest = await _again(office, again.refresh_token)
        assert await office.is_welcome(newest)

    async def test_not_after_the_new_access_token_was_used(self, office):
        alice = await office.registers("Alice")
        assert await office.is_welcome(await _again(office, alice.refresh_token))
        with pytest.raises(NotAuthenticated, match="used before"):
            await _again(office, alice.refresh_token)

    async def test_not_after_the_new_refresh_token_was_used(self, office):
        alice = await office.registers("Alice")
        second = await _again(office, alice.refresh_token)
        await _again(office, second.refresh_token)
        with pytest.raises(NotAuthenticated, match="used before"):
            await _again(office, alice.refresh_token)


class TestSessions:
    async def test_one_sees_where_one_is_logged_in(self, office):
        alice = await office.registers("Alice")
        office.clock.ms += 1000
        laptop = await office.logs_in("alice")
        await office.registers("Bob")
        seen = await office.accounts.sessions.list(laptop.requester)
        assert [session.uuid for session in seen] == [
            laptop.requester.session_uuid,
            alice.requester.session_uuid,
        ]
        assert [session.is_current for session in seen] == [True, False]
        assert (seen[0].name, seen[0].user_agent, seen[0].last_seen_ip) == (
            "Phone",
            "Chat/1.0",
            "192.0.2.7",
        )

    async def test_logging_out_ends_this_session_at_once(self, office):
        alice = await office.registers("Alice")
        laptop = await office.logs_in("alice")
        assert await office.is_welcome(alice)
        await office.accounts.tokens.logout(alice.requester)
        assert not await office.is_welcome(alice)
        assert await office.is_welcome(laptop)
        assert ("session-revoked", str(alice.requester.session_uuid)) in office.bus.announced

    async def test_logging_out_everywhere(self, office):
        alice = await office.registers("Alice")
        laptop = await office.logs_in("alice")
        bob = await office.registers("Bob")
        await office.accounts.tokens.logout_all(alice.requester)
        assert not await office.is_welcome(alice)
        assert not await office.is_welcome(laptop)
        assert await office.is_welcome(bob)

    async def test_one_ends_ones_own_sessions_only(self, office):
        alice = await office.registers("Alice")
        laptop = await office.logs_in("alice")
        bob = await office.registers("Bob")
        await office.accounts.tokens.revoke(alice.requester, laptop.requester.session_uuid)
        assert not await office.is_welcome(laptop)
        for other in (bob.requester.session_uuid, laptop.requester.session_uuid, uuid4()):
            with pytest.raises(NotFound):
                await office.accounts.tokens.revoke(alice.requester, other)
        assert await office.is_welcome(bob)

    async def test_beyond_the_limit_the_longest_unused_ends(self, office):
        office.accounts.tokens._max_sessions = 3
        first = await office.registers("Alice")
        second = await office.logs_in("alice")
        office.clock.ms += 60_000
        await office.authenticator.authenticate(first.access_token)
        await office.accounts.sightings.flush()
        office.clock.ms += 1000
        newer = [await office.logs_in("alice") for _ in range(2)]
        assert not await office.is_welcome(second)
        assert [await office.is_welcome(grant) for grant in (first, *newer)] == [True] * 3

    async def test_sessions_that_ended_are_forgotten(self, office):
        await office.registers("Alice")
        office.clock.ms += 50 * DAY_MS
        laptop = await office.logs_in("alice")
        office.clock.ms += 40 * DAY_MS
        await office.accounts.upkeep.once()
        async with office.database.connection() as db:
            rows = await db.fetch("SELECT uuid FROM sessions")
        assert [row["uuid"] for row in rows] == [laptop.requester.session_uuid]

    async def test_when_it_was_last_used_is_written_later(self, office):
        alice = await office.registers("Alice")
        created = office.clock.ms
        office.clock.ms += 60_000
        await office.authenticator.authenticate(alice.access_token, address="198.51.100.1")
        before = (await office.accounts.sessions.list(alice.requester))[0]
        assert before.last_seen_at_ms == created
        await office.accounts.sightings.flush()
        after = (await office.accounts.sessions.list(alice.requester))[0]
        assert after.last_seen_at_ms == created + 60_000
        assert after.last_seen_ip == "198.51.100.1"


class TestTickets:
    async def test_a_ticket_works_once(self, office):
        alice = (await office.registers("Alice")).requester
        ticket = office.authenticator.issue_ticket(alice)
        assert ticket.expires_in_s == 30
        assert office.authenticator.redeem_ticket(ticket.ticket) == alice
        with pytest.raises(NotAuthenticated):
            office.authenticator.redeem_ticket(ticket.ticket)

    async def test_a_ticket_is_short_lived(self, office):
        alice = (await office.registers("Alice")).requester
        ticket = office.authenticator.issue_ticket(alice)
        office.clock.ms += 30_000
        with pytest.raises(NotAuthenticated):
            office.authenticator.redeem_ticket(ticket.ticket)

    async def test_a_ticket_ends_with_its_session(self, office):
        alice = (await office.registers("Alice")).requester
        ticket = office.authenticator.issue_ticket(alice)
        await office.accounts.tokens.logout(alice)
        with pytest.raises(NotAuthenticated):
            office.authenticator.redeem_ticket(ticket.ticket)

    async def test_a_ticket_is_no_access_token(self, office):
        alice = (await office.registers("Alice")).requester
        ticket = office.authenticator.issue_ticket(alice)
        with pytest.raises(NotAuthenticated):
            await office.authenticator.authenticate(ticket.ticket)


def replace_requester(requester: Callable) -> object:
    class Sessions:
        pass

    sessions = Sessions()
    sessions.requester = requester
    return sessions


async def _again(office: Office, refresh_token: str) -> Grant:
    return await office.accounts.tokens.refresh(refresh_token, repeatable=True)
