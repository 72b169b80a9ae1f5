"""What a reader is shown after anything may have happened, against the rules, event by event."""

from dataclasses import dataclass, field
from random import Random

import pytest

from homeserver.events.content import history_visibility_of, membership_of
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.requester import Requester
from homeserver.storage import events, room_state
from homeserver.storage.database import Connection
from homeserver.visibility import may_see
from tests.support.server import Server, server

__all__ = ["server"]

VISIBILITIES = ("shared", "invited", "joined", "world_readable")
ALL = 10_000


@dataclass
class Play:
    """Alice owns a channel, Bob comes and goes."""

    server: Server
    alice: Requester
    bob: Requester
    room: RoomRecord
    random: Random
    read_position: int | None = None
    membership: str = "leave"
    said: list[StoredEvent] = field(default_factory=list)

    async def something_happens(self) -> None:
        steps = [self.alice_says] * 5 + [self.visibility_changes, self.alice_deletes]
        if self.membership == "join":
            steps += [self.bob_says, self.bob_reads, self.bob_leaves, self.bob_is_removed]
            steps += [self.bob_changes_his_name]
        else:
            steps += [self.bob_joins, self.bob_joins]
            steps += [self.bob_is_invited] if self.membership == "leave" else [self.bob_leaves]
        await self.random.choice(steps)()

    async def says(self, who: Requester) -> None:
        text = f"word {len(self.said)}"
        self.said.append(await self.server.sends(who, self.room, "m.room.message", {"body": text}))

    async def alice_says(self) -> None:
        await self.says(self.alice)

    async def bob_says(self) -> None:
        await self.says(self.bob)

    async def visibility_changes(self) -> None:
        content = {"history_visibility": self.random.choice(VISIBILITIES)}
        await self.server.sends(
            self.alice, self.room, "m.room.history_visibility", content, state_key=""
        )

    async def alice_deletes(self) -> None:
        if self.said:
            message = self.said.pop(self.random.randrange(len(self.said)))
            await self.server.actions.send.delete(self.alice, message.facts.uuid)

    async def bob_reads(self) -> None:
        page = await self.server.views.timeline.page(self.bob, self.room.uuid, 20)
        if page:
            message = self.random.choice(page)
            await self.server.reads(self.bob, self.room, message.uuid)
            self.read_position = max(self.read_position or 0, message.position)

    async def bob_changes_his_name(self) -> None:
        content = {"membership": "join", "displayname": f"Bob {self.server.clock.ms}"}
        await self.server.sends(
            self.bob, self.room, "m.room.member", content, state_key=self.bob.user_id
        )

    async def bob_joins(self) -> None:
        await self.server.actions.membership.join(self.bob, self.room.uuid)
        self.membership = "join"

    async def bob_leaves(self) -> None:
        await self.server.actions.membership.leave(self.bob, self.room.uuid)
        self.membership = "leave"

    async def bob_is_removed(self) -> None:
        await self.server.actions.membership.remove(self.alice, self.room.uuid, self.bob.user_uuid)
        self.membership = "leave"

    async def bob_is_invited(self) -> None:
        await self.server.actions.membership.invite(self.alice, self.room.uuid, self.bob.user_uuid)
        self.membership = "invite"


@dataclass
class Rules:
    """All events of the room, each with what held before it."""

    rows: list[StoredEvent]
    before: dict[int, tuple[str, str]]
    """Visibility and Bob's membership by event number."""
    bob: Requester

    @classmethod
    async def of(cls, db: Connection, play: Play) -> "Rules":
        rows = [
            each
            for each in await events.after_position(db, 0, ALL)
            if each.facts.room_nid == play.room.room_nid
        ]
        before = {}
        for each in rows:
            state = await _state(db, each)
            before[each.facts.event_nid] = (
                history_visibility_of(state.get(("m.room.history_visibility", ""))),
                membership_of(state.get(("m.room.member", play.bob.user_id))),
            )
        return cls(rows, before, play.bob)

    def visible(self) -> list[StoredEvent]:
        return [each for each in self.rows if self._is_message(each) and self._may_see(each)]

    def joined_at(self) -> int:
        """Where the present stay began."""
        position = 0
        for each in self.rows:
            was = self.before[each.facts.event_nid][1]
            if self._is_bobs(each) and membership_of(each.event) == "join" and was != "join":
                position = each.facts.position or 0
        return position

    def unread(self, mark: int) -> int:
        count = 0
        for each in self.visible():
            own = each.facts.sender_nid == self.bob.user_nid
            count = 0 if own else count + ((each.facts.position or 0) > mark)
        return count

    def reached(self, after: int) -> list[int]:
        return [
            each.facts.position or 0
            for each in self.rows
            if (each.facts.position or 0) > after
            and (self.before[each.facts.event_nid][1] == "join" or self._is_bobs(each))
        ]

    def _is_message(self, each: StoredEvent) -> bool:
        return each.facts.is_message and each.facts.redacted_by is None

    def _is_bobs(self, each: StoredEvent) -> bool:
        event = each.event
        return event.type == "m.room.member" and event.state_key == self.bob.user_id

    def _may_see(self, each: StoredEvent) -> bool:
        visibility, membership = self.before[each.facts.event_nid]
        later = any(
            self._is_bobs(other) and membership_of(other.event) == "join"
            for other in self.rows
            if (other.facts.position or 0) > (each.facts.position or 0)
        )
        return may_see(
            visibility_before=visibility,
            visibility_after=visibility,
            membership_before=membership,
            membership_after=membership,
            member_later=later,
        )


async def _state(db: Connection, before: StoredEvent) -> dict[tuple[str, str], Event]:
    version = before.facts.state_version
    assert version is not None
    entries = await room_state.state_at(db, before.facts.room_nid, version)
    stored = await events.by_nids(db, [nid for nid, _ in entries.values()])
    return {key: stored[nid].event for key, (nid, _) in entries.items()}


@pytest.mark.parametrize("seed", range(8))
class TestAnyHistory:
    """C-S API v1.19 "Room History Visibility", "Server behaviour"."""

    async def test_bob_is_shown_what_the_rules_show_him(self, server: Server, seed: int) -> None:
        random = Random(seed)
        alice, bob = await server.people("alice", "bob")
        visibility = random.choice(VISIBILITIES)
        room = await server.channel(alice, history_visibility=visibility)
        play = Play(server, alice, bob, room, random)
        for _ in range(60):
            await play.something_happens()
        if play.membership != "join":
            await play.bob_joins()
        await play.alice_says()
        await server.search_index.catch_up()
        async with server.database.snapshot() as db:
            rules = await Rules.of(db, play)
        visible = [each.facts.uuid for each in rules.visible()]
        assert await self.pages(play) == visible
        assert await self.found(play) == visible
        (summary,) = await server.views.rooms.list(bob)
        assert summary.last_message is not None
        assert summary.last_message.uuid == visible[-1]
        mark = rules.joined_at() if play.read_position is None else play.read_position
        assert summary.unread_count == rules.unread(mark)
        for after in (0, server.position // 2, server.position - 5):
            assert await self.replayed(play, after) == rules.reached(after)

    async def pages(self, play: Play) -> list:
        seen: list = []
        before = None
        while page := await play.server.views.timeline.page(play.bob, play.room.uuid, 3, before):
            seen = [*(message.uuid for message in page), *seen]
            before = page[0].uuid
        return seen

    async def found(self, play: Play) -> list:
        search = play.server.views.search
        found = await search.messages(play.bob, "word", room=play.room.uuid, limit=200)
        return [message.uuid for message in reversed(found)]

    async def replayed(self, play: Play, after: int) -> list[int]:
        server, seen = play.server, []
        while page := await server.views.live.replay(play.bob.user_nid, after, server.position, 7):
            seen += [each.position for each in page]
            after = page[-1].position
        return seen
