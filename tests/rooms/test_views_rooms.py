"""Lists of rooms, single rooms, members, the directory, invitations."""

from uuid import uuid4

import pytest

from homeserver.errors import InvalidInput, NotFound
from homeserver.requester import Requester
from homeserver.views.rooms import RoomSummary
from tests.support.queries import counted
from tests.support.server import Server, server

__all__ = ["server"]


async def summaries(server: Server, by: Requester) -> list[RoomSummary]:
    return await server.views.rooms.list(by)


async def only(server: Server, by: Requester) -> RoomSummary:
    (summary,) = await summaries(server, by)
    return summary


async def unread(server: Server, by: Requester) -> int:
    return (await only(server, by)).unread_count


async def refused(coroutine) -> str:
    with pytest.raises(NotFound) as error:
        await coroutine
    return error.value.kind


class TestList:
    async def test_rooms_come_by_latest_activity(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        rooms = [await server.group(alice, name=str(index)) for index in range(3)]
        await server.says(alice, rooms[1], "one")
        await server.says(alice, rooms[0], "two")
        assert [s.name for s in await summaries(server, alice)] == ["0", "1", "2"]
        newest = await server.group(alice, name="newest")
        assert [s.name for s in await summaries(server, alice)] == ["newest", "0", "1", "2"]
        await server.says(alice, rooms[2], "three")
        await server.says(alice, newest, "four")
        assert [s.name for s in await summaries(server, alice)] == ["newest", "2", "0", "1"]

    async def test_a_room_shows_how_it_looks(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob, name="Team", topic="Everything")
        await server.sends(
            alice, room, "m.room.avatar", {"url": "https://example.org/a.png"}, state_key=""
        )
        summary = await only(server, bob)
        assert (summary.uuid, summary.kind, summary.member_count) == (room.uuid, "group", 2)
        assert (summary.name, summary.topic) == ("Team", "Everything")
        assert summary.avatar_url == "https://example.org/a.png"

    @pytest.mark.parametrize("content", [{}, {"name": ""}, {"name": "  "}, {"name": 7}])
    async def test_an_unreadable_name_is_none(self, server: Server, content: dict) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice, name="Team")
        await server.sends(alice, room, "m.room.name", content, state_key="")
        assert (await only(server, alice)).name is None

    async def test_a_direct_room_has_the_name_of_the_other_person(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.direct(alice, bob)
        assert (await only(server, alice)).name == "Bob"
        assert (await only(server, bob)).name == "Alice"
        assert (await server.views.rooms.get(bob, room.uuid)).name == "Alice"
        await server.actions.membership.leave(bob, room.uuid)
        assert (await only(server, alice)).name == "Bob"
        assert (await server.views.rooms.get(alice, room.uuid)).name == "Bob"

    async def test_the_last_message_is_as_it_is_now(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        assert (await only(server, alice)).last_message is None
        first = await server.says(alice, room, "first")
        second = await server.says(alice, room, "second")
        await server.actions.send.edit(alice, second.message_uuid, "better")
        await server.actions.send.react(bob, second.message_uuid, "👍")
        last = (await only(server, bob)).last_message
        assert last is not None
        assert (last.uuid, last.text) == (second.message_uuid, "better")
        assert [(r.key, r.mine) for r in last.reactions] == [("👍", True)]
        await server.actions.send.delete(alice, second.message_uuid)
        last = (await only(server, bob)).last_message
        assert last is not None
        assert last.uuid == first.message_uuid

    async def test_rooms_that_one_is_not_in_are_not_in_it(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        left, deleted = await server.group(alice, bob), await server.group(alice, bob)
        invited = await server.group(alice)
        await server.actions.membership.invite(alice, invited.uuid, bob.user_uuid)
        await server.actions.membership.leave(bob, left.uuid)
        await server.actions.room_settings.delete(alice, deleted.uuid)
        assert await summaries(server, bob) == []

    async def test_hidden_history_is_hidden_here_too(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, history_visibility="joined")
        await server.says(alice, room, "hidden")
        await server.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        summary = await only(server, bob)
        assert (summary.last_message, summary.unread_count) == (None, 0)
        await server.says(alice, room, "seen")
        summary = await only(server, bob)
        assert summary.last_message is not None
        assert (summary.last_message.text, summary.unread_count) == ("seen", 1)

    async def test_the_number_of_queries_does_not_depend_on_the_rooms(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")

        async def queries() -> int:
            await summaries(server, bob)
            server.core.streams.people.invalidate_all()
            async with counted(server.database) as statements:
                await summaries(server, bob)
            return len(statements)

        async def another_room(visibility: str) -> None:
            room = await server.group(alice, bob, history_visibility=visibility)
            sent = await server.says(alice, room, "hi")
            await server.actions.send.react(bob, sent.message_uuid, "👍")

        await server.direct(alice, bob)
        await another_room("joined")
        few = await queries()
        for visibility in ("shared", "joined", "invited") * 4:
            await another_room(visibility)
        (carol,) = await server.people("carol")
        await server.direct(carol, bob)
        assert len(await summaries(server, bob)) == 15
        assert await queries() == few <= 12


class TestUnread:
    async def test_messages_of_others_since_the_join_count(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        await server.says(alice, room, "before")
        await server.actions.membership.add(alice, room.uuid, [bob.user_uuid])
        assert await unread(server, bob) == 0
        await server.says(alice, room, "one")
        await server.says(alice, room, "two")
        assert await unread(server, bob) == 2
        assert await unread(server, alice) == 0

    async def test_reading_and_writing_move_the_mark(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = [await server.says(alice, room, str(index)) for index in range(4)]
        await server.reads(bob, room, sent[1].message_uuid)
        summary = await only(server, bob)
        assert (summary.unread_count, summary.last_read_id) == (2, sent[1].message_uuid)
        await server.says(bob, room, "an answer")
        assert await unread(server, bob) == 0
        await server.says(alice, room, "more")
        assert await unread(server, bob) == 1
        assert (await server.views.rooms.unread(bob, room.uuid)).unread_count == 1

    async def test_edits_reactions_and_deleted_messages_do_not_count(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        sent = await server.says(alice, room, "one")
        await server.actions.send.edit(alice, sent.message_uuid, "two")
        await server.actions.send.react(alice, sent.message_uuid, "👍")
        assert await unread(server, bob) == 1
        await server.actions.send.delete(alice, sent.message_uuid)
        assert await unread(server, bob) == 0

    async def test_a_new_name_is_no_new_join(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "one")
        content = {"membership": "join", "displayname": "Bobby"}
        await server.sends(bob, room, "m.room.member", content, state_key=bob.user_id)
        assert await unread(server, bob) == 1

    async def test_a_second_join_is_a_new_one(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob)
        await server.says(alice, room, "one")
        await server.actions.membership.leave(bob, room.uuid)
        await server.says(alice, room, "two")
        await server.actions.membership.join(bob, room.uuid)
        assert await unread(server, bob) == 0
        await server.says(alice, room, "three")
        assert await unread(server, bob) == 1

    async def test_what_was_said_in_an_absence_counts_only_where_it_shows(
        self, server: Server
    ) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob, history_visibility="joined")
        first = await server.says(alice, room, "one")
        await server.reads(bob, room, first.message_uuid)
        await server.says(alice, room, "two")
        await server.actions.membership.leave(bob, room.uuid)
        await server.says(alice, room, "hidden")
        await server.actions.membership.join(bob, room.uuid)
        await server.says(alice, room, "three")
        assert await unread(server, bob) == 2

    async def test_an_own_message_before_an_absence_counts_as_read(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob, history_visibility="joined")
        first = await server.says(alice, room, "one")
        await server.reads(bob, room, first.message_uuid)
        await server.says(alice, room, "two")
        await server.says(bob, room, "answer")
        await server.actions.membership.leave(bob, room.uuid)
        await server.actions.membership.join(bob, room.uuid)
        await server.says(alice, room, "three")
        assert await unread(server, bob) == 1

    async def test_counting_ends_at_999(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob)
        await server.says(alice, room, "one")
        async with server.database.transaction() as db:
            await db.execute(
                """
                INSERT INTO events (event_nid, position, room_nid, sender_nid, depth, ts, uuid,
                    state_version, status, is_message, type, event_id, raw)
                SELECT -n, position + n, room_nid, sender_nid, depth, ts, gen_random_uuid(),
                    state_version, status, is_message, type, 'copy ' || n, raw
                FROM events, generate_series(1, 1200) AS n WHERE is_message
                """
            )
            await db.execute(
                "UPDATE stream_positions SET position = position + 1200 WHERE stream = 'events'"
            )
        assert await unread(server, bob) == 999

    async def test_strangers_are_refused(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice)
        assert await refused(server.views.rooms.unread(bob, room.uuid)) == "room"


class TestOneRoom:
    async def test_it_tells_its_settings(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice, bob, topic="All", history_visibility="invited")
        found = await server.views.rooms.get(bob, room.uuid)
        assert (found.name, found.topic, found.kind) == ("News", "All", "channel")
        assert (found.public, found.history_visibility) == (True, "invited")
        assert found.created_at_ms == room.created_at
        assert [person.name for person in found.members] == ["Alice", "Bob"]
        assert found.member_count == 2

    @pytest.mark.parametrize("version", ["1", "9", "11", "12"])
    async def test_roles_are_power_levels(self, server: Server, version: str) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.group(alice, bob, version=version)
        assert (await server.views.rooms.get(alice, room.uuid)).role == "admin"
        assert (await server.views.rooms.get(bob, room.uuid)).role == "member"
        await server.actions.membership.set_role(alice, room.uuid, bob.user_uuid, "admin")
        assert (await server.views.rooms.get(bob, room.uuid)).role == "admin"
        members = await server.views.rooms.members(bob, room.uuid)
        assert [(m.person.name, m.role) for m in members] == [("Alice", "admin"), ("Bob", "admin")]

    async def test_a_room_that_nobody_may_join_is_not_public(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.channel(alice)
        await server.sends(alice, room, "m.room.join_rules", {"join_rule": "invite"}, state_key="")
        assert not (await server.views.rooms.get(alice, room.uuid)).public
        assert await server.views.rooms.directory(alice) == []

    async def test_strangers_are_refused(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        room = await server.channel(alice)
        invited = await server.group(alice)
        await server.actions.membership.invite(alice, invited.uuid, bob.user_uuid)
        for uuid in (room.uuid, invited.uuid, uuid4()):
            assert await refused(server.views.rooms.get(bob, uuid)) == "room"
            assert await refused(server.views.rooms.members(bob, uuid)) == "room"


class TestMembers:
    async def test_pages_join_without_gap_or_overlap(self, server: Server) -> None:
        people = await server.people(*(f"user{index}" for index in range(7)))
        room = await server.group(*people)
        await server.actions.membership.leave(people[3], room.uuid)
        seen: list[str] = []
        after = None
        while page := await server.views.rooms.members(people[0], room.uuid, 2, after):
            seen += [member.person.user_id for member in page]
            after = page[-1].person.uuid
        assert seen == [person.user_id for person in people if person is not people[3]]

    async def test_an_unknown_place_is_refused(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.group(alice)
        assert await refused(server.views.rooms.members(alice, room.uuid, 2, uuid4())) == "user"
        with pytest.raises(InvalidInput):
            await server.views.rooms.members(alice, room.uuid, 0)


class TestDirectory:
    async def test_public_channels_are_listed(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        news = await server.channel(alice, bob, name="News", topic="What is new")
        await server.channel(alice, name="Secret", public=False)
        await server.channel(alice, name="Lunch")
        found = await server.views.rooms.directory(bob)
        assert [(c.name, c.joined, c.member_count) for c in found] == [
            ("News", True, 2),
            ("Lunch", False, 1),
        ]
        assert (found[0].uuid, found[0].topic) == (news.uuid, "What is new")

    async def test_deleted_ones_are_not(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        room = await server.channel(alice)
        await server.actions.room_settings.delete(alice, room.uuid)
        assert await server.views.rooms.directory(alice) == []

    @pytest.mark.parametrize("q", ["café", "CAFE", "af", "lun caf", "menü"])
    async def test_parts_of_names_and_topics_find_them(self, server: Server, q: str) -> None:
        (alice,) = await server.people("alice")
        await server.channel(alice, name="Lunch", topic="Le Café Menu")
        await server.channel(alice, name="Other")
        assert [c.name for c in await server.views.rooms.directory(alice, q)] == ["Lunch"]
        assert await server.views.rooms.directory(alice, f"{q} nothing") == []

    async def test_pages_join_without_gap_or_overlap(self, server: Server) -> None:
        (alice,) = await server.people("alice")
        for index in range(5):
            await server.channel(alice, name=f"Channel {index}")
        seen: list[str | None] = []
        after = None
        while page := await server.views.rooms.directory(alice, None, 2, after):
            seen += [channel.name for channel in page]
            after = page[-1].uuid
        assert seen == [f"Channel {index}" for index in range(5)]
        assert await refused(server.views.rooms.directory(alice, None, 2, uuid4())) == "room"


class TestInvitations:
    async def test_they_say_who_invited_to_what(self, server: Server) -> None:
        alice, bob, carol = await server.people("alice", "bob", "carol")
        room = await server.group(alice, carol, name="Team")
        server.clock.ms += 100
        await server.actions.membership.invite(carol, room.uuid, bob.user_uuid)
        (invite,) = await server.views.rooms.invitations(bob)
        assert (invite.room.uuid, invite.room.name, invite.room.kind) == (
            room.uuid,
            "Team",
            "group",
        )
        assert (invite.by.name, invite.invited_at_ms) == ("Carol", server.clock.ms)
        assert (invite.room.members, invite.room.role) == ((), None)

    async def test_answered_ones_are_gone(self, server: Server) -> None:
        alice, bob = await server.people("alice", "bob")
        rooms = [await server.group(alice) for _ in range(3)]
        for room in rooms:
            await server.actions.membership.invite(alice, room.uuid, bob.user_uuid)
        assert len(await server.views.rooms.invitations(bob)) == 3
        await server.actions.membership.join(bob, rooms[0].uuid)
        await server.actions.membership.leave(bob, rooms[1].uuid)
        await server.actions.room_settings.delete(alice, rooms[2].uuid)
        assert await server.views.rooms.invitations(bob) == []
