"""Errors that the specification documents for single operations, and that no other test shows."""

import pytest

from tests.support.matrix_server import q

NO_EVENT = q("$nothing")


class TestRelations:
    """getRelatingEventsWithRelType, …AndEventType."""

    @pytest.mark.parametrize("more", ["m.thread", "m.annotation/m.reaction"])
    async def test_nothing_hangs_on_an_event_that_is_not_there(self, server, more):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = f"v1/rooms/{q(room)}/relations/{NO_EVENT}/{more}"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    async def test_nor_on_one_that_one_may_not_see(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        event_id = await alice.says(room, "private")
        path = f"v1/rooms/{q(room)}/relations/{q(event_id)}/m.thread"
        assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"


class TestAliases:
    """getLocalAliases."""

    async def test_of_what_is_no_room(self, server):
        alice = await server.registers("alice")
        refusal = await alice.is_refused("GET", "v3/rooms/nonsense/aliases", status=400)
        assert refusal == "M_INVALID_PARAM"


class TestThirdPartyIdentifiers:
    """registration.yaml, password_management.yaml: nobody sends e-mail or text here."""

    @pytest.mark.parametrize("medium", ["email", "msisdn"])
    @pytest.mark.parametrize("purpose", ["account/password", "register"])
    async def test_none_can_be_validated(self, server, purpose, medium):
        alice = await server.registers("alice")
        body = {"client_secret": "secret", "send_attempt": 1}
        body |= {"email": "a@example.org"} if medium == "email" else {}
        body |= {"country": "GB", "phone_number": "7700900001"} if medium == "msisdn" else {}
        path = f"v3/{purpose}/{medium}/requestToken"
        assert await alice.is_refused("POST", path, body, status=403) == "M_THREEPID_DENIED"
        refusal = await alice.is_refused("POST", path, {"send_attempt": "x"}, status=400)
        assert refusal in ("M_BAD_JSON", "M_MISSING_PARAM")


class TestLoginTokens:
    """generateLoginToken."""

    async def test_of_what_is_malformed(self, server):
        alice = await server.registers("alice")
        path = "v1/login/get_token"
        assert await alice.is_refused("POST", path, [], status=400) == "M_BAD_JSON"
        assert await alice.is_refused("POST", path, b"{", status=400) == "M_NOT_JSON"
