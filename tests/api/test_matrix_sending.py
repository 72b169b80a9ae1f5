"""Sending events and redacting them over the Matrix API (room_send.yaml, redaction.yaml)."""

import asyncio

import pytest

from homeserver.config import RateLimitsConfig
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixUser, matrix_server, q
from tests.support.stored_events import event_count, rows, stored

TEXT = {"msgtype": "m.text", "body": "hello"}


def send_path(room: str, event_type: str = "m.room.message", txn_id: str = "1") -> str:
    return f"v3/rooms/{q(room)}/send/{q(event_type)}/{q(txn_id)}"


def redact_path(room: str, event_id: str, txn_id: str = "1") -> str:
    return f"v3/rooms/{q(room)}/redact/{q(event_id)}/{q(txn_id)}"


class TestSendMessage:
    """sendMessage."""

    async def test_an_event_of_any_type_goes_into_the_room(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        event_id = await alice.sends(room, "com.example.any/thing", {"a": [1, None, "x"]})
        assert (await stored(database, event_id))["type"] == "com.example.any/thing"

    async def test_a_transaction_id_is_used_once(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        first = await alice.put(send_path(room), TEXT)
        before = await event_count(database)
        assert await alice.put(send_path(room), TEXT) == first
        assert await event_count(database) == before

    async def test_also_by_requests_at_the_same_time(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        answers = await asyncio.gather(*(alice.put(send_path(room), TEXT) for _ in range(5)))
        assert len({answer["event_id"] for answer in answers}) == 1

    async def test_also_across_a_restart(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        first = await alice.put(send_path(room), TEXT)
        async with matrix_server(database) as again:
            same_alice = MatrixUser(again.client, alice.token, alice.user_id)
            assert await same_alice.put(send_path(room), TEXT) == first

    async def test_a_transaction_id_belongs_to_one_path(self, server):
        alice = await server.registers("alice")
        room, other = await alice.creates_room(), await alice.creates_room()
        answers = [
            await alice.put(path, TEXT)
            for path in (send_path(room), send_path(other), send_path(room, "com.example.x"))
        ]
        assert len({answer["event_id"] for answer in answers}) == 3

    async def test_a_transaction_id_belongs_to_one_device(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        first = await alice.put(send_path(room), TEXT)
        assert await bob.put(send_path(room), TEXT) != first

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        refusals = [
            await bob.asks("PUT", send_path(where), TEXT, status=403)
            for where in (room, "!nowhere:example.org")
        ]
        assert refusals[0]["errcode"] == "M_FORBIDDEN"
        assert refusals[0] == refusals[1]

    async def test_who_has_left_cannot_send(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        await bob.post(f"v3/rooms/{q(room)}/leave")
        assert await bob.is_refused("PUT", send_path(room), TEXT, status=403) == "M_FORBIDDEN"

    async def test_the_power_level_of_the_type_is_needed(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            preset="public_chat", power_level_content_override={"events_default": 10}
        )
        await bob.joins(room)
        assert await bob.is_refused("PUT", send_path(room), TEXT, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize(
        ("body", "status", "errcode"),
        [
            (b"{", 400, "M_NOT_JSON"),
            (b"", 400, "M_NOT_JSON"),
            (b"\xff\xfe", 400, "M_NOT_JSON"),
            (b"[]", 400, "M_BAD_JSON"),
            (b'"text"', 400, "M_BAD_JSON"),
            ({"a": 1.5}, 400, "M_BAD_JSON"),
            ({"a": {"b": [2**53]}}, 400, "M_BAD_JSON"),
            (b'{"a":"\\ud800"}', 400, "M_NOT_JSON"),
            (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", 400, "M_BAD_JSON"),
            ({"body": "x" * 65_536}, 413, "M_TOO_LARGE"),
        ],
        ids=range(10),
    )
    async def test_what_no_event_can_hold_is_refused(self, server, database, body, status, errcode):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        before = await event_count(database)
        assert await alice.is_refused("PUT", send_path(room), body, status=status) == errcode
        assert await event_count(database) == before

    async def test_also_in_old_rooms(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_version="1")
        refused = await alice.is_refused("PUT", send_path(room), {"a": 1.5}, status=400)
        assert refused == "M_BAD_JSON"

    async def test_a_type_has_255_bytes(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        await alice.put(send_path(room, "x" * 255), {})
        path = send_path(room, "x" * 256, "2")
        assert await alice.is_refused("PUT", path, {}, status=413) == "M_TOO_LARGE"

    @pytest.mark.parametrize("event_type", ["m.room.create", "m.room.member"])
    async def test_what_only_state_events_can_be(self, server, event_type):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        body = {"membership": "join", "room_version": "12"}
        path = send_path(room, event_type)
        assert await alice.is_refused("PUT", path, body, status=403) == "M_FORBIDDEN"

    async def test_a_long_transaction_id_is_refused(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = send_path(room, txn_id="t" * 300)
        assert await alice.is_refused("PUT", path, TEXT, status=400) == "M_INVALID_PARAM"

    async def test_only_application_services_choose_the_time(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        answer = await alice.put(send_path(room), TEXT, ts=1000)
        assert (await stored(database, answer["event_id"]))["ts"] > 1000

    async def test_a_time_that_is_none_is_refused(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        for ts in ("soon", -1, 2**53):
            refused = await alice.is_refused("PUT", send_path(room), TEXT, status=400, ts=ts)
            assert refused == "M_INVALID_PARAM"

    async def test_native_clients_read_it(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room(name="Garden")
        await alice.says(room, "hello")
        (listed,) = await alice.native.get("/api/rooms")
        assert listed["last_message"]["content"] == "hello"


class TestRateLimits:
    """C-S API v1.19 "Rate limiting"."""

    async def test_messages_are_limited(self, database):
        limits = RateLimitsConfig(messages_per_second=0.01, messages_burst=2)
        config = OPEN.model_copy(update={"rate_limits": limits})
        async with matrix_server(database, config=config) as server:
            alice = await server.registers("alice")
            room = await alice.creates_room()
            await alice.says(room, "one")
            await alice.sets(room, "m.room.name", {"name": "two"})
            answer = await alice.asks("PUT", send_path(room, txn_id="3"), TEXT, status=429)
            assert answer["errcode"] == "M_LIMIT_EXCEEDED"
            assert answer["retry_after_ms"] > 0


class TestAvoidingDuplicateAnnotations:
    """C-S API v1.19 "Avoiding duplicate annotations"."""

    def reaction(self, event_id: str, key: str = "👍") -> dict:
        return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}

    async def test_the_same_reaction_twice_is_refused(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        await alice.sends(room, "m.reaction", self.reaction(message))
        path = send_path(room, "m.reaction")
        refused = await alice.is_refused("PUT", path, self.reaction(message), status=400)
        assert refused == "M_DUPLICATE_ANNOTATION"

    async def test_the_same_request_twice_is_the_same(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        path = send_path(room, "m.reaction")
        first = await alice.put(path, self.reaction(message))
        assert await alice.put(path, self.reaction(message)) == first
        async with matrix_server(database) as again:
            same_alice = MatrixUser(again.client, alice.token, alice.user_id)
            assert await same_alice.put(path, self.reaction(message)) == first

    async def test_of_two_at_once_one_is_refused(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        answers = await asyncio.gather(
            *(
                alice.request("PUT", send_path(room, "m.reaction", str(n)), self.reaction(message))
                for n in range(3)
            )
        )
        assert sorted(status for status, _ in answers) == [200, 400, 400]

    async def test_other_keys_types_and_people_are_others(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        message = await alice.says(room, "hello")
        await alice.sends(room, "m.reaction", self.reaction(message))
        await alice.sends(room, "m.reaction", self.reaction(message, "👎"))
        await alice.sends(room, "com.example.vote", self.reaction(message))
        await bob.sends(room, "m.reaction", self.reaction(message))

    async def test_a_redacted_one_counts_no_more(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        first = await alice.sends(room, "m.reaction", self.reaction(message))
        await alice.put(redact_path(room, first), {})
        await alice.sends(room, "m.reaction", self.reaction(message))

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        path = send_path(room, "m.reaction")
        refused = await bob.is_refused("PUT", path, self.reaction(message), status=403)
        assert refused == "M_FORBIDDEN"


class TestRedactEvent:
    """redactEvent."""

    async def test_an_own_event(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "secret")
        answer = await alice.put(redact_path(room, message), {"reason": "wrong room"})
        assert b"secret" not in (await stored(database, message))["raw"]
        assert b"wrong room" in (await stored(database, answer["event_id"]))["raw"]

    @pytest.mark.parametrize("version", ["1", "6", "10", "11", "12"])
    async def test_by_the_sending_endpoint_in_all_versions(self, server, database, version):
        alice = await server.registers("alice")
        room = await alice.creates_room(room_version=version)
        message = await alice.says(room, "secret")
        redaction = await alice.sends(room, "m.room.redaction", {"redacts": message, "reason": "x"})
        assert b"secret" not in (await stored(database, message))["raw"]
        pdu = (await stored(database, redaction))["pdu"]
        assert ("redacts" in pdu["content"]) == (version in ("11", "12"))
        assert ("redacts" in pdu) == (version not in ("11", "12"))

    async def test_that_needs_an_event(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        path = send_path(room, "m.room.redaction")
        for body in ({}, {"redacts": 1}):
            assert await alice.is_refused("PUT", path, body, status=400) == "M_BAD_JSON"

    async def test_others_need_the_level(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        hers, his = await alice.says(room, "hers"), await bob.says(room, "his")
        refused = await bob.is_refused("PUT", redact_path(room, hers), {}, status=403)
        assert refused == "M_FORBIDDEN"
        await alice.put(redact_path(room, his), {})

    async def test_the_level_of_redactions_is_needed_for_own_events_too(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room(
            preset="public_chat",
            power_level_content_override={"events": {"m.room.redaction": 50}},
        )
        await bob.joins(room)
        his = await bob.says(room, "his")
        refused = await bob.is_refused("PUT", redact_path(room, his), {}, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_a_second_time_changes_nothing(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "secret")
        await alice.put(redact_path(room, message, "1"), {})
        once = await stored(database, message)
        await alice.put(redact_path(room, message, "2"), {})
        assert await stored(database, message) == once

    async def test_a_transaction_id_is_used_once(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "secret")
        first = await alice.put(redact_path(room, message), {})
        assert await alice.put(redact_path(room, message), {}) == first
        async with matrix_server(database) as again:
            same_alice = MatrixUser(again.client, alice.token, alice.user_id)
            assert await same_alice.put(redact_path(room, message), {}) == first

    async def test_state_is_redacted_too(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        named = await alice.sets(room, "m.room.name", {"name": "secret"})
        await alice.put(redact_path(room, named), {})
        assert b"secret" not in (await stored(database, named))["raw"]

    async def test_a_rooms_creation_stays(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        (row,) = await rows(database, "SELECT event_id FROM events WHERE type = 'm.room.create'")
        path = redact_path(room, row["event_id"])
        assert await alice.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    async def test_an_event_that_is_not_in_the_room(self, server):
        alice = await server.registers("alice")
        room, other = await alice.creates_room(), await alice.creates_room()
        elsewhere = await alice.says(other, "hello")
        for event_id in ("$nothing", elsewhere):
            path = redact_path(room, event_id)
            assert await alice.is_refused("PUT", path, {}, status=404) == "M_NOT_FOUND"

    async def test_strangers_learn_nothing(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        for event_id in (message, "$nothing"):
            path = redact_path(room, event_id)
            assert await bob.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    async def test_wrong_types_are_refused(self, server):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "hello")
        path = redact_path(room, message)
        assert await alice.is_refused("PUT", path, {"reason": 1}, status=400) == "M_BAD_JSON"
        path = redact_path(room, "no event ID")
        assert await alice.is_refused("PUT", path, {}, status=400) == "M_INVALID_PARAM"
