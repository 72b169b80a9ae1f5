"""Answers from memory: what changed since a position that the tails still reach.

Who is caught up is served without a query. What readers of a room are told in common is written
once for all who come from the same position with the same filter; counts of notifications and what
is the reader's own are put behind it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from e2e.device_lists import NO_CHANGES, DeviceListChanges, DeviceLists, moves
from homeserver.clock import Clock
from homeserver.identifiers import RoomID, UserID
from homeserver.presence_content import presence_content
from homeserver.requester import Requester
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.device_lists import Crossing
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream
from homeserver.streams.tail import Committed
from homeserver.streams.typing import TypingStream
from homeserver.sync.answer import (
    RoomPart,
    SyncAnswer,
    Timeline,
    dressed,
    own_json,
    presence_json,
    shared_json,
)
from homeserver.sync.bodies import Bodies, Body, body_of, event_json
from homeserver.sync.build import (
    batch_before,
    ephemeral,
    global_account_data,
    room_account_data,
    summary_of,
    told_counts,
)
from homeserver.sync.counts import NotificationCounts, RoomCounts
from homeserver.sync.encryption_reading import MAX_TO_DEVICE
from homeserver.sync.filters import SyncFilter
from homeserver.sync.journal import Memory, News
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.request import SyncRequest
from homeserver.sync.rosters import Roster
from homeserver.sync.summaries import NAMING, RoomSize
from homeserver.sync.token import SyncToken

_SHARED = 512
"""What was written for many is kept for those who come a moment later."""

T = TypeVar("T")
_MEMBER = "m.room.member"
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Of the news of one room, what goes where. senders: of the timeline, the members that a lazy
    client needs. members: membership events that are told. tells_size: somebody came or went, or
    the room's name changed.

    is_plain: False where the database must be asked: there is more than fits, or the graph forked.
    """

    timeline: Sequence[Committed] = ()
    state: Sequence[Committed] = ()
    senders: frozenset[str] = _NOBODY
    members: Sequence[Committed] = ()
    tells_size: bool = False
    is_plain: bool = True

    @property
    def is_empty(self) -> bool:
        return not (self.timeline or self.state or self.tells_size)


def choose(
    rows: Sequence[Committed], wanted: SyncFilter, ignored: frozenset[str], *, state_after: bool
) -> Choice:
    """Pure. rows: of one room that the reader is in, in order. ignored: senders."""
    room_id = rows[0].room.room_id
    timeline, rest = [], []
    is_shown = wanted.timeline.allows_room(room_id)
    for row in rows:
        if is_shown and _is_told(row, wanted, ignored):
            timeline.append(row)
        elif row.stored.event.is_state:
            rest.append(row)
    if len(timeline) > wanted.timeline_limit:
        return Choice(is_plain=False)
    state = _state([row for row in rows if row.stored.event.is_state] if state_after else rest)
    if not wanted.state.allows_room(room_id):
        state = []
    state = [row for row in state if wanted.state.matches(row.stored.event)]
    members = [row for row in rows if row.prev_membership is not None]
    senders = frozenset({row.stored.event.sender for row in timeline} if wanted.lazy else ())
    return Choice(
        timeline=timeline,
        state=state,
        senders=senders,
        members=members,
        tells_size=any(_moves(row) for row in members) or any(map(_names, rows)),
        is_plain=not _would_mislead(timeline, members, senders),
    )


def _is_told(row: Committed, wanted: SyncFilter, ignored: frozenset[str]) -> bool:
    event = row.stored.event
    if event.sender in ignored and not event.is_state:
        return False
    return wanted.timeline.matches(event)


def _state(rows: Iterable[Committed]) -> list[Committed]:
    """The last of each entry."""
    return list({row.stored.event.key: row for row in rows}.values())


def _moves(row: Committed) -> bool:
    return row.stored.event.content.get("membership") != row.prev_membership


def _names(row: Committed) -> bool:
    """Whether it decides who names the room."""
    return row.stored.event.is_state and row.stored.event.type in NAMING


def _would_mislead(
    timeline: Sequence[Committed], members: Sequence[Committed], senders: frozenset[str]
) -> bool:
    """Whether a sender has another name before an event than after it: then a lazy client needs
    the former one, which is not in memory."""
    changed = {row.stored.event.state_key: row.position for row in members}
    return any(
        changed.get(row.stored.event.sender, 0) > row.position
        for row in timeline
        if row.stored.event.sender in senders
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSources:
    """What answers are made of. max_presence_members: see `Journal`."""

    memory: Memory
    told: ToldMembers
    people: People
    typing: TypingStream
    presence: PresenceStream
    counts: NotificationCounts
    device_lists: DeviceLists
    max_presence_members: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Reading:
    """One answer. client_at: position of the events that the client says it has."""

    by: Requester
    roster: Roster
    request: SyncRequest
    token: SyncToken
    client_at: int

    @property
    def wanted(self) -> SyncFilter:
        return self.request.wanted


@dataclass(slots=True)
class _Rooms:
    """What was chosen and written so far, by room."""

    choices: dict[int, Choice] = field(default_factory=dict)
    shared: dict[int, bytes] = field(default_factory=dict)


class LiveAnswers:
    """Answers from the journal's news."""

    def __init__(self, sources: LiveSources) -> None:
        self._sources = sources
        self._choices: OrderedDict[tuple[object, ...], Choice] = OrderedDict()
        self._shared: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    async def answer(
        self,
        by: Requester,
        roster: Roster,
        request: SyncRequest,
        news: News,
        token: SyncToken,
        client_at: int,
    ) -> SyncAnswer | None:
        """token: where the streams stand. client_at: see `_Reading`. None: this needs the database.

        Raises Unavailable.
        """
        reading = _Reading(by, roster, request, token, client_at)
        rooms = _Rooms()
        for room_nid, rows in news.events.items():
            if not request.wanted.allows_room(rows[0].room.room_id):
                continue
            choice = self._choice(reading, rows)
            if not choice.is_plain:
                return None
            if not choice.is_empty:
                rooms.choices[room_nid] = choice
        for room_nid, choice in rooms.choices.items():
            rooms.shared[room_nid] = await self._room(reading, choice, news.events[room_nid])
        return await self._whole(reading, rooms, news)

    def _choice(self, reading: _Reading, rows: Sequence[Committed]) -> Choice:
        ignored = _NOBODY
        if reading.roster.ignored:
            senders = {row.stored.event.sender for row in rows}
            ignored = frozenset(senders & reading.roster.ignored)
        after = reading.request.state_after
        room_nid = rows[0].room.room_nid
        key = (room_nid, rows[0].position, rows[-1].position, reading.wanted, ignored, after)
        choice = self._choices.get(key)
        if choice is None:
            choice = choose(rows, reading.wanted, ignored, state_after=after)
            _remember(self._choices, key, choice)
        return choice

    async def _room(self, reading: _Reading, choice: Choice, rows: Sequence[Committed]) -> bytes:
        room_nid = rows[0].room.room_nid
        members = await self._members(reading, room_nid, choice)
        size = None
        if choice.tells_size:
            size = await self._sources.memory.summaries.of(room_nid)
        is_hero = size is not None and reading.by.user_id in size.heroes
        session_nid = reading.by.session_nid
        own = any(row.stored.facts.session_nid == session_nid for row in choice.timeline)
        key = (
            choice,
            tuple(body.event_nid for body in members),
            session_nid if own else 0,
            size,
            reading.by.user_id if is_hero else "",
        )
        shared = self._shared.get(key)
        if shared is None:
            shared = await self._write(reading, choice, rows, members, size)
            _remember(self._shared, key, shared)
        return shared

    async def _members(self, reading: _Reading, room_nid: int, choice: Choice) -> list[Body]:
        """Who sent what is told, unless the device knows; what is told now it will know."""
        told, session_nid = self._sources.told, reading.by.session_nid
        position = reading.token.events
        for row in choice.members:
            user_id = row.stored.event.state_key or ""
            told.tell(session_nid, room_nid, user_id, row.stored.facts.event_nid, position)
        if not choice.senders or reading.wanted.state.allows_none:
            return []
        if not reading.wanted.state.allows_room(reading.roster.rooms[room_nid]):
            return []
        found = await self._senders(room_nid, choice.senders)
        needed = []
        for user_id, body in found.items():
            known = told.knows(
                session_nid, room_nid, user_id, body.event_nid, since=reading.client_at
            )
            if not known or reading.wanted.redundant_members:
                needed.append(body)
                told.tell(session_nid, room_nid, user_id, body.event_nid, position)
        here = {row.stored.facts.event_nid for row in choice.members}
        state = reading.wanted.state
        return [
            body
            for body in needed
            if body.event_nid not in here
            and state.allows(body.type, body.sender, has_url=body.has_url)
        ]

    async def _senders(self, room_nid: int, senders: frozenset[str]) -> dict[str, Body]:
        members = self._sources.memory.members
        found = {each: body for each in senders if (body := members.peek(room_nid, each))}
        if len(found) < len(senders):
            found = await members.of(room_nid, senders)
        return found

    async def _write(
        self,
        reading: _Reading,
        choice: Choice,
        rows: Sequence[Committed],
        members: Sequence[Body],
        size: RoomSize | None,
    ) -> bytes:
        timeline = [await self._body(reading, row) for row in choice.timeline]
        state = [await self._body(reading, row) for row in choice.state]
        first = (choice.timeline or rows)[0].position
        part = RoomPart(
            timeline=Timeline(
                [self._event(reading, body) for body in timeline],
                limited=False,
                prev_batch=batch_before(first),
            ),
            state=[self._event(reading, body) for body in (*state, *members)],
            state_after=reading.request.state_after,
            summary=b"" if size is None else summary_of(size, reading.by.user_id),
        )
        return shared_json(part)

    async def _body(self, reading: _Reading, row: Committed) -> Body:
        if reading.wanted.federation:
            return body_of(row.stored, federation=True)
        bodies: Bodies = self._sources.memory.bodies
        body = bodies.of(row.stored)
        return body if body.former is not None else await bodies.complete(row.stored)

    def _event(self, reading: _Reading, body: Body) -> bytes:
        text = event_json(
            body,
            now_ms=self._sources.clock.now_ms(),
            session_nid=reading.by.session_nid,
            membership="join",
        )
        return dressed(text, reading.wanted)

    async def _whole(self, reading: _Reading, rooms: _Rooms, news: News) -> SyncAnswer:
        result = SyncAnswer(reading.token)
        extras = self._extras(reading, news)
        told = rooms.shared.keys() | extras.keys()
        counts = await self._counts(reading, told) if told else {}
        for room_nid in told:
            room_id = reading.roster.rooms.get(room_nid)
            if room_id is None:
                continue
            shared, part = rooms.shared.get(room_nid), extras.get(room_nid)
            own_counts = told_counts(counts.get(room_nid), reading.wanted)
            if shared is not None and part is None:
                result.join[room_id] = b"%b%b}" % (shared, own_counts)
                continue
            part = part or RoomPart(_quiet(reading.token))
            part.counts = own_counts
            part.state_after = reading.request.state_after
            result.join[room_id] = (shared or shared_json(part)) + own_json(part)
        if news.account_data:
            mine = [row for row in news.account_data if row.room_nid == GLOBAL]
            result.account_data = global_account_data(mine, reading.wanted)
        if news.presence or news.events:
            result.presence = await self._presence(reading, rooms, news)
        if news.to_device:
            result.to_device = [row.event for row in news.to_device[:MAX_TO_DEVICE]]
            if len(news.to_device) > MAX_TO_DEVICE:
                position = news.to_device[MAX_TO_DEVICE - 1].position
                result.token = replace(result.token, to_device=position)
        if news.devices or news.events:
            changes = await self._device_lists(reading, news)
            result.changed, result.left = changes.changed, changes.left
        return result

    async def _device_lists(self, reading: _Reading, news: News) -> DeviceListChanges:
        """Those whose devices changed, who came into a room, and who went."""
        crossings = _crossings(news)
        if not (crossings or news.devices):
            return NO_CHANGES
        found = moves(crossings, reading.by.user_id, reading.roster.rooms)
        left: frozenset[UserID] = frozenset()
        if found.gone:
            left = await self._sources.device_lists.no_longer_shared(reading.by, found.gone)
        return DeviceListChanges((found.came | frozenset(news.devices)) - left, left)

    def _extras(self, reading: _Reading, news: News) -> dict[int, RoomPart]:
        """What belongs to rooms and is no event of theirs."""
        if not (news.receipts or news.typing or news.account_data):
            return {}
        of_rooms: dict[int, list[AccountDataRow]] = {}
        for row in news.account_data:
            if row.room_nid != GLOBAL:
                of_rooms.setdefault(row.room_nid, []).append(row)
        found: dict[int, RoomPart] = {}
        for room_nid in {*news.receipts, *news.typing, *of_rooms}:
            room_id = reading.roster.rooms.get(room_nid)
            if room_id is not None and reading.wanted.allows_room(room_id):
                part = self._extra(reading, room_nid, room_id, news, of_rooms.get(room_nid, ()))
                if part is not None:
                    found[room_nid] = part
        return found

    def _extra(
        self,
        reading: _Reading,
        room_nid: int,
        room_id: RoomID,
        news: News,
        account_data: Sequence[AccountDataRow],
    ) -> RoomPart | None:
        """None: the filter leaves nothing. Own receipts change the counts of notifications."""
        typing: list[UserID] | None = None
        if room_nid in news.typing:
            typing = [person.user_id for person in self._sources.typing.writing_in(room_nid)]
        receipts = news.receipts.get(room_nid, ())
        part = RoomPart(
            _quiet(reading.token),
            ephemeral=ephemeral(room_id, reading.wanted, typing=typing, receipts=receipts),
            account_data=room_account_data(room_id, account_data, reading.wanted),
        )
        is_own = any(row.reader_nid == reading.by.user_nid for row in receipts)
        return part if part.ephemeral or part.account_data or is_own else None

    async def _counts(self, reading: _Reading, rooms: Iterable[int]) -> dict[int, RoomCounts]:
        counts, user_nid = self._sources.counts, reading.by.user_nid
        found: dict[int, RoomCounts] = {}
        missing = []
        for room_nid in rooms:
            known = counts.peek(user_nid, room_nid)
            if known is None:
                missing.append(room_nid)
            else:
                found[room_nid] = known
        if missing:
            found |= await counts.of_rooms(user_nid, missing)
        return found

    async def _presence(self, reading: _Reading, rooms: _Rooms, news: News) -> list[bytes]:
        """Of those for whom it changed, and of those who came into a room."""
        wanted, sources = reading.wanted.presence, self._sources
        arrived = [each for choice in rooms.choices.values() for each in self._arrivals(choice)]
        if wanted.allows_none or not (news.presence or arrived):
            return []
        people = await sources.people.get_many(news.presence)
        told = {person.user_id: person for person in people.values()}
        told |= {
            user_id: person
            for user_id, person in (await sources.people.by_user_ids(arrived)).items()
            if sources.presence.status(person.user_nid) != "offline"
        }
        now_ms = sources.clock.now_ms()
        return [
            presence_json(
                user_id, presence_content(sources.presence.state(person.user_nid), now_ms=now_ms)
            )
            for user_id, person in told.items()
            if wanted.allows("m.presence", user_id, has_url=False)
        ]

    def _arrivals(self, choice: Choice) -> list[UserID]:
        """Those who came into a room through which presence is told."""
        if not choice.tells_size:
            return []
        joins = [
            row
            for row in choice.members
            if _moves(row) and row.stored.event.content.get("membership") == "join"
        ]
        if not joins:
            return []
        size = self._sources.memory.summaries.peek(joins[0].room.room_nid)
        if size is None or size.joined > self._sources.max_presence_members:
            return []
        return [UserID(row.stored.event.state_key or "") for row in joins]


def _crossings(news: News) -> list[Crossing]:
    """What became of memberships, from before the first of the news to after the last."""
    before: dict[tuple[int, str], bool] = {}
    after: dict[tuple[int, str], bool] = {}
    for room_nid, rows in news.events.items():
        for row in rows:
            if row.prev_membership is not None:
                event = row.stored.event
                key = room_nid, event.state_key or ""
                before.setdefault(key, row.prev_membership == "join")
                after[key] = event.content.get("membership") == "join"
    return [
        Crossing(room_nid, UserID(user_id), was_in, after[room_nid, user_id])
        for (room_nid, user_id), was_in in before.items()
    ]


def _quiet(token: SyncToken) -> Timeline:
    """Of a room in which nothing was said."""
    return Timeline((), limited=False, prev_batch=batch_before(token.events + 1))


def _remember(memory: OrderedDict[tuple[object, ...], T], key: tuple[object, ...], made: T) -> None:
    memory[key] = made
    if len(memory) > _SHARED:
        memory.popitem(last=False)
