"""Reading what an answer of sliding sync is built of.

One snapshot, and a number of queries that does not depend on how many rooms there are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from homeserver.identifiers import RoomID, UserID
from homeserver.requester import Requester
from homeserver.storage import account_data, receipts, sliding_reads, sync_reads
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.database import Connection
from homeserver.storage.receipts import ReadRow
from homeserver.storage.sync_reads import Movement, OwnRoom, Wanted, WantedMember, WantedState
from homeserver.storage.timeline import MAX_POSITION
from homeserver.sync.erasing import redacted_bodies
from homeserver.sync.reading import MAX_RECEIPTS, Sources, related
from homeserver.sync.shown import from_outside, visible_rows
from homeserver.sync.sliding.connection import Connection as Told
from homeserver.sync.sliding.faces import Faces
from homeserver.sync.sliding.inputs import RoomNews, RoomWish, SlidingInputs
from homeserver.sync.sliding.lists import RoomFacts, by_activity, window
from homeserver.sync.sliding.request import ExtensionWish, SlidingRequest
from homeserver.sync.sliding.room_config import MEMBER_TYPE, RoomConfig, combined
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import (
    Visit,
    by_room,
    cut,
    visit_joined,
    visit_left,
    wanted_state,
)
from homeserver.views import history

_OUTSIDE = frozenset({"invite", "knock"})
_DIRECT, _TAG = "m.direct", "m.tag"
ACCOUNT_DATA, RECEIPTS, TYPING = "account_data", "receipts", "typing"


@dataclass(slots=True)
class Reading:
    """One load: each step adds to `inputs` what it reads.

    members_key: stands for the connection where told members are remembered.
    """

    sources: Sources
    faces: Faces
    db: Connection
    by: Requester
    ignored: frozenset[UserID]
    ignored_nids: Sequence[int]
    request: SlidingRequest
    told: Told
    since: SyncToken | None
    members_key: int
    inputs: SlidingInputs

    async def all(self) -> None:
        own = await self._own_rooms()
        moved = await self._movements(own)
        rows = await account_data.of_user(self.db, self.by.user_nid)
        facts = await self._facts(own, moved, rows)
        self._choose(own, facts)
        self.inputs.tells_dms = any(
            row.type == _DIRECT and self._is_new(row.position, ACCOUNT_DATA) for row in rows
        )
        await self._news(moved)
        await self._timelines()
        await self._state()
        await self._bodies()
        await self._sizes()
        await self._lazy_members()
        await self._erasures()
        await self._relations()
        await self._strangers()
        self.inputs.bumps = await sliding_reads.bump_positions(self.db, self.inputs.news)
        self._account_data(rows)
        await self._receipts()
        self._typing()

    async def _own_rooms(self) -> dict[int, OwnRoom]:
        """MSC4186 "Lists": who left by himself knows it; rooms that he was made to leave stay."""
        own = await sync_reads.own_rooms(self.db, self.by.user_nid, after=0, with_left=True)
        return {
            room.room_nid: room
            for room in own
            if room.membership not in ("leave", "ban")
            or room.sender_nid != self.by.user_nid
            or room.room_nid in self.told.rooms
        }

    async def _movements(self, own: Mapping[int, OwnRoom]) -> dict[int, Movement]:
        inside = [nid for nid, room in own.items() if room.membership not in _OUTSIDE]
        after = {nid: self._told_upto(nid) or 0 for nid in inside}
        return await sync_reads.movements(self.db, after) if after else {}

    def _told_upto(self, room_nid: int) -> int | None:
        told = self.told.rooms.get(room_nid)
        if told is None or self.since is None:
            return None
        return self.since.events if told.upto is None else told.upto

    async def _facts(
        self,
        own: Mapping[int, OwnRoom],
        moved: Mapping[int, Movement],
        rows: Sequence[AccountDataRow],
    ) -> dict[int, RoomFacts]:
        versions = {
            nid: moved[nid].version if nid in moved else (room.version or 0) + 1
            for nid, room in own.items()
        }
        faces = self.inputs.faces = await self.faces.load(self.db, versions)
        direct = _direct_rooms(rows)
        tags = {row.room_nid: _tags(row.content) for row in rows if row.type == _TAG}
        spaces = await self._spaces()
        return {
            nid: RoomFacts(
                room_nid=nid,
                room_id=room.room_id,
                membership=room.membership,
                activity=_activity(room, moved.get(nid)),
                is_dm=room.room_id in direct,
                tags=tags.get(nid, frozenset()),
                spaces=spaces.get(room.room_id, frozenset()),
                is_encrypted=faces[nid].is_encrypted,
                room_type=faces[nid].room_type,
                name=faces[nid].name or "",
            )
            for nid, room in own.items()
        }

    async def _spaces(self) -> dict[RoomID, frozenset[RoomID]]:
        """The spaces that lists filter by, by the ID of a child."""
        asked = {each for wish in self.request.lists for each in wish.filters.spaces or ()}
        found: dict[RoomID, frozenset[RoomID]] = {}
        if asked:
            for space, child, raw in await sliding_reads.children(self.db, self.by.user_nid, asked):
                if _is_child(raw):
                    found[child] = found.get(child, frozenset()) | {space}
        return found

    def _choose(self, own: Mapping[int, OwnRoom], facts: Mapping[int, RoomFacts]) -> None:
        """The rooms that lists show and that are subscribed to, each with all wishes for it."""
        ordered = by_activity(facts.values())
        self.inputs.windows = [window(ordered, wish) for wish in self.request.lists]
        configs: dict[int, list[RoomConfig]] = {}
        names: dict[int, list[str]] = {}
        for each in self.inputs.windows:
            for room in each.rooms:
                configs.setdefault(room.room_nid, []).append(each.wish.config)
                names.setdefault(room.room_nid, []).append(each.wish.name)
        by_id = {room.room_id: nid for nid, room in own.items()}
        for room_id, config in self.request.subscriptions.items():
            if room_id in by_id:
                configs.setdefault(by_id[room_id], []).append(config)
        for nid, several in configs.items():
            self.inputs.wishes[nid] = self._wish(own[nid], facts[nid], several, names.get(nid, ()))

    def _wish(
        self,
        own: OwnRoom,
        facts: RoomFacts,
        configs: Sequence[RoomConfig],
        names: Sequence[str],
    ) -> RoomWish:
        config = combined(configs)
        upto = self._told_upto(own.room_nid)
        wish = RoomWish(own, facts, config, names, upto)
        if upto is not None:
            before = self.told.rooms[own.room_nid].config
            wish.expands_timeline = config.timeline_limit > before.timeline_limit
            wish.expands_state = config.goes_beyond(before)
        return wish

    async def _news(self, moved: Mapping[int, Movement]) -> None:
        """The rooms with something to tell. Of a room that the reader has never been in, and was
        only banned from, nothing is told.
        """
        changed = {
            nid: wish
            for nid, wish in self.inputs.wishes.items()
            if wish.own.membership not in _OUTSIDE and nid in moved and _has_news(wish)
        }
        readables = await history.of_all(self.db, self.by.user_id, changed) if changed else {}
        for nid, wish in changed.items():
            make = visit_joined if wish.own.membership == "join" else visit_left
            visit = make(
                wish.own,
                readables[nid],
                moved[nid],
                since=wish.told_upto,
                upto=self.inputs.token.events,
            )
            if visit.only_own and not readables[nid].was_member:
                del self.inputs.wishes[nid]
                continue
            self.inputs.news[nid] = RoomNews(wish, _from_the_start(visit, wish))

    async def _timelines(self) -> None:
        news = self.inputs.news
        limit = max((each.wish.config.timeline_limit for each in news.values()), default=0)
        spans = [span for each in news.values() for span in each.visit.spans()]
        if not spans or not limit:
            return
        wanted = Wanted(limit=limit + 1, ignored=self.ignored_nids)
        rows = await sync_reads.timelines(self.db, spans, wanted)
        readables = {nid: each.visit.readable for nid, each in news.items()}
        shown = await visible_rows(self.db, self.by.user_id, readables, rows)
        for nid, of_room in shown.items():
            own_limit = news[nid].wish.config.timeline_limit
            if own_limit:
                news[nid].kept, news[nid].limited = cut(of_room, own_limit)

    async def _state(self) -> None:
        """The wanted entries as they are now: those that changed, or were never told."""
        changes: list[WantedState] = []
        whole: list[WantedState] = []
        with_members: list[WantedState] = []
        for room in self.inputs.news.values():
            is_whole = room.visit.is_fresh or room.wish.expands_state
            asked = wanted_state(room.visit, (), whole=is_whole)
            if asked is None:
                continue
            if not is_whole:
                changes.append(asked)
            elif _wants_members(room.wish.config):
                with_members.append(asked)
            else:
                whole.append(asked)
        rows = await sync_reads.state_changes(self.db, changes) if changes else []
        rows += await sync_reads.full_state(self.db, whole, members=False) if whole else []
        if with_members:
            rows += await sync_reads.full_state(self.db, with_members, members=True)
        for nid, of_room in by_room(rows).items():
            room = self.inputs.news[nid]
            room.state = [
                row.event_nid
                for row in of_room
                if row.at_end and _wants(room, (row.type, row.state_key))
            ]

    async def _bodies(self) -> None:
        news = self.inputs.news.values()
        timeline = {row.event_nid for room in news for row in room.kept}
        state = {nid for room in news for nid in room.state}
        bodies = self.sources.bodies
        self.inputs.bodies |= await bodies.load(self.db, timeline | state, timeline=timeline)

    async def _sizes(self) -> None:
        """How many members rooms have where that may have changed, and who names them."""
        changed = [
            nid
            for nid, room in self.inputs.news.items()
            if not room.visit.is_left and (room.visit.is_fresh or room.visit.known < room.visit.end)
        ]
        sizes = await self.sources.summaries.load(self.db, changed, self.inputs.token.events)
        for nid in changed:
            self.inputs.news[nid].size = sizes.get(nid)
        heroes = [
            WantedMember(nid, self.inputs.news[nid].visit.end, user_id)
            for nid, size in sizes.items()
            for user_id in size.heroes_for(self.by.user_id) or ()
        ]
        nids = await sync_reads.members_at(self.db, heroes) if heroes else {}
        found = await self.sources.bodies.load(self.db, nids.values())
        self.inputs.heroes = {key: found[nid] for key, nid in nids.items()}

    async def _lazy_members(self) -> None:
        """MSC4186 "Lazy loaded memberships": the senders of events, and whom they are about; and
        the members whom `["m.room.member", …]` names where not all members are wanted.
        """
        wanted = [each for room in self.inputs.news.values() for each in self._members_of(room)]
        nids = await sync_reads.members_at(self.db, wanted) if wanted else {}
        fresh: list[int] = []
        for (room_nid, user_id), event_nid in nids.items():
            room = self.inputs.news[room_nid]
            if event_nid not in room.state and not self._knows(room, user_id, event_nid):
                room.state.append(event_nid)
                fresh.append(event_nid)
        self.inputs.bodies |= await self.sources.bodies.load(self.db, fresh)
        self._remember_told()

    def _members_of(self, room: RoomNews) -> list[WantedMember]:
        visit, config = room.visit, room.wish.config
        if visit.only_own:
            return []
        needed: set[str] = set()
        if config.lazy_members:
            bodies = [self.inputs.bodies[row.event_nid] for row in room.kept]
            needed |= {body.sender for body in bodies}
            needed |= {body.state_key for body in bodies if body.membership and body.state_key}
        if visit.is_fresh or room.wish.expands_state:
            needed |= {
                pattern.state_key
                for pattern in config.patterns()
                if pattern.type == MEMBER_TYPE and pattern.state_key
            }
        return [WantedMember(visit.room_nid, visit.end, user_id) for user_id in needed]

    def _knows(self, room: RoomNews, user_id: str, event_nid: int) -> bool:
        if room.visit.is_fresh or self.since is None:
            return False
        return self.sources.told.knows(
            self.members_key, room.visit.room_nid, user_id, event_nid, since=self.since.events
        )

    def _remember_told(self) -> None:
        told, position = self.sources.told, self.inputs.token.events
        if self.since is None:
            told.begin(self.members_key, position)
        for room_nid, room in self.inputs.news.items():
            for event_nid in room.state:
                body = self.inputs.bodies[event_nid]
                if body.membership is not None and body.state_key:
                    told.tell(self.members_key, room_nid, body.state_key, event_nid, position)

    async def _erasures(self) -> None:
        self.inputs.bodies |= await redacted_bodies(
            self.db,
            self.sources.client_events.erased,
            self.inputs.bodies,
            ((room.visit.readable, room.kept, room.state) for room in self.inputs.news.values()),
        )

    async def _relations(self) -> None:
        limited = [room for room in self.inputs.news.values() if room.limited]
        bodies = [self.inputs.bodies[row.event_nid] for room in limited for row in room.kept]
        readables = {room.visit.room_nid: room.visit.readable for room in limited}
        self.inputs.relations = await related(
            self.db, self.sources.client_events, self.by, bodies, readables
        )

    async def _strangers(self) -> None:
        rooms = [
            wish.own
            for wish in self.inputs.wishes.values()
            if wish.own.membership in _OUTSIDE and _has_news(wish)
        ]
        if rooms:
            self.inputs.strangers = await from_outside(self.db, rooms, self.ignored)

    def _account_data(self, rows: Sequence[AccountDataRow]) -> None:
        """All of what the client has not been told; of rooms, of those that are asked for."""
        wish = self.request.extensions.get(ACCOUNT_DATA)
        if wish is None:
            return
        shown = self._extended(wish)
        fresh = {nid for nid, room in self.inputs.news.items() if room.wish.told_upto is None}
        self.inputs.account_data = [
            row
            for row in rows
            if (row.room_nid == GLOBAL or row.room_nid in shown)
            and (self._is_new(row.position, ACCOUNT_DATA) or row.room_nid in fresh)
        ]

    def _extended(self, wish: ExtensionWish) -> set[int]:
        """The rooms that an extension tells of."""
        return {
            nid
            for nid, room in self.inputs.wishes.items()
            if (room.lists and (wish.lists is None or not wish.lists.isdisjoint(room.lists)))
            or (
                room.own.room_id in self.request.subscriptions
                and (wish.rooms is None or room.own.room_id in wish.rooms)
            )
        }

    def _is_new(self, position: int, stream: str) -> bool:
        if self.since is None:
            return True
        return position > (
            self.since.account_data if stream == ACCOUNT_DATA else self.since.receipts
        )

    async def _receipts(self) -> None:
        """Of a room that is told for the first time, or after a while, those that stand there."""
        wish = self.request.extensions.get(RECEIPTS)
        shown = set() if wish is None else self._extended(wish)
        fresh = [nid for nid in shown if nid in self.inputs.news and not self._is_live(nid)]
        rows = await receipts.of_rooms(self.db, fresh, self.by.user_nid) if fresh else []
        for row in [*rows, *await self._moved_receipts()]:
            wished = self.inputs.wishes.get(row.room_nid)
            if wished is None or wished.own.membership != "join":
                continue
            if row.reader_nid == self.by.user_nid and row.room_nid not in self.inputs.news:
                self.inputs.counts_only.add(row.room_nid)
            if row.room_nid in shown and self._tells(row):
                self.inputs.receipts.setdefault(row.room_nid, []).append(row)

    def _tells(self, row: ReadRow) -> bool:
        """Of a room that is new to the client, the receipts of the events that it is told of."""
        if self._is_live(row.room_nid) or row.reader_nid == self.by.user_nid:
            return True
        kept = self.inputs.news[row.room_nid].kept
        return any(self.inputs.bodies[each.event_nid].event_id == row.event_id for each in kept)

    async def _moved_receipts(self) -> list[ReadRow]:
        since, upto = self.since, self.inputs.token.receipts
        if since is None or since.receipts >= upto:
            return []
        moved = await receipts.changed(
            self.db, self.by.user_nid, after=since.receipts, upto=upto, limit=MAX_RECEIPTS
        )
        if len(moved) == MAX_RECEIPTS:
            self.inputs.token = replace(self.inputs.token, receipts=moved[-1].position)
        return [row for row in moved if self._is_live(row.room_nid)]

    def _is_live(self, room_nid: int) -> bool:
        told = self.told.rooms.get(room_nid)
        return self.since is not None and told is not None and told.upto is None

    def _typing(self) -> None:
        wish, typing, since = self.request.extensions.get(TYPING), self.sources.typing, self.since
        if wish is None:
            return
        changed = None
        if since is not None and since.boot == self.sources.boot:
            changed = typing.changed_since(since.typing)
        for nid in self._extended(wish):
            if self.inputs.wishes[nid].own.membership != "join":
                continue
            people = [person.user_id for person in typing.writing_in(nid)]
            is_change = self._is_live(nid) and (changed is None or nid in changed)
            if is_change or (people and not self._is_live(nid)):
                self.inputs.typing[nid] = people


def _has_news(wish: RoomWish) -> bool:
    if wish.told_upto is None or wish.expands_timeline or wish.expands_state:
        return True
    return wish.facts.activity > wish.told_upto


def _from_the_start(visit: Visit, wish: RoomWish) -> Visit:
    """A timeline that is expanded tells of events that were told already."""
    if wish.expands_timeline and not visit.only_own:
        return replace(visit, after=-MAX_POSITION)
    return visit


def _activity(room: OwnRoom, moved: Movement | None) -> int:
    """For rooms that the user is not in, when his membership became what it is."""
    if room.membership == "join" and moved is not None:
        return moved.last
    return room.position or 0


def _wants(room: RoomNews, key: tuple[str, str]) -> bool:
    config = room.wish.config
    if config.wants(key):
        return True
    is_gapless = not room.limited and not room.visit.is_fresh
    return config.lazy_members and key[0] == MEMBER_TYPE and is_gapless


def _wants_members(config: RoomConfig) -> bool:
    """Whether it asks for members whom it does not name."""
    return any(
        pattern.type in (None, MEMBER_TYPE)
        and pattern.state_key is None
        and not any(
            excluded.type in (None, MEMBER_TYPE) and excluded.state_key is None
            for excluded in required.exclude
        )
        for required in config.required
        for pattern in required.include
    )


def _direct_rooms(rows: Iterable[AccountDataRow]) -> frozenset[str]:
    """C-S API v1.19 "m.direct": room IDs by user."""
    content = next((row.content for row in rows if row.type == _DIRECT), b"{}")
    lists: Collection[Any] = orjson.loads(content).values()
    return frozenset(
        room_id
        for each in lists
        if isinstance(each, list)
        for room_id in each
        if isinstance(room_id, str)
    )


def _tags(content: bytes) -> frozenset[str]:
    tags = orjson.loads(content).get("tags")
    return frozenset(tags) if isinstance(tags, dict) else frozenset()


def _is_child(raw: bytes) -> bool:
    """C-S API v1.19 "m.space.child": without `via` it is none."""
    via = orjson.loads(raw)["content"].get("via")
    return isinstance(via, list) and bool(via)
