"""What `foyer admin verify` finds in a database that was damaged."""

import pytest

from homeserver import verify as verifying
from homeserver.events.room_version import V11
from homeserver.events.signing import SigningKey
from homeserver.storage.database import Database
from homeserver.verify import Check, verify
from tests.support.engine import admits, receives
from tests.support.room_factory import ALICE, BOB, CHARLIE, RoomFactory
from tests.support.server import SERVER, running_server

KEY = SigningKey.from_seed(b"1" * 32, "ed25519:test")
ANOTHER_KEY = SigningKey.from_seed(b"2" * 32, "ed25519:test")

DAMAGES = {
    "accepted events have a position, and only they": (
        "UPDATE events SET status = 1 WHERE type = 'm.room.message' AND position > 0"
    ),
    "events in the graph have a state version, outliers have none": (
        "UPDATE events SET state_version = NULL WHERE type = 'm.reaction'"
    ),
    "positions run without gaps from 1 to the newest, but for those of purged rooms": (
        "DELETE FROM events WHERE type = 'm.reaction'"
    ),
    "positions of backfilled events run without gaps from -1 downwards": (
        "UPDATE stream_positions SET position = 7 WHERE stream = 'backfill'"
    ),
    "every room has a head, and every head a room": "DELETE FROM room_heads",
    "forward extremities are accepted events of their room": (
        "UPDATE room_heads SET extremities = array_append(extremities, 999999)"
    ),
    "a head is as deep as the deepest event": "UPDATE room_heads SET depth = depth + 1",
    "events belong to rooms, senders and redactions that exist": (
        "UPDATE events SET sender_nid = 999999 WHERE type = 'm.reaction'"
    ),
    "each entry of a room's state has one value at a time": (
        "UPDATE room_state SET until_version = NULL WHERE type = 'm.room.topic'"
    ),
    "entries vanish only where histories fork": (
        "UPDATE room_state SET until_version = since_version + 1 WHERE type = 'm.room.name'"
    ),
    "state versions are those of the head, each with a change": (
        "UPDATE room_heads SET state_version = state_version + 1"
    ),
    "the state consists of state events of the room that were not rejected": (
        "UPDATE room_state SET event_nid = 999999 WHERE type = 'm.room.name'"
    ),
    "no event's state is newer than the room's": (
        "UPDATE events SET state_version = 999 WHERE type = 'm.reaction'"
    ),
    "where nothing forks, each event's state is that after the event before it": (
        "UPDATE events SET state_version = state_version - 1 WHERE type = 'm.reaction'"
    ),
    "where nothing forks, each state event changes the state": (
        "DELETE FROM room_state WHERE type = 'm.room.name'"
    ),
    "forks belong to a version of their room and consist of its events": (
        "UPDATE state_fork_entries SET event_nid = 999999"
    ),
    "what counts as missing is not here": (
        "INSERT INTO missing_events SELECT room_nid, event_id FROM events LIMIT 1"
    ),
    "relations belong to events, and those of redacted events are withdrawn": (
        "UPDATE relations SET event_nid = event_nid + 999999"
    ),
    "receipts stand at events of their room, and within their stream": (
        "UPDATE receipts SET event_position = event_position + 1"
    ),
    "state events have their auth events, which are state events": (
        "UPDATE event_auth SET auth_nids = array_append(auth_nids, 999999)"
    ),
    verifying.READABLE: "UPDATE events SET raw = '{' WHERE type = 'm.reaction'",
    verifying.IDENTIFIED: ("UPDATE events SET uuid = gen_random_uuid() WHERE type = 'm.reaction'"),
    verifying.COLUMNS: "UPDATE events SET type = 'm.room.name' WHERE type = 'm.room.topic'",
    verifying.HASHED: (
        "UPDATE events SET raw = replace(convert_from(raw, 'UTF8'), 'hello', 'hullo')::bytea"
    ),
    verifying.PREVIOUS: "DELETE FROM events WHERE type = 'm.reaction'",
    verifying.ENDS: "UPDATE room_heads SET extremities = '{}'",
    verifying.MEMBERS: "UPDATE memberships SET membership = 'ban'",
}


@pytest.fixture
async def used(database: Database) -> Database:
    """A database in which everything has happened that leaves rows."""
    async with running_server(database) as server:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob, name="Cats", topic="all of them")
        await server.sends(alice, room, "m.room.topic", {"topic": "these"}, state_key="")
        said = await server.says(alice, room, "hello")
        await server.actions.send.react(bob, said.message_uuid, "+")
        await server.reads(bob, room, said.message_uuid)
        gone = await server.says(alice, room, "forget it")
        await server.actions.send.delete(alice, gone.message_uuid)
        history = RoomFactory.public_chat(V11, members=(BOB, CHARLIE))
        theirs = await receives(server, history)
        other = history.fork()
        earlier, later = other.topic(ALICE, "lost"), history.topic(ALICE, "kept")
        fork, banned = other.message(BOB, "which topic?"), history.ban(ALICE, CHARLIE)
        await admits(server, theirs, [later, earlier, fork, banned])
    return database


async def broken(database: Database, key: SigningKey | None = None) -> dict[str, Check]:
    checks = await verify(database, server_name=SERVER, key=key)
    return {check.name: check for check in checks if check.broken}


class TestADatabaseThatIsWhole:
    async def test_nothing_is_found(self, used):
        assert await broken(used, KEY) == {}

    async def test_an_empty_one(self, database):
        assert await broken(database, KEY) == {}

    async def test_every_check_has_a_damage_here(self, used):
        names = {check.name for check in await verify(used, server_name=SERVER)}
        assert names == DAMAGES.keys()


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damage_is_found(used, name):
    async with used.transaction() as db:
        await db.execute(DAMAGES[name])
    found = (await broken(used))[name]
    assert found.broken >= len(found.first) > 0


class TestSignatures:
    async def test_those_of_another_key(self, used):
        assert (await broken(used, ANOTHER_KEY)).keys() == {verifying.SIGNED}


class TestManyBrokenRows:
    async def test_all_are_counted_and_some_are_shown(self, used, monkeypatch):
        monkeypatch.setattr(verifying, "SHOWN", 2)
        async with used.transaction() as db:
            await db.execute("UPDATE memberships SET membership = 'knock'")
        found = (await broken(used))[verifying.MEMBERS]
        assert (found.broken, len(found.first)) == (5, 2)


class TestRoomsThatArePurged:
    async def test_what_is_left_of_one_need_not_fit_together(self, used):
        async with used.transaction() as db:
            await db.execute("UPDATE rooms SET deleted_at = 1")
            await db.execute(
                "WITH gone AS (DELETE FROM events WHERE type = 'm.room.message'"
                " RETURNING position, event_nid), related AS (DELETE FROM relations"
                " WHERE event_nid IN (SELECT event_nid FROM gone))"
                " UPDATE stream_positions SET purged = (SELECT count(position) FROM gone)"
                " WHERE stream = 'events'"
            )
        assert await broken(used) == {}
