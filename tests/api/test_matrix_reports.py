"""Reports over the Matrix API (report_content.yaml)."""

from typing import Any

import pytest

from homeserver.storage.database import Database
from tests.support.matrix_server import q
from tests.support.stored_events import rows

REASON = {"reason": "this makes me sad"}


async def reports(database: Database) -> list[dict[str, Any]]:
    return await rows(
        database,
        "SELECT b.user_id AS by, r.room_id, e.event_id, u.user_id, p.reason, p.score"
        " FROM reports p JOIN users b ON b.user_nid = p.reported_by"
        " LEFT JOIN rooms r USING (room_nid) LEFT JOIN events e USING (event_nid)"
        " LEFT JOIN users u ON u.user_nid = p.user_nid ORDER BY p.report_nid",
    )


class TestReportRoom:
    """reportRoom."""

    async def test_also_by_somebody_who_is_not_in_it(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room = await alice.creates_room()
        assert await bob.post(f"v3/rooms/{q(room)}/report", REASON) == {}
        (report,) = await reports(database)
        assert (report["by"], report["room_id"]) == (bob.user_id, room)
        assert report["reason"] == REASON["reason"]

    async def test_a_room_that_is_not_there(self, server):
        alice = await server.registers("alice")
        where = f"v3/rooms/{q('!nowhere:example.org')}/report"
        assert await alice.is_refused("POST", where, REASON, status=404) == "M_NOT_FOUND"

    @pytest.mark.parametrize("body", [{}, {"reason": 1}, []], ids=str)
    async def test_wrong_types(self, server, body):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        where = f"v3/rooms/{q(room)}/report"
        assert await alice.is_refused("POST", where, body, status=400) == "M_BAD_JSON"

    async def test_a_reason_is_limited(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        where = f"v3/rooms/{q(room)}/report"
        body = {"reason": "x" * 5_000}
        assert await alice.is_refused("POST", where, body, status=400) == "M_INVALID_PARAM"
        await alice.post(where, {"reason": "nul\0"})
        assert len(await reports(database)) == 1


class TestReportEvent:
    """reportEvent."""

    async def test_a_message_of_a_room_that_one_is_in(self, server, database):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "bad")
        where = f"v3/rooms/{q(room)}/report/{q(message)}"
        await alice.post(where, REASON | {"score": -100})
        await alice.post(where, {})
        first, second = await reports(database)
        assert (first["room_id"], first["event_id"], first["score"]) == (room, message, -100)
        assert second["reason"] == ""

    async def test_what_is_not_there_and_what_one_may_not_know(self, server):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        room, other = await alice.creates_room(), await alice.creates_room()
        message, elsewhere = await alice.says(room, "bad"), await alice.says(other, "x")
        answers = [
            await bob.asks("POST", f"v3/rooms/{q(where)}/report/{q(what)}", REASON, status=404)
            for where, what in (
                (room, message),
                (room, "$nothing"),
                ("!nowhere:example.org", message),
            )
        ]
        assert answers[0]["errcode"] == "M_NOT_FOUND"
        assert answers[0] == answers[1] == answers[2]
        where = f"v3/rooms/{q(room)}/report/{q(elsewhere)}"
        assert await alice.is_refused("POST", where, REASON, status=404) == "M_NOT_FOUND"

    @pytest.mark.parametrize("body", [{"reason": 1}, {"score": "x"}, {"score": 1}], ids=str)
    async def test_wrong_types(self, server, body):
        alice = await server.registers("alice")
        room = await alice.creates_room()
        message = await alice.says(room, "bad")
        where = f"v3/rooms/{q(room)}/report/{q(message)}"
        assert await alice.is_refused("POST", where, body, status=400) == "M_BAD_JSON"


class TestReportUser:
    """reportUser."""

    async def test_anybody(self, server, database):
        alice, bob = await server.registers("alice"), await server.registers("bob")
        assert await alice.post(f"v3/users/{q(bob.user_id)}/report", REASON) == {}
        (report,) = await reports(database)
        assert report["user_id"] == bob.user_id

    async def test_nobody(self, server):
        alice = await server.registers("alice")
        where = f"v3/users/{q('@nobody:example.org')}/report"
        assert await alice.is_refused("POST", where, REASON, status=404) == "M_NOT_FOUND"

    async def test_only_the_newest_of_a_person_are_kept(self, server, database):
        alice = await server.registers("alice")
        await rows(
            database,
            "INSERT INTO reports (reported_by, reason, reported_at)"
            " SELECT user_nid, 'old', 0 FROM users, generate_series(1, 500) RETURNING 1",
        )
        await alice.post(f"v3/users/{q(alice.user_id)}/report", REASON)
        kept = await reports(database)
        assert len(kept) == 500
        assert kept[-1]["reason"] == REASON["reason"]
