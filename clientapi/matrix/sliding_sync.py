"""Simplified sliding sync (MSC4186).

The proposal was accepted with other names than clients had been using, so it is served twice:
`v4/sync` as it was accepted, and at its unstable path as clients knew it before.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, NoQuery, Query, Reply, Route
from clientapi.matrix.services import MatrixServices
from homeserver.identifiers import RoomID, UserID, parse_room_id
from homeserver.requester import Requester
from homeserver.sync.sliding.lists import ListFilters, ListWindow, ListWish
from homeserver.sync.sliding.request import (
    ExtensionWish,
    RoomResult,
    SlidingAnswer,
    SlidingRequest,
)
from homeserver.sync.sliding.room_config import (
    RequiredState,
    RoomConfig,
    StatePattern,
    of_pairs,
)
from homeserver.sync.sliding.sync import SlidingSync

MAX_LISTS = 100
MAX_SUBSCRIPTIONS = 1_000
MAX_PATTERNS = 500
MAX_RANGES = 20
MAX_TIMELINE = 100
"""Most events of a room in one answer; whoever asks for more gets so many."""

_Index = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Range = Annotated[list[_Index], Field(min_length=2, max_length=2)]
_Name = Annotated[str, Field(max_length=255)]
_Names = Annotated[tuple[_Name, ...], Field(max_length=MAX_PATTERNS)]
_Limit = Annotated[int, Field(ge=0, le=2**31 - 1)]
_SET_PRESENCE = "^(online|offline|unavailable)$"


class FiltersBody(Body):
    """SlidingRoomFilter; `is_invite` and `room_name_like` are from before."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    is_invite: bool | None = None
    spaces: _Names | None = None
    room_types: Annotated[list[str | None], Field(max_length=MAX_PATTERNS)] | None = None
    not_room_types: Annotated[tuple[str | None, ...], Field(max_length=MAX_PATTERNS)] = ()
    tags: _Names | None = None
    not_tags: _Names = ()
    room_name_like: Annotated[str, Field(max_length=1_000)] | None = None

    def filters(self) -> ListFilters:
        spaces, types, tags = self.spaces, self.room_types, self.tags
        return ListFilters(
            is_dm=self.is_dm,
            is_encrypted=self.is_encrypted,
            is_invited=self.is_invite if self.is_invited is None else self.is_invited,
            spaces=None if spaces is None else frozenset(map(RoomID, spaces)),
            room_types=None if types is None else frozenset(types),
            not_room_types=frozenset(self.not_room_types),
            tags=None if tags is None else frozenset(tags),
            not_tags=frozenset(self.not_tags),
            name_like=self.room_name_like or "",
        )


class PatternBody(Body):
    """RequiredStateElement."""

    type: _Name | None = None
    state_key: _Name | None = None

    def pattern(self) -> StatePattern:
        return StatePattern(self.type, self.state_key)


class RequiredStateBody(Body):
    """RequiredStateRequest."""

    include: Annotated[tuple[PatternBody, ...], Field(max_length=MAX_PATTERNS)] = ()
    exclude: Annotated[tuple[PatternBody, ...], Field(max_length=MAX_PATTERNS)] = ()
    lazy_members: bool = False

    def required(self) -> RequiredState:
        return RequiredState(
            tuple(each.pattern() for each in self.include),
            tuple(each.pattern() for each in self.exclude),
        )


class RoomConfigBody(Body):
    """RoomSubscription."""

    timeline_limit: _Limit
    required_state: RequiredStateBody

    def config(self, _me: UserID) -> RoomConfig:
        return RoomConfig(
            timeline_limit=min(self.timeline_limit, MAX_TIMELINE),
            required=(self.required_state.required(),),
            lazy_members=self.required_state.lazy_members,
        )


class ListBody(RoomConfigBody):
    """SyncListConfig."""

    range: _Range | None = None
    filters: FiltersBody | None = None

    def wish(self, name: str, me: UserID) -> ListWish:
        ranges = None if self.range is None else [(self.range[0], self.range[1])]
        return _wish(name, self.config(me), self.filters, ranges)


class EarlierRoomConfigBody(Body):
    """A subscription as clients wrote it before the proposal was accepted."""

    timeline_limit: _Limit = 0
    required_state: Annotated[
        tuple[Annotated[list[_Name], Field(min_length=2, max_length=2)], ...],
        Field(max_length=MAX_PATTERNS),
    ] = ()

    def config(self, me: UserID) -> RoomConfig:
        pairs = [(pair[0], pair[1]) for pair in self.required_state]
        return of_pairs(pairs, min(self.timeline_limit, MAX_TIMELINE), me)


class EarlierListBody(EarlierRoomConfigBody):
    """A list as clients wrote it before the proposal was accepted."""

    ranges: Annotated[list[_Range], Field(max_length=MAX_RANGES)] | None = None
    filters: FiltersBody | None = None

    def wish(self, name: str, me: UserID) -> ListWish:
        ranges = None if self.ranges is None else [(each[0], each[1]) for each in self.ranges]
        return _wish(name, self.config(me), self.filters, ranges)


class ExtensionBody(Body):
    """What all extensions have; further fields belong to one of them."""

    enabled: bool = False
    lists: _Names | None = None
    rooms: _Names | None = None
    since: _Name | None = None
    limit: Annotated[int, Field(ge=1)] | None = None

    def wish(self) -> ExtensionWish:
        return ExtensionWish(
            lists=_all_or(self.lists),
            rooms=_all_or_rooms(self.rooms),
            since=self.since,
            limit=self.limit,
        )


class SyncBody(Body):
    """The request as it was accepted: everything stands in the body."""

    conn_id: _Name = ""
    pos: _Name | None = None
    timeout: Annotated[int, Field(ge=0)] = 0
    set_presence: Annotated[str, Field(pattern=_SET_PRESENCE)] = "online"
    lists: dict[_Name, ListBody] = Field(default_factory=dict, max_length=MAX_LISTS)
    room_subscriptions: dict[_Name, RoomConfigBody] = Field(
        default_factory=dict, max_length=MAX_SUBSCRIPTIONS
    )
    extensions: dict[_Name, ExtensionBody] = Field(default_factory=dict, max_length=MAX_LISTS)


class EarlierSyncBody(Body):
    """The request as clients wrote it before: some of it stands in the query."""

    conn_id: _Name = ""
    lists: dict[_Name, EarlierListBody] = Field(default_factory=dict, max_length=MAX_LISTS)
    room_subscriptions: dict[_Name, EarlierRoomConfigBody] = Field(
        default_factory=dict, max_length=MAX_SUBSCRIPTIONS
    )
    extensions: dict[_Name, ExtensionBody] = Field(default_factory=dict, max_length=MAX_LISTS)


class EarlierSyncQuery(Query):
    """What stood in the query."""

    pos: Annotated[str, Field(max_length=255)] | None = None
    timeout: Annotated[int, Field(ge=0)] = 0
    set_presence: Annotated[str, Field(pattern=_SET_PRESENCE)] = "online"


class SlidingSyncEndpoints:
    """Both forms of one endpoint."""

    def __init__(self, *, sliding_sync: SlidingSync) -> None:
        self._sliding_sync = sliding_sync

    async def sliding_sync(self, call: Call[NoQuery, SyncBody], by: Requester) -> Reply:
        body = call.body
        request = SlidingRequest(
            conn_id=body.conn_id,
            pos=body.pos or None,
            timeout_ms=body.timeout,
            set_presence=body.set_presence,
            lists=[each.wish(name, by.user_id) for name, each in body.lists.items()],
            subscriptions=_subscriptions(body.room_subscriptions, by.user_id),
            extensions=_extensions(body.extensions),
        )
        answer = await self._sliding_sync.sync(by, request)
        return Reply(_rendered(answer, {each.wish.name: _count(each) for each in answer.lists}))

    async def earlier_sliding_sync(
        self, call: Call[EarlierSyncQuery, EarlierSyncBody], by: Requester
    ) -> Reply:
        body, query = call.body, call.query
        request = SlidingRequest(
            conn_id=body.conn_id,
            pos=query.pos or None,
            timeout_ms=query.timeout,
            set_presence=query.set_presence,
            lists=[each.wish(name, by.user_id) for name, each in body.lists.items()],
            subscriptions=_subscriptions(body.room_subscriptions, by.user_id),
            extensions=_extensions(body.extensions),
        )
        answer = await self._sliding_sync.sync(by, request)
        lists = {each.wish.name: {**_count(each), "ops": _ops(each)} for each in answer.lists}
        return Reply(_rendered(answer, lists, earlier=True))


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = SlidingSyncEndpoints(sliding_sync=services.sliding_sync)
    yield Route(
        method="POST",
        path="v4/sync",
        run=endpoints.sliding_sync,
        body=SyncBody,
        guests=True,
        waits=True,
    )
    yield Route(
        method="POST",
        path="unstable/org.matrix.simplified_msc3575/sync",
        run=endpoints.earlier_sliding_sync,
        query=EarlierSyncQuery,
        body=EarlierSyncBody,
        guests=True,
        waits=True,
    )


def _wish(
    name: str,
    config: RoomConfig,
    filters: FiltersBody | None,
    ranges: list[tuple[int, int]] | None,
) -> ListWish:
    wanted = ListFilters() if filters is None else filters.filters()
    return ListWish(name=name, config=config, filters=wanted, ranges=ranges)


def _subscriptions(
    given: Mapping[str, RoomConfigBody] | Mapping[str, EarlierRoomConfigBody], me: UserID
) -> dict[RoomID, RoomConfig]:
    return {parse_room_id(room_id): body.config(me) for room_id, body in given.items()}


def _extensions(given: Mapping[str, ExtensionBody]) -> dict[str, ExtensionWish]:
    return {name: each.wish() for name, each in given.items() if each.enabled}


def _all_or(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None or "*" in names else frozenset(names)


def _all_or_rooms(names: Sequence[str] | None) -> frozenset[RoomID] | None:
    return None if names is None or "*" in names else frozenset(map(RoomID, names))


def _count(window: ListWindow) -> dict[str, Any]:
    return {"count": window.count}


def _ops(window: ListWindow) -> list[dict[str, Any]]:
    """The rooms of each range, as clients before looked for them."""
    return [
        {"op": "SYNC", "range": list(span), "room_ids": [room.room_id for room in rooms]}
        for span, rooms in window.shown
    ]


def _rendered(answer: SlidingAnswer, lists: dict[str, Any], *, earlier: bool = False) -> bytes:
    return orjson.dumps(
        {
            "pos": answer.pos,
            "lists": lists,
            "rooms": {
                room_id: _room(room, earlier=earlier) for room_id, room in answer.rooms.items()
            },
            "extensions": answer.extensions,
        }
    )


def _room(room: RoomResult, *, earlier: bool) -> dict[str, Any]:
    """Fields that say nothing are left out."""
    told: dict[str, Any] = {"membership": room.membership}
    if room.lists:
        told["lists"] = room.lists
    if room.stripped_state is not None:
        told["invite_state" if earlier else "stripped_state"] = room.stripped_state
    told |= {name: value for name, value in _plain_fields(room) if value is not None}
    if room.is_unnamed:
        told["name"] = None
    if room.has_no_avatar:
        told["avatar"] = None
    return told | _events_of(room, earlier=earlier)


def _plain_fields(room: RoomResult) -> Iterator[tuple[str, Any]]:
    yield "bump_stamp", room.bump_stamp
    yield "initial", room.initial or None
    yield "name", room.name
    yield "avatar", room.avatar
    yield "heroes", room.heroes
    yield "is_dm", room.is_dm
    yield "prev_batch", room.prev_batch
    yield "joined_count", room.joined_count
    yield "invited_count", room.invited_count
    yield "notification_count", room.notification_count
    yield "highlight_count", room.highlight_count


def _events_of(room: RoomResult, *, earlier: bool) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if room.required_state:
        told["required_state"] = [orjson.Fragment(each) for each in room.required_state]
    if room.timeline is not None:
        name = "timeline" if earlier else "timeline_events"
        told[name] = [orjson.Fragment(each) for each in room.timeline]
        told["limited"] = room.limited
        told["num_live"] = room.num_live
    if room.expanded:
        told["unstable_expanded_timeline" if earlier else "expanded_timeline"] = True
    return told
