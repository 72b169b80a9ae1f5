"""Rooms that were deleted long ago, and forks that nobody needs."""

from collections.abc import Awaitable, Callable

from homeserver.actions.receipts import Markers
from homeserver.auth.verdict import Rule
from homeserver.delivery import retention as module
from homeserver.delivery.retention import Retention
from homeserver.events.stored import RoomRecord
from homeserver.rooms.refusal import RuleBroken
from homeserver.storage import room_state
from homeserver.storage.database import Connection
from tests.support.server import Server, server

__all__ = ["server"]

DAY_MS = 86_400_000


def retention(
    server: Server, empty: Callable[[RoomRecord], Awaitable[None]] | None = None
) -> Retention:
    return Retention(
        database=server.database,
        bus=server.bus,
        clock=server.clock,
        keep_deleted_days=30,
        empty=empty or server.actions.room_settings.empty,
        pause_s=0,
    )


async def rows_about(db: Connection, room_nid: int) -> dict[str, int]:
    """How many rows there are in every table that has rooms."""
    tables = await db.fetch(
        "SELECT table_name FROM information_schema.columns"
        " WHERE column_name = 'room_nid' AND table_schema = 'public'"
    )
    counts = {}
    for (table,) in tables:
        query = f"SELECT count(*) FROM {table} WHERE room_nid = $1"
        if count := await db.fetchval(query, room_nid):
            counts[table] = count
    return counts


async def sizes(db: Connection) -> dict[str, int]:
    """How many rows there are in the tables that have events, not rooms."""
    tables = ("events", "event_auth", "relations", "message_search", "state_fork_entries")
    return {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def lived_in(server: Server) -> RoomRecord:
    """A room with a row in as many tables as there are."""
    (alice,) = await server.people(f"alice{server.clock.ms}")
    room = await server.channel(alice, alias=f"news{server.clock.ms}")
    sent = await server.says(alice, room, "hello")
    await server.actions.send.edit(alice, sent.message_uuid, "hello there")
    await server.actions.send.react(alice, sent.message_uuid, "👍")
    gone = await server.says(alice, room, "gone")
    await server.actions.send.delete(alice, gone.message_uuid)
    await server.reads(alice, room, sent.message_uuid)
    writer = server.core.streams.account_data_writer
    await writer.put(alice.user_nid, room.room_nid, "m.tag", b"{}")
    await server.search_index.catch_up()
    async with server.database.transaction() as db:
        name = ("m.room.name", "")
        fork = await room_state.insert_fork(db, room.room_nid, 1, {name: None})
        await db.execute("UPDATE events SET fork_nid = $1 WHERE uuid = $2", fork, sent.message_uuid)
        await db.execute("INSERT INTO missing_events VALUES ($1, '$missing')", room.room_nid)
        await db.execute(
            """
            INSERT INTO events (event_nid, room_nid, sender_nid, depth, ts, uuid, status,
                is_message, type, event_id, raw)
            SELECT -event_nid, room_nid, sender_nid, depth, ts, gen_random_uuid(), 3, false, type,
                'outlier', raw
            FROM events WHERE room_nid = $1 AND type = 'm.room.create'
            """,
            room.room_nid,
        )
    await server.actions.room_settings.delete(alice, room.uuid)
    return room


class TestDeletedRooms:
    async def test_nothing_is_left_of_one_and_all_of_the_others(self, server: Server) -> None:
        (bob,) = await server.people("bob")
        kept = await server.group(bob)
        await server.says(bob, kept, "hello")
        await server.search_index.catch_up()
        async with server.database.connection() as db:
            of_kept, before = await rows_about(db, kept.room_nid), await sizes(db)
        room = await lived_in(server)
        async with server.database.connection() as db:
            assert len(await rows_about(db, room.room_nid)) >= 8
        server.clock.ms += 31 * DAY_MS
        await retention(server).once()
        async with server.database.connection() as db:
            assert await rows_about(db, room.room_nid) == {}
            assert await rows_about(db, kept.room_nid) == of_kept
            assert await sizes(db) == before

    async def test_one_that_was_deleted_lately_stays(self, server: Server) -> None:
        room = await lived_in(server)
        server.clock.ms += 29 * DAY_MS
        async with server.database.connection() as db:
            before = await rows_about(db, room.room_nid)
            await retention(server).once()
            assert await rows_about(db, room.room_nid) == before

    async def test_many_batches_do_it_too(self, server: Server, monkeypatch) -> None:
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
        room = await lived_in(server)
        server.clock.ms += 31 * DAY_MS
        await retention(server).once()
        async with server.database.connection() as db:
            assert await rows_about(db, room.room_nid) == {}

    async def test_what_was_cut_off_goes_on(self, server: Server, monkeypatch) -> None:
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
        room = await lived_in(server)
        server.clock.ms += 31 * DAY_MS
        async with server.database.transaction() as db:
            await module.purging.purge_events(db, room.room_nid, 3)
        await retention(server).once()
        async with server.database.connection() as db:
            assert await rows_about(db, room.room_nid) == {}

    async def test_the_gaps_in_the_stream_are_accounted_for(self, server: Server) -> None:
        (bob,) = await server.people("bob")
        await lived_in(server)
        kept = await server.group(bob)
        await server.says(bob, kept, "hello")
        server.clock.ms += 31 * DAY_MS
        await retention(server).once()
        async with server.database.connection() as db:
            held = await db.fetchval("SELECT count(*) FROM events WHERE position IS NOT NULL")
            row = await db.fetchrow("SELECT * FROM stream_positions WHERE stream = 'events'")
        assert row["purged"] > 0
        assert held + row["purged"] == row["position"] == server.position

    async def test_the_room_is_forgotten_in_memory(self, server: Server) -> None:
        room = await lived_in(server)
        server.clock.ms += 31 * DAY_MS
        await retention(server).once()
        assert await server.core.streams.rooms.by_uuid(room.uuid) is None

    async def test_other_tails_and_cursors_pass_the_gap(self, server: Server) -> None:
        (bob,) = await server.people("bob")
        kept = await server.group(bob)
        after = server.position
        await lived_in(server)
        await server.says(bob, kept, "hello")
        server.clock.ms += 31 * DAY_MS
        await retention(server).once()
        missed = await server.views.live.replay(bob.user_nid, after, server.position, 100)
        assert [each.position for each in missed] == [server.position]
        assert await server.search_index.catch_up() == server.position


class TestLeftOvers:
    async def test_who_is_still_in_a_deleted_room_leaves_it(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        async with server.database.transaction() as db:
            await db.execute("UPDATE rooms SET deleted_at = $1", server.clock.ms)
        server.bus.announce("room-changed", str(room.uuid))
        await retention(server).once()
        for person in (alice, bob):
            subscriptions = await server.views.live.subscriptions(person.user_nid)
            assert not subscriptions.room_nids
        async with server.database.connection() as db:
            memberships = await db.fetch("SELECT DISTINCT membership FROM memberships")
        assert [row["membership"] for row in memberships] == ["leave"]

    async def test_one_room_that_refuses_does_not_stop_the_rest(self, server: Server) -> None:
        async def refuse(_room: RoomRecord) -> None:
            raise RuleBroken(Rule.LEAVE_NOT_IN_ROOM)

        stuck, room = await lived_in(server), await lived_in(server)
        async with server.database.transaction() as db:
            await db.execute(
                "UPDATE memberships SET membership = 'join' WHERE room_nid = $1", stuck.room_nid
            )
        server.clock.ms += 31 * DAY_MS
        await retention(server, refuse).once()
        async with server.database.connection() as db:
            assert await rows_about(db, room.room_nid) == {}


class TestForks:
    async def test_those_that_no_event_needs_go(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        sent = await server.says(alice, room, "hello")
        async with server.database.transaction() as db:
            needed = await room_state.insert_fork(db, room.room_nid, 1, {})
            await room_state.insert_fork(db, room.room_nid, 1, {("m.room.name", ""): None})
            await db.execute(
                "UPDATE events SET fork_nid = $1 WHERE uuid = $2", needed, sent.message_uuid
            )
        await retention(server).once()
        async with server.database.connection() as db:
            assert [row["fork_nid"] for row in await db.fetch("SELECT * FROM state_forks")] == [
                needed
            ]


class TestAccountData:
    async def test_what_deactivated_people_kept_goes(self, server, monkeypatch):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
        alice, bob = await server.people("alice", "bob")
        writer = server.core.streams.account_data_writer
        for by in (alice, bob):
            for number in range(5):
                await writer.put(by.user_nid, 0, f"t{number}", b"{}")
        async with server.database.transaction() as db:
            await db.execute(
                "INSERT INTO accounts (user_nid, email, email_key, password_hash,"
                " password_changed_at, created_at, updated_at, deactivated_at)"
                " SELECT user_nid, user_id, user_id, '', 0, 0, 0,"
                " CASE WHEN user_nid = $1 THEN 1 END FROM users",
                alice.user_nid,
            )
        await retention(server).once()
        async with server.database.connection() as db:
            rows = await db.fetch("SELECT DISTINCT user_nid FROM account_data")
        assert [row["user_nid"] for row in rows] == [bob.user_nid]


class TestReceiptsOfThreads:
    async def left(self, server: Server) -> set[tuple[str, str]]:
        """Kind and thread of all receipts but those of delivery."""
        await retention(server).once()
        async with server.database.connection() as db:
            rows = await db.fetch("SELECT kind, thread FROM receipts WHERE kind <> 'delivered'")
        return {(row["kind"], row["thread"]) for row in rows}

    async def read(self, server: Server, by, room: RoomRecord, sent, **more: str) -> None:
        markers = Markers(**{"read": sent.event_id, **more})
        await server.actions.receipts.mark(by, room.room_id, markers)

    async def test_those_that_a_receipt_of_the_room_says_too_go(self, server):
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        root = await server.says(alice, room, "a question")
        answer = await server.says(alice, room, "an answer", thread=root.message_uuid)
        last = await server.says(alice, room, "something else")
        await self.read(server, bob, room, answer, private=answer.event_id, thread=root.event_id)
        await self.read(server, bob, room, root)
        everything = {("read", root.event_id), ("private", root.event_id), ("read", "")}
        assert await self.left(server) == everything
        await self.read(server, bob, room, last)
        assert await self.left(server) == {("read", "")}

    async def test_so_do_those_before_all_that_counts(self, server, monkeypatch):
        monkeypatch.setattr(module, "WINDOW", 3)
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        root = await server.says(alice, room, "a question")
        answer = await server.says(alice, room, "an answer", thread=root.message_uuid)
        await self.read(server, bob, room, answer, thread=root.event_id)
        await self.read(server, bob, room, root, thread="main")
        for text in ("one", "two", "three"):
            assert len(await self.left(server)) == 2
            await server.says(alice, room, text)
        assert await self.left(server) == {("read", "main")}
