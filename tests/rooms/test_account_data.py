"""The stream of account data, and what the server follows in it."""

import asyncio

import pytest

from homeserver.storage import account_data
from homeserver.storage.account_data import GLOBAL
from homeserver.streams import gathering
from tests.support.engine import another_process

IGNORED = "m.ignored_user_list"


@pytest.fixture
async def alice(engine):
    return await engine.person("alice")


def writer(engine):
    return engine.core.streams.account_data_writer


def tail(engine):
    return engine.core.streams.account_data


async def kept(engine, by) -> dict[tuple[int, str], bytes]:
    async with engine.database.connection() as db:
        rows = await account_data.of_user(db, by.user_nid)
    return {(row.room_nid, row.type): row.content for row in rows}


class TestWriting:
    async def test_followers_are_told_in_order(self, engine, alice):
        told = []
        tail(engine).subscribe(told.extend)
        for event_type in ("a", "b", "a"):
            await writer(engine).put(alice.user_nid, GLOBAL, event_type, b"{}")
        assert [(row.position, row.type) for row in told] == [(1, "a"), (2, "b"), (3, "a")]
        async with engine.database.connection() as db:
            rows = await account_data.changed(db, alice.user_nid, after=0, upto=3)
            assert [(row.position, row.type) for row in rows] == [(2, "b"), (3, "a")]
            assert await account_data.changed(db, alice.user_nid, after=1, upto=2) == rows[:1]

    async def test_of_many_at_once_the_last_of_each_is_kept(self, engine, alice, monkeypatch):
        monkeypatch.setattr(gathering, "MAX_BATCH", 3)
        await asyncio.gather(
            *(
                writer(engine).put(alice.user_nid, GLOBAL, f"t{number % 5}", b"%d" % number)
                for number in range(20)
            )
        )
        assert await kept(engine, alice) == {(0, f"t{n}"): b"%d" % (15 + n) for n in range(5)}
        assert tail(engine).position == 5

    async def test_what_stands_at_an_event_only_moves_forward(self, engine, alice):
        for position in (5, 3, 7, 7, 6):
            content = b"%d" % position
            await writer(engine).put(
                alice.user_nid, 1, "m.fully_read", content, event_position=position
            )
        assert await kept(engine, alice) == {(1, "m.fully_read"): b"7"}

    async def test_changes_at_the_same_time_are_all_made(self, engine, alice, database_dsn):
        def count_up(content):
            return b"%d" % (int(content or b"0") + 1)

        async with another_process(database_dsn) as other:
            await asyncio.gather(
                *(
                    writer(server).change(alice.user_nid, GLOBAL, "count", count_up)
                    for _ in range(10)
                    for server in (engine, other)
                )
            )
        assert await kept(engine, alice) == {(0, "count"): b"20"}

    async def test_a_change_that_fails_changes_nothing(self, engine, alice):
        def fail(_content):
            raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011
            await writer(engine).change(alice.user_nid, GLOBAL, "a", fail)
        await writer(engine).change(alice.user_nid, GLOBAL, "a", lambda _: None)
        assert await kept(engine, alice) == {}
        await writer(engine).put(alice.user_nid, GLOBAL, "a", b"{}")
        assert tail(engine).since(0)[-1].type == "a"


class TestIgnoredUsers:
    async def test_they_are_known_and_kept_up_to_date(self, engine, alice):
        ignored = engine.core.streams.ignored_users
        assert ignored.peek(alice.user_nid) is None
        assert await ignored.of(alice.user_nid) == frozenset()
        content = b'{"ignored_users": {"@bob:example.org": {}}}'
        await writer(engine).put(alice.user_nid, GLOBAL, IGNORED, content)
        assert ignored.peek(alice.user_nid) == {"@bob:example.org"}
        await writer(engine).put(alice.user_nid, GLOBAL, IGNORED, b"{}")
        assert ignored.peek(alice.user_nid) == frozenset()

    async def test_of_a_room_such_a_list_means_nothing(self, engine, alice):
        content = b'{"ignored_users": {"@bob:example.org": {}}}'
        await writer(engine).put(alice.user_nid, 1, IGNORED, content)
        assert await engine.core.streams.ignored_users.of(alice.user_nid) == frozenset()

    async def test_another_process_learns_of_them(self, engine, alice, database_dsn):
        async with another_process(database_dsn) as other:
            ignored = other.core.streams.ignored_users
            assert await ignored.of(alice.user_nid) == frozenset()
            heard = asyncio.Event()
            tail(other).subscribe(lambda _: heard.set())
            content = b'{"ignored_users": {"@bob:example.org": {}}}'
            await writer(engine).put(alice.user_nid, GLOBAL, IGNORED, content)
            tail(other).poll()
            await heard.wait()
            assert ignored.peek(alice.user_nid) == {"@bob:example.org"}

    async def test_many_are_looked_up_together(self, engine):
        people = await engine.people("alice", "bob")
        await engine.core.streams.ignored_users.of(people[0].user_nid)
        found = await engine.core.streams.ignored_users.of_many([p.user_nid for p in people])
        assert found == {p.user_nid: frozenset() for p in people}


class TestInvitePermissions:
    async def test_who_blocks_invitations_is_known(self, engine, alice):
        permissions = engine.core.streams.invite_permissions
        assert not await permissions.blocks(alice.user_nid)
        content = b'{"default_action": "block"}'
        await writer(engine).put(alice.user_nid, GLOBAL, "m.invite_permission_config", content)
        assert await permissions.blocks(alice.user_nid)
