"""Counts of what somebody has not read: C-S API v1.19 "Receiving notifications"."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
import pytest

from homeserver.actions.receipts import Markers
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.push_rules.conditions import Circumstances, Reader
from homeserver.push_rules.editing import WantedRule
from homeserver.push_rules.evaluation import program_of
from homeserver.push_rules.properties import EventView
from homeserver.requester import Requester
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Database
from homeserver.streams.room_counters import RoomCounts
from tests.support.queries import counted
from tests.support.server import Server, server

__all__ = ["server"]

TEXT = "m.room.message"
QUIET = ()


async def account(server: Server, name: str) -> Requester:
    """Somebody with an account here: others are not notified."""
    person = await server.person(name)
    async with server.database.transaction() as db:
        await db.execute(
            "INSERT INTO accounts (user_nid, password_hash, created_at, updated_at)"
            " VALUES ($1, '', 0, 0)",
            person.user_nid,
        )
    return person


async def people(server: Server, *names: str) -> list[Requester]:
    return [await account(server, name) for name in names]


async def says(
    server: Server, by: Requester, room: RoomRecord, body: str = "hello", **content: Any
) -> StoredEvent:
    content = {"msgtype": "m.text", "body": body} | content
    return await server.sends(by, room, TEXT, content)


def in_thread(root: StoredEvent) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.thread", "event_id": root.event.event_id}}


def mentions(*who: Requester) -> dict[str, Any]:
    return {"m.mentions": {"user_ids": [each.user_id for each in who]}}


async def reads(
    server: Server,
    by: Requester,
    room: RoomRecord,
    event: StoredEvent,
    *,
    thread: str = "",
    private: bool = False,
) -> None:
    event_id = event.event.event_id
    markers = Markers(
        read=None if private else event_id, private=event_id if private else None, thread=thread
    )
    await server.actions.receipts.mark(by, room.room_id, markers)


async def redacts(server: Server, by: Requester, room: RoomRecord, event: StoredEvent) -> None:
    await server.actions.rooms.redacting.redact(
        by, room.room_id, event.event.event_id, {}, txn_id=str(server.position)
    )


async def sets_rule(server: Server, by: Requester, kind: str, rule_id: str, **more: Any) -> None:
    rule = {"actions": (), "conditions": (), "pattern": None} | more
    await server.core.notifications.push_rules.put(by, WantedRule(kind, rule_id, **rule))
    await caught_up(server)


async def ignores(server: Server, by: Requester, *ignored: Requester) -> None:
    content = {"ignored_users": {each.user_id: {} for each in ignored}}
    await server.core.streams.account_data_writer.put(
        by.user_nid, GLOBAL, "m.ignored_user_list", orjson.dumps(content)
    )
    await caught_up(server)


async def counts(server: Server, by: Requester, room: RoomRecord) -> RoomCounts:
    """From memory; the database says the same, also to a process that has just started."""
    await caught_up(server)
    source = server.core.notifications.counts
    found = (await source.of_rooms(by.user_nid, [room.room_nid]))[room.room_nid]
    assert source.peek(by.user_nid, room.room_nid) == found
    assert await after_restart(server, by, room) == found
    return found


async def caught_up(server: Server) -> None:
    """The tails have everything: while one reads, what is written waits."""
    tails = server.core.streams
    async with server.database.connection() as db:
        rows = await db.fetch("SELECT stream, position FROM stream_positions")
    wanted = {row["stream"]: row["position"] for row in rows}
    for name in ("events", "receipts", "account_data"):
        tail = getattr(tails, name)
        while tail.position < wanted[name]:
            tail.poll()
            await asyncio.sleep(0.005)


async def after_restart(server: Server, by: Requester, room: RoomRecord) -> RoomCounts | None:
    await server.core.notifications.writer.catch_up()
    other = Server(server.database)
    await other.core.start()
    async with server.database.transaction() as db:
        written = other.core.notifications.judgements.position
        await db.execute(
            "UPDATE cursors SET position = greatest(position, $1) WHERE name = 'notifications'",
            written,
        )
    found = await other.core.notifications.counts.of_rooms(by.user_nid, [room.room_nid])
    return found.get(room.room_nid)


async def numbers(server: Server, by: Requester, room: RoomRecord) -> tuple[int, int]:
    found = await counts(server, by, room)
    return found.notification_count, found.highlight_count


class TestMessages:
    async def test_messages_of_others_notify(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        assert await numbers(server, bob, room) == (0, 0)
        await says(server, alice, room)
        await server.sends(alice, room, "m.room.encrypted", {"algorithm": "x"})
        assert await numbers(server, bob, room) == (2, 0)
        assert await numbers(server, alice, room) == (0, 0)

    async def test_notices_stickers_reactions_and_edits_are_silent(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        said = await says(server, alice, room)
        await says(server, alice, room, msgtype="m.notice")
        await server.sends(alice, room, "m.sticker", {"body": "x"})
        target = {"event_id": said.event.event_id}
        relation = {"rel_type": "m.annotation", "key": "x"} | target
        await server.sends(alice, room, "m.reaction", {"m.relates_to": relation})
        edit = {"m.relates_to": {"rel_type": "m.replace"} | target, "m.new_content": {"body": "y"}}
        await says(server, alice, room, **edit)
        await server.sends(alice, room, "m.room.topic", {"topic": "x"}, state_key="")
        assert await numbers(server, bob, room) == (1, 0)
        assert (await counts(server, bob, room)).unread_count == 3

    async def test_calls_notify_but_are_no_messages(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await server.sends(alice, room, "m.call.invite", {"call_id": "1"})
        assert await numbers(server, bob, room) == (1, 0)
        assert await numbers(server, alice, room) == (0, 0)
        assert (await counts(server, bob, room)).unread_count == 0

    async def test_a_redacted_message_counts_no_more(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        said = [await says(server, alice, room, **mentions(bob)) for _ in range(3)]
        assert await numbers(server, bob, room) == (3, 3)
        await redacts(server, alice, room, said[1])
        assert await numbers(server, bob, room) == (2, 2)

    async def test_without_ones_last_message_the_one_before_counts(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await says(server, alice, room)
        own = await says(server, bob, room)
        await says(server, alice, room)
        assert await numbers(server, bob, room) == (1, 0)
        await redacts(server, bob, room, own)
        assert await numbers(server, bob, room) == (2, 0)

    async def test_who_left_has_no_counts(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.channel(alice, bob)
        await says(server, alice, room)
        assert await numbers(server, bob, room) == (1, 0)
        await server.actions.membership.leave(bob, room.uuid)
        source = server.core.notifications.counts
        assert source.peek(bob.user_nid, room.room_nid) is None
        assert await source.of_rooms(bob.user_nid, [room.room_nid]) == {}
        await server.actions.membership.join(bob, room.uuid)
        assert await numbers(server, bob, room) == (0, 0)

    async def test_a_message_is_counted_before_those_who_follow_the_stream_hear_of_it(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        source = server.core.notifications.counts
        await says(server, alice, room)
        assert await numbers(server, bob, room) == (1, 0)
        heard = []
        server.core.streams.events.subscribe(
            lambda _: heard.append(source.peek(bob.user_nid, room.room_nid))
        )
        await says(server, alice, room)
        await says(server, alice, room)
        assert [each.notification_count for each in heard] == [2, 3]

    async def test_counting_goes_no_further_than_the_window(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await says(server, alice, room)
        async with server.database.transaction() as db:
            await db.execute(
                """
                INSERT INTO events (event_nid, position, room_nid, sender_nid, depth, ts, uuid,
                    state_version, status, is_message, type, event_id, raw)
                SELECT -n, position - n * 0.0001 + 1000 + n, room_nid, sender_nid, depth, ts,
                    gen_random_uuid(), state_version, status, is_message, type, 'copy ' || n, raw
                FROM events, generate_series(1, 1200) AS n WHERE is_message
                """
            )
            await db.execute("UPDATE stream_positions SET position = 5000 WHERE stream = 'events'")
        found = await after_restart(server, bob, room)
        assert (found.notification_count, found.unread_count) == (1_000, 999)


class TestReading:
    """C-S API v1.19 "Marking notifications as read"."""

    @pytest.mark.parametrize("private", [False, True])
    async def test_a_receipt_clears_what_is_before_it(self, server, private):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        said = [await says(server, alice, room, **mentions(bob)) for _ in range(4)]
        assert await numbers(server, bob, room) == (4, 4)
        await reads(server, bob, room, said[1], private=private)
        assert await numbers(server, bob, room) == (2, 2)
        await reads(server, bob, room, said[3], private=private)
        assert await numbers(server, bob, room) == (0, 0)

    async def test_of_two_receipts_the_farther_counts(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        said = [await says(server, alice, room) for _ in range(4)]
        await reads(server, bob, room, said[2])
        await reads(server, bob, room, said[0], private=True)
        assert await numbers(server, bob, room) == (1, 0)
        await reads(server, bob, room, said[3], private=True)
        assert await numbers(server, bob, room) == (0, 0)

    async def test_ones_own_message_clears_what_is_before_it(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await says(server, alice, room, **mentions(bob))
        await says(server, bob, room)
        assert await numbers(server, bob, room) == (0, 0)
        await says(server, alice, room, **mentions(bob))
        assert await numbers(server, bob, room) == (1, 1)


class TestThreads:
    """C-S API v1.19 "Threaded read receipts"."""

    async def test_threads_are_counted_each_for_itself(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        root = await says(server, alice, room)
        await says(server, alice, room, **in_thread(root))
        await says(server, alice, room, **in_thread(root), **mentions(bob))
        found = await counts(server, bob, room)
        assert (found.notification_count, found.highlight_count) == (3, 1)
        assert found.threads == {root.event.event_id: (2, 1)}

    async def test_a_threaded_receipt_clears_its_thread_only(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        root = await says(server, alice, room)
        first = await says(server, alice, room, **in_thread(root))
        await says(server, alice, room, **in_thread(root))
        last = await says(server, alice, room)
        await reads(server, bob, room, last, thread="main")
        found = await counts(server, bob, room)
        assert (found.notification_count, found.threads) == (2, {root.event.event_id: (2, 0)})
        await reads(server, bob, room, first, thread=root.event.event_id)
        assert (await counts(server, bob, room)).threads == {root.event.event_id: (1, 0)}
        await reads(server, bob, room, last)
        assert (await counts(server, bob, room)).notification_count == 0

    async def test_an_answer_in_a_thread_leaves_the_rest_unread(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        root = await says(server, alice, room)
        await says(server, alice, room, **in_thread(root))
        await says(server, bob, room, **in_thread(root))
        found = await counts(server, bob, room)
        assert (found.notification_count, found.threads) == (1, {})
        await says(server, bob, room)
        await says(server, alice, room, **in_thread(root))
        assert (await counts(server, bob, room)).threads == {root.event.event_id: (1, 0)}

    async def test_what_hangs_on_a_message_of_a_thread_is_in_the_thread(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        root = await says(server, alice, room)
        answer = await says(server, alice, room, **in_thread(root))
        await reads(server, bob, room, answer)
        relation = {"rel_type": "m.reference", "event_id": answer.event.event_id}
        await says(server, alice, room, **{"m.relates_to": relation})
        edit = {"m.relates_to": relation | {"rel_type": "m.replace"}, "m.new_content": {}}
        await says(server, alice, room, **edit, **mentions(bob))
        assert (await counts(server, bob, room)).threads == {root.event.event_id: (2, 1)}

    async def test_a_thread_may_hang_on_what_is_not_here(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await counts(server, bob, room)
        for event_id in ("$unknown", "$odd\0"):
            relation = {"rel_type": "m.thread", "event_id": event_id}
            await says(server, alice, room, **{"m.relates_to": relation})
        assert (await counts(server, bob, room)).threads == {"$unknown": (1, 0), "$odd\0": (1, 0)}


class TestRules:
    async def test_a_mention_is_a_highlight(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob, carol)
        await says(server, alice, room, **mentions(bob, alice))
        assert await numbers(server, bob, room) == (1, 1)
        assert await numbers(server, carol, room) == (1, 0)
        assert await numbers(server, alice, room) == (0, 0)

    async def test_the_whole_room_is_mentioned_by_the_powerful(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob, carol)
        everybody = {"m.mentions": {"room": True}}
        await says(server, alice, room, **everybody)
        assert await numbers(server, bob, room) == (1, 1)
        await says(server, bob, room, **everybody)
        assert await numbers(server, carol, room) == (2, 1)

    @pytest.mark.parametrize("kind", ["room", "override"])
    async def test_a_muted_room_counts_nothing(self, server, kind):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await says(server, alice, room)
        assert await numbers(server, bob, room) == (1, 0)
        condition = {"kind": "event_match", "key": "room_id", "pattern": room.room_id}
        more = {"conditions": (condition,)} if kind == "override" else {}
        await sets_rule(server, bob, kind, room.room_id, **more)
        assert await numbers(server, bob, room) == (0, 0)
        await says(server, alice, room)
        await says(server, alice, room, **mentions(bob))
        expected = (1, 1) if kind == "room" else (0, 0)
        assert await numbers(server, bob, room) == expected
        assert (await counts(server, bob, room)).unread_count == 3
        await server.core.notifications.push_rules.delete(bob, kind, room.room_id)
        assert (await numbers(server, bob, room))[0] == 3

    async def test_a_muted_room_costs_no_rows(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await sets_rule(server, bob, "room", room.room_id)
        before = server.position
        for _ in range(3):
            await says(server, alice, room)
        assert await numbers(server, bob, room) == (0, 0)
        async with server.database.connection() as db:
            rows = await db.fetchval(
                "SELECT count(*) FROM notification_exceptions WHERE position > $1", before
            )
        assert rows == 0

    async def test_words_are_listened_for(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        loud = ("notify", {"set_tweak": "highlight"})
        await sets_rule(server, bob, "content", "tea", pattern="tea", actions=loud)
        await says(server, alice, room, "time for tea")
        await says(server, alice, room, "time for coffee")
        assert await numbers(server, bob, room) == (2, 1)

    async def test_a_sender_is_silenced(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob, carol)
        await sets_rule(server, bob, "sender", carol.user_id)
        await says(server, alice, room)
        await says(server, carol, room)
        assert await numbers(server, bob, room) == (1, 0)

    async def test_the_display_name_of_the_room_counts(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        loud = ("notify", {"set_tweak": "highlight"})
        await sets_rule(
            server,
            bob,
            "override",
            "name",
            actions=loud,
            conditions=({"kind": "contains_display_name"},),
        )
        await says(server, alice, room, "hi Bob")
        assert await numbers(server, bob, room) == (1, 1)
        content = {"membership": "join", "displayname": "Robert"}
        await server.sends(bob, room, "m.room.member", content, state_key=bob.user_id)
        await says(server, alice, room, "hi Bob")
        await says(server, alice, room, "hi Robert")
        assert await numbers(server, bob, room) == (3, 2)

    async def test_who_is_ignored_notifies_nobody(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob, carol)
        await ignores(server, bob, carol)
        await says(server, carol, room, **mentions(bob))
        assert await numbers(server, bob, room) == (0, 0)
        assert await numbers(server, alice, room) == (1, 0)
        await ignores(server, bob)
        await says(server, carol, room, **mentions(bob))
        assert await numbers(server, bob, room) == (1, 1)

    async def test_an_invitation_is_kept_for_who_is_invited(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.channel(alice)
        await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        await server.core.notifications.judgements.settled([room.room_nid])
        await server.core.notifications.writer.catch_up()
        async with server.database.connection() as db:
            rows = await db.fetch(
                "SELECT notify, highlight FROM notification_exceptions WHERE user_nid = $1",
                bob.user_nid,
            )
        assert [tuple(row) for row in rows] == [(True, False)]

    async def test_mentions_of_strangers_do_no_harm(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        odd = ["@nobody:example.org", "", "\0", "x" * 300, 7, None, bob.user_id]
        await says(server, alice, room, **{"m.mentions": {"user_ids": odd}})
        await says(server, alice, room, **{"m.mentions": {"user_ids": "x", "room": "yes"}})
        await says(server, alice, room, **{"m.mentions": 7})
        assert await numbers(server, bob, room) == (3, 1)


class TestMembersComeAndGo:
    """Who is concerned by a room is loaded once, and then follows what happens in it."""

    async def test_rules_that_count_members(self, server):
        alice, bob, *others = await people(server, "alice", "bob", "carol", "dora", "emil")
        room = await server.group(alice, bob)
        loud = ("notify", {"set_tweak": "highlight"})
        message = {"kind": "event_match", "key": "type", "pattern": TEXT}
        many = ({"kind": "room_member_count", "is": ">3"}, message)
        await sets_rule(server, bob, "override", "crowd", actions=loud, conditions=many)
        heard = []
        for come in (*others, None):
            await says(server, alice, room)
            heard.append((await numbers(server, bob, room))[1])
            if come is not None:
                await server.core.actions.membership.invite(alice, room.uuid, come.user_uuid)
                await server.core.actions.membership.join(come, room.uuid)
        for go in others[1:]:
            await server.core.actions.membership.leave(go, room.uuid)
            await says(server, alice, room)
            heard.append((await numbers(server, bob, room))[1])
        assert heard == [0, 0, 1, 2, 3, 3]

    async def test_who_comes_brings_his_rules(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob)
        await says(server, alice, room)
        await ignores(server, carol, alice)
        await server.core.actions.membership.invite(alice, room.uuid, carol.user_uuid)
        await says(server, alice, room)
        await server.core.actions.membership.join(carol, room.uuid)
        await says(server, alice, room)
        await says(server, bob, room)
        assert await numbers(server, carol, room) == (1, 0)
        await server.core.actions.membership.leave(carol, room.uuid)
        await says(server, alice, room)
        assert await numbers(server, bob, room) == (1, 0)

    async def test_somebody_who_comes_costs_the_room_nothing(self, server):
        alice, bob, carol = await people(server, "alice", "bob", "carol")
        room = await server.group(alice, bob)
        await server.core.actions.membership.invite(alice, room.uuid, carol.user_uuid)
        await says(server, alice, room)
        await caught_up(server)
        async with counted(server.database) as statements:
            await server.core.actions.membership.join(carol, room.uuid)
            await says(server, alice, room)
            await server.core.notifications.judgements.settled([room.room_nid])
        assert not [each for each in statements if "LIMIT $2) counted" in each]


class TestRetention:
    async def test_what_is_very_old_goes(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)

        async def kept() -> int:
            await server.core.notifications.writer.catch_up()
            await server.core.notifications.sweep.once()
            async with server.database.connection() as db:
                return await db.fetchval("SELECT count(*) FROM notification_exceptions")

        await says(server, alice, room, **mentions(bob))
        assert await kept() == 2
        server.clock.ms += 91 * 86_400_000
        await says(server, alice, room, **mentions(bob))
        assert await kept() == 1


class TestCost:
    async def test_a_message_costs_no_query_however_many_there_are(self, server):
        alice, bob = await people(server, "alice", "bob")
        room = await server.group(alice, bob)
        await says(server, alice, room)
        await counts(server, bob, room)
        source = server.core.notifications.counts
        async with counted(server.database) as statements:
            for _ in range(5):
                await says(server, alice, room)
                assert source.peek(bob.user_nid, room.room_nid) is not None
        written = [each for each in statements if "notification" in each.lower()]
        assert written == []

    async def test_loading_costs_the_same_for_any_number_of_rooms(self, server, database_dsn):
        alice, bob = await people(server, "alice", "bob")
        rooms = [
            await server.group(alice, bob, history_visibility=visibility)
            for visibility in ("shared", "joined") * 4
        ]
        for room in rooms:
            await says(server, alice, room, **mentions(bob))
        nids = [room.room_nid for room in rooms]
        await server.core.notifications.judgements.settled(nids)
        await server.core.notifications.writer.catch_up()

        async def queries(some: Sequence[int]) -> int:
            database = await Database.connect(database_dsn, max_connections=2)
            other = Server(database)
            await other.core.start()
            async with counted(database) as statements:
                await other.core.notifications.counts.of_rooms(bob.user_nid, some)
            await database.close()
            return len(statements)

        assert await queries(nids[:2]) == await queries(nids) <= 10


@dataclass
class Said:
    """An event as the model knows it: what it meant to Bob when it came."""

    event: StoredEvent
    thread: str
    is_message: bool
    notify: bool
    highlight: bool
    usual: tuple[bool, bool]
    is_special: bool
    gone: bool = False


@dataclass
class Story:
    """Whatever may happen to Bob in a room, and what he should be told."""

    server: Server
    alice: Requester
    bob: Requester
    carol: Requester
    room: RoomRecord
    random: Random
    said: list[Said] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    joined_at: int = 0
    is_in: bool = True
    ignoring: bool = False

    async def something_happens(self) -> None:
        steps = [self.somebody_speaks] * 6 + [self.something_is_redacted, self.bob_changes_rules]
        if self.is_in:
            steps += [self.bob_reads] * 3 + [self.bob_speaks, self.bob_leaves, self.bob_looks]
            steps += [self.bob_ignores]
        else:
            steps += [self.bob_joins] * 2
        await self.random.choice(steps)()
        await caught_up(self.server)

    async def somebody_speaks(self) -> None:
        await self.speaks(self.random.choice([self.alice, self.carol]))

    async def bob_speaks(self) -> None:
        await self.speaks(self.bob)

    async def speaks(self, who: Requester) -> None:
        content: dict[str, Any] = {"msgtype": "m.text", "body": self.random.choice(["tea", "x"])}
        thread = "main"
        event_type = TEXT
        roots = [each for each in self.said if each.thread == "main" and each.is_message]
        match self.random.randrange(9):
            case 0 | 1 if roots:
                root = self.random.choice(roots[-3:]).event
                content |= in_thread(root)
                thread = root.event.event_id
            case 2:
                content |= mentions(self.bob)
            case 3:
                content["msgtype"] = "m.notice"
            case 4:
                content |= {"m.mentions": {"room": True}}
            case 5 if roots:
                target = self.random.choice(self.said)
                relation = {"rel_type": "m.replace", "event_id": target.event.event.event_id}
                content |= {"m.relates_to": relation, "m.new_content": {}} | mentions(self.bob)
                thread = target.thread
            case 6:
                event_type = self.random.choice(["m.call.invite", "m.sticker", "m.room.encrypted"])
        event = await self.server.sends(who, self.room, event_type, content)
        await self.remember(event, who, thread)

    async def remember(self, event: StoredEvent, who: Requester, thread: str) -> None:
        ruleset = await self.server.core.notifications.push_rules.all(self.bob)
        program = program_of(ruleset)
        view = EventView.of(event.event)
        circumstances = Circumstances(3, lambda _: who == self.alice)
        default = program_of(type(ruleset).of(None)).outcome(view, Reader(""), circumstances)
        own = program.outcome(view, Reader(self.bob.user_id), circumstances)
        notify, highlight = own.notify, own.highlight
        if who == self.bob or (self.ignoring and who == self.carol):
            notify = highlight = False
        muted = program.mutes(self.room.room_id)
        expected = (False, False) if muted else (default.notify, default.highlight)
        self.said.append(
            Said(
                event=event,
                thread=thread,
                is_message=event.facts.is_message,
                notify=notify,
                highlight=highlight,
                usual=(default.notify, default.highlight),
                is_special=self.is_in and who != self.bob and (notify, highlight) != expected,
            )
        )

    async def something_is_redacted(self) -> None:
        left = [each for each in self.said if not each.gone]
        if left:
            target = self.random.choice(left[-4:])
            await redacts(self.server, self.alice, self.room, target.event)
            target.gone = True

    async def bob_reads(self) -> None:
        if not self.said:
            return
        target = self.random.choice(self.said[-6:])
        if target.gone:
            return
        thread = self.random.choice(["", "", target.thread])
        if thread and not target.is_message:
            return
        await reads(
            self.server,
            self.bob,
            self.room,
            target.event,
            thread=thread,
            private=self.random.random() < 0.5,
        )
        position = target.event.facts.position
        self.marks[thread] = max(self.marks.get(thread, 0), position)

    async def bob_looks(self) -> None:
        await self.server.core.notifications.counts.of_rooms(
            self.bob.user_nid, [self.room.room_nid]
        )

    async def bob_changes_rules(self) -> None:
        rules = self.server.core.notifications.push_rules
        room_id = self.room.room_id
        match self.random.randrange(5):
            case 0:
                await sets_rule(self.server, self.bob, "room", room_id)
            case 1 if any(rule_id == room_id for rule_id in await self.own_rules("room")):
                await rules.delete(self.bob, "room", room_id)
            case 2:
                loud = ("notify", {"set_tweak": "highlight"})
                await sets_rule(
                    self.server, self.bob, "content", "tea", pattern="tea", actions=loud
                )
            case 3:
                await sets_rule(self.server, self.bob, "sender", self.carol.user_id)
            case 4:
                await rules.enable(
                    self.bob, "override", ".m.rule.master", enabled=self.random.random() < 0.3
                )

    async def own_rules(self, kind: str) -> list[str]:
        ruleset = await self.server.core.notifications.push_rules.all(self.bob)
        return [rule.rule_id for rule in ruleset.own(kind)]

    async def bob_ignores(self) -> None:
        self.ignoring = not self.ignoring
        await ignores(self.server, self.bob, *([self.carol] if self.ignoring else []))

    async def bob_leaves(self) -> None:
        await self.server.actions.membership.leave(self.bob, self.room.uuid)
        self.is_in = False

    async def bob_joins(self) -> None:
        await self.server.actions.membership.join(self.bob, self.room.uuid)
        self.is_in = True
        self.joined_at = self.server.position

    async def expected(self) -> dict[str, tuple[int, int, int]]:
        """Unread, notifications and highlights by thread, as the rules have it."""
        program = program_of(await self.server.core.notifications.push_rules.all(self.bob))
        muted = program.mutes(self.room.room_id)
        base = self.marks.get("", self.joined_at)
        found: dict[str, tuple[int, int, int]] = {}
        for thread in {each.thread for each in self.said}:
            there = [each for each in self.said if each.thread == thread and not each.gone]
            own = [
                each.event.facts.position
                for each in there
                if each.event.event.sender == self.bob.user_id and each.is_message
            ]
            mark = max([base, self.marks.get(thread, 0), *own])
            unread = notify = highlight = 0
            for each in there:
                if each.event.facts.position <= mark:
                    continue
                if each.event.event.sender == self.bob.user_id:
                    continue
                means = each.usual if not muted else (False, False)
                if each.is_special:
                    means = each.notify, each.highlight
                unread += each.is_message
                notify += means[0]
                highlight += means[1]
            if unread or notify:
                found[thread] = unread, notify, highlight
        return found


@pytest.mark.parametrize("seed", range(12))
async def test_memory_and_database_always_say_what_the_rules_say(server, seed):
    alice, bob, carol = await people(server, "alice", "bob", "carol")
    room = await server.channel(alice, bob, carol)
    story = Story(server, alice, bob, carol, room, Random(seed), joined_at=server.position)
    for step in range(70):
        await story.something_happens()
        if story.is_in and step % 5 == 0:
            found = await counts(server, bob, room)
            expected = await story.expected()
            assert found.unread_count == sum(each[0] for each in expected.values())
            assert found.notification_count == sum(each[1] for each in expected.values())
            assert found.highlight_count == sum(each[2] for each in expected.values())
            assert found.threads == {
                thread: each[1:]
                for thread, each in expected.items()
                if thread != "main" and each[1]
            }
