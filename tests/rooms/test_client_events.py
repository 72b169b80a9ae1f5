"""Rendering events for one reader: how often the database is asked. And who asks for a service."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from homeserver.errors import NotAllowed
from homeserver.room_views import build_room_views
from homeserver.storage import events
from homeserver.views.room_pages import Page, PageQuery
from tests.support.queries import counted
from tests.support.server import SERVER, Server, server

__all__ = ["server"]

MESSAGE = "m.room.message"


@pytest.fixture
def views(server: Server):
    return build_room_views(
        database=server.database,
        streams=server.core.streams,
        server_name=SERVER,
        searchable=False,
        clock=server.clock,
    )


async def lively_room(server: Server, alice, bob, size: int):
    """A room with `size` each of messages, edits, replies in threads, references and names."""
    room = await server.group(alice, bob)
    for number in range(size):
        root = await server.sends(alice, room, MESSAGE, {"body": str(number)})
        for rel_type in ("m.replace", "m.thread", "m.reference"):
            relation = {"rel_type": rel_type, "event_id": root.event.event_id}
            content = {"body": "x", "m.new_content": {"body": "y"}, "m.relates_to": relation}
            await server.sends(alice, room, MESSAGE, content)
        await server.sends(alice, room, "m.room.name", {"name": str(number)}, state_key="")
    return room


class TestRender:
    async def test_the_number_of_queries_is_the_same_for_any_number_of_events(
        self, server, views
    ) -> None:
        alice, bob = await server.people("alice", "bob")
        asked: dict[int, int] = {}
        for size in (1, 12):
            room = await lively_room(server, alice, bob, size)
            async with counted(server.database) as statements, server.database.snapshot() as db:
                found = await events.after_position(db, 0, 1_000)
                found = [each for each in found if each.event.room_id == room.room_id]
                shown = await views.client_events.render(db, bob, found)
            assert sum("m.relations" in each["unsigned"] for each in shown) == size
            asked[size] = len(statements)
        assert asked[1] == asked[12] <= 9

    async def test_without_bundles_nothing_is_asked_about_them(self, server, views) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await lively_room(server, alice, bob, 2)
        async with server.database.snapshot() as db:
            found = await events.after_position(db, 0, 1_000)
            found = [each for each in found if each.event.room_id == room.room_id]
            shown = await views.client_events.render(
                db, bob, found, bundled=False, with_room_id=False
            )
        assert not any("m.relations" in each["unsigned"] for each in shown)
        assert not any("room_id" in each for each in shown)


def written(page: Page) -> Any:
    """The events as clients get them."""
    return orjson.loads(orjson.dumps(page.events))


class TestPage:
    async def test_a_page_of_messages_takes_two_queries(self, server, views) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        for number in range(5):
            await server.says(alice, room, str(number))
        await views.client_events.remember_ignored(bob)
        query = PageQuery(forwards=False, limit=5)
        async with counted(server.database) as statements:
            page = await views.pages.page(bob, room.room_id, query)
        assert [each["content"]["body"] for each in written(page)] == ["4", "3", "2", "1", "0"]
        assert len(statements) == 2

    async def test_the_next_page_takes_one(self, server, views) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        for number in range(5):
            await server.says(alice, room, str(number))
        await views.client_events.remember_ignored(bob)
        first = await views.pages.page(bob, room.room_id, PageQuery(forwards=False, limit=2))
        query = PageQuery(forwards=False, limit=2, start=first.end)
        async with counted(server.database) as statements:
            page = await views.pages.page(bob, room.room_id, query)
        assert [each["content"]["body"] for each in written(page)] == ["2", "1"]
        assert len(statements) == 1

    async def test_a_page_says_the_same_whichever_way_it_is_made(self, server, views) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await lively_room(server, alice, bob, 3)
        plain = await views.pages.page(bob, room.room_id, PageQuery(forwards=True, limit=100))
        async with server.database.snapshot() as db:
            found = await events.after_position(db, 0, 1_000)
            found = [each for each in found if each.event.room_id == room.room_id]
            whole = await views.client_events.render(db, bob, found)
        assert written(plain) == whole


class TestJoinedMembers:
    """rooms.yaml: "any of the AS's users must be in the room"."""

    async def test_one_user_of_an_application_service_lets_all_of_them_ask(
        self, server, views
    ) -> None:
        alice, ghost, bot = await server.people("alice", "ghost", "bot")
        room = await server.group(alice, ghost)
        async with server.database.transaction() as db:
            await db.execute(
                "INSERT INTO accounts (user_nid, password_hash, created_at, updated_at, appservice)"
                " VALUES ($1, '', 0, 0, 'bridge')",
                ghost.user_nid,
            )
        with pytest.raises(NotAllowed):
            await views.reads.joined_members(bot, room.room_id)
        with pytest.raises(NotAllowed):
            await views.reads.joined_members(replace(bot, appservice="other"), room.room_id)
        found = await views.reads.joined_members(replace(bot, appservice="bridge"), room.room_id)
        assert set(found) == {alice.user_id, ghost.user_id}
