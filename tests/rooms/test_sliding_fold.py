"""Folding the answers of a connection of sliding sync gives the same as a new connection's first.

The play is that of `test_sync_fold`; the connection's window changes as it goes.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeserver.requester import Requester
from homeserver.sync.sliding.lists import ListFilters, ListWish
from homeserver.sync.sliding.request import (
    ExtensionWish,
    RoomResult,
    SlidingAnswer,
    SlidingRequest,
)
from homeserver.sync.sliding.room_config import RequiredState, RoomConfig, StatePattern
from homeserver.syncing import Syncing
from tests.rooms.test_sync_fold import Play, play_of, step
from tests.support.engine import another_process
from tests.support.postgres import fresh_database
from tests.support.syncing import syncing_of

EVERYTHING = (RequiredState((StatePattern(None, None),)),)
EXTENSIONS = {name: ExtensionWish() for name in ("account_data", "typing")}
FIELDS = ("membership", "name", "avatar", "joined_count", "invited_count")


@dataclass
class RoomView:
    """One room as a client knows it. timeline: without what was before its last gap."""

    state: dict[tuple[str, str], str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    account_data: dict[str, Any] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def take(self, room: RoomResult) -> None:
        if room.limited or room.expanded or room.initial:
            self.timeline = []
        self.timeline += [orjson.loads(each)["event_id"] for each in room.timeline or ()]
        for each in room.required_state:
            event = orjson.loads(each)
            self.state[event["type"], event["state_key"]] = event["event_id"]
        for name in FIELDS:
            value = getattr(room, name)
            if value is not None:
                self.fields[name] = value
        if room.is_unnamed:
            self.fields.pop("name", None)
        if room.has_no_avatar:
            self.fields.pop("avatar", None)


@dataclass
class View:
    """Everything that one connection was told."""

    by: Requester
    on: Syncing
    conn_id: str
    pos: str | None = None
    rooms: dict[str, RoomView] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)

    async def syncs(self, *, last: int = 9, limit: int = 20) -> None:
        """last: the last index of the window."""
        wish = ListWish(
            name="all",
            config=RoomConfig(limit, EVERYTHING),
            filters=ListFilters(),
            ranges=[(0, last)],
        )
        request = SlidingRequest(
            conn_id=self.conn_id,
            pos=self.pos,
            timeout_ms=0,
            set_presence="offline",
            lists=[wish],
            subscriptions={},
            extensions=EXTENSIONS,
        )
        self._take(await self.on.sliding_sync.sync(self.by, request))

    def _take(self, answer: SlidingAnswer) -> None:
        self.pos = answer.pos
        for room_id, room in answer.rooms.items():
            if room.initial:
                known = self.rooms.get(room_id, RoomView())
                self.rooms[room_id] = RoomView(account_data=known.account_data)
            self.rooms[room_id].take(room)
        # What an extension tells stands as JSON in the answer.
        extensions = orjson.loads(orjson.dumps(answer.extensions))
        data = extensions.get("account_data", {"global": [], "rooms": {}})
        self.account_data |= {each["type"]: each["content"] for each in data["global"]}
        for room_id, rows in data["rooms"].items():
            room_data = self.rooms.setdefault(room_id, RoomView()).account_data
            room_data |= {each["type"]: each["content"] for each in rows}
        for room_id, typing in extensions.get("typing", {}).get("rooms", {}).items():
            self.rooms[room_id].typing = typing["content"]["user_ids"]

    def holds_against(self, fresh: "View") -> None:
        """What was told bit by bit is what a new connection is told at once."""
        assert self.account_data == fresh.account_data
        for room_id, other in fresh.rooms.items():
            room = self.rooms[room_id]
            # Who is there no more keeps what he knew, and a new connection is told less.
            is_in = other.fields["membership"] == "join"
            fields = room.fields if is_in else {name: room.fields[name] for name in other.fields}
            assert fields == other.fields, room_id
            assert room.state == other.state
            if is_in:
                assert room.account_data == other.account_data
                assert room.typing == other.typing
            shorter = min(len(room.timeline), len(other.timeline))
            assert (
                room.timeline[len(room.timeline) - shorter :]
                == (other.timeline[len(other.timeline) - shorter :])
            )
        # Of rooms that somebody left by himself only the connection knows that was there.
        for room_id in self.rooms.keys() - fresh.rooms.keys():
            assert self.rooms[room_id].fields["membership"] == "leave"


async def _sync_all(play: Play, views: list[View], by: Requester, number: int) -> None:
    for view in views:
        if view.by is by:
            await view.syncs(last=number % 2, limit=(1, 20)[number % 3 == 0])


async def test_a_room_that_one_was_only_banned_from_is_not_told_of(database_dsn):
    async with another_process(database_dsn) as server, syncing_of(server) as on:
        play = await play_of(server, on, on)
        alice, _, charlie = play.people
        await server.actions.membership.ban(alice, play.rooms[0].uuid, charlie.user_uuid)
        await play.performs("tag", 2, 0, 0, 0)
        view = View(charlie, on, "any")
        await view.syncs()
        assert view.rooms == {}


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(step, min_size=5, max_size=60), cold=st.booleans())
async def test_folding_a_connection_gives_the_same_as_a_new_one(postgres, steps, cold):
    """cold: each request comes to another process, which has nothing of it in memory."""
    async with (
        fresh_database(postgres) as dsn,
        another_process(dsn) as server,
        syncing_of(server) as first,
        syncing_of(server) as second,
    ):
        play = await play_of(server, first, second)
        views = [View(by, first, "followed") for by in play.people]
        for view in views:
            await view.syncs()
        for act, who, *rest in steps:
            for view in views if cold else ():
                view.on = second if view.on is first else first
            if act == "sync":
                await _sync_all(play, views, play.people[who], rest[-1])
            else:
                await play.performs(act, who, *rest)
        for view in views:
            await view.syncs()
            fresh = View(view.by, first, "fresh")
            await fresh.syncs()
            view.holds_against(fresh)
