"""Searching by words (search.yaml)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import orjson
from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, Query, Route
from clientapi.matrix.page_tokens import page_token
from clientapi.matrix.services import MatrixServices
from homeserver.errors import InvalidInput
from homeserver.event_filter import event_filter
from homeserver.requester import Requester
from homeserver.views.event_search import (
    DEFAULT_CONTEXT,
    KEYS,
    MAX_CONTEXT,
    Around,
    Context,
    EventSearch,
    Group,
    Point,
    Result,
    Results,
    SearchQuery,
)

Key = Literal["content.body", "content.name", "content.topic"]
GroupKey = Literal["room_id", "sender"]
_MAX_TOKEN_CHARS = 1_024


class EventContext(Body):
    before_limit: int = Field(DEFAULT_CONTEXT, ge=0)
    after_limit: int = Field(DEFAULT_CONTEXT, ge=0)
    include_profile: bool = False


class GroupBy(Body):
    key: GroupKey | None = None


class Groupings(Body):
    group_by: list[GroupBy] = Field(default_factory=list, max_length=10)


class RoomEvents(Body):
    """The criteria of a search for events."""

    search_term: str
    keys: list[Key] | None = Field(None, max_length=10)
    filter: dict[str, Any] | None = None
    order_by: Literal["recent", "rank"] = "rank"
    event_context: EventContext | None = None
    include_state: bool = False
    groupings: Groupings = Groupings()


class Categories(Body):
    room_events: RoomEvents | None = None


class SearchBody(Body):
    search_categories: Categories


class Batch(Query):
    """next_batch: a token of this endpoint."""

    next_batch: str | None = None


class Search:
    """Endpoints of search.yaml."""

    def __init__(self, *, search: EventSearch) -> None:
        self._search = search

    async def search(self, call: Call[Batch, SearchBody], by: Requester) -> Json:
        criteria = call.body.search_categories.room_events
        if criteria is None:
            return {"search_categories": {}}
        found = await self._search.search(by, _query(criteria, call.query.next_batch))
        keys = {each.key for each in criteria.groupings.group_by if each.key is not None}
        return {"search_categories": {"room_events": _answer(found, sorted(keys))}}


def _query(criteria: RoomEvents, next_batch: str | None) -> SearchQuery:
    around = criteria.event_context
    return SearchQuery(
        term=criteria.search_term,
        keys=KEYS if criteria.keys is None else criteria.keys,
        only=event_filter(criteria.filter, "filter"),
        order_by=criteria.order_by,
        around=None
        if around is None
        else Around(
            before=min(around.before_limit, MAX_CONTEXT),
            after=min(around.after_limit, MAX_CONTEXT),
            profiles=around.include_profile,
        ),
        include_state=criteria.include_state,
        start=Point() if next_batch is None else _point_of(next_batch),
    )


def _answer(found: Results, group_keys: Sequence[str]) -> Json:
    answer: Json = {
        "count": found.count,
        "highlights": list(found.highlights),
        "results": [_result(each) for each in found.results],
    }
    if group_keys:
        answer["groups"] = {key: _groups(found, key) for key in group_keys}
    if found.state:
        answer["state"] = found.state
    if found.next_point is not None:
        answer["next_batch"] = _token(found.next_point)
    return answer


def _result(result: Result) -> Json:
    answer: Json = {"rank": result.rank, "result": result.event}
    if result.context is not None:
        answer["context"] = _context(result.context)
    return answer


def _context(context: Context) -> Json:
    answer: Json = {
        "start": page_token(context.start),
        "end": page_token(context.end),
        "events_before": context.before,
        "events_after": context.after,
    }
    if context.profiles:
        answer["profile_info"] = context.profiles
    return answer


def _groups(found: Results, key: str) -> Json:
    """Each group goes on where all results do: what it has before that was told."""
    groups: dict[str, Json] = {}
    for result in found.results:
        value = result.event[key]
        group = groups.setdefault(value, {"order": len(groups) + 1, "results": []})
        group["results"].append(result.event["event_id"])
    if found.next_point is not None:
        rank, position = found.next_point.rank, found.next_point.position
        for value, group in groups.items():
            group["next_batch"] = _token(Point(rank, position, Group(key, value)))
    return groups


def _token(point: Point) -> str:
    group = None if point.group is None else [point.group.key, point.group.value]
    return urlsafe_b64encode(orjson.dumps([point.rank, point.position, group])).decode()


def _point_of(token: str) -> Point:
    """Raises InvalidInput."""
    try:
        value = orjson.loads(urlsafe_b64decode(token[:_MAX_TOKEN_CHARS]))
    except ValueError:
        value = None
    match value:
        case [float(rank), int(position), None] if _is_position(position):
            return Point(rank, position)
        case [float(rank), int(position), ["room_id" | "sender" as key, str(group)]] if (
            _is_position(position) and "\0" not in group
        ):
            return Point(rank, position, Group(key, group))
    raise InvalidInput("This is no token of this server.", field="next_batch")


def _is_position(number: int) -> bool:
    return abs(number) < 2**63


def routes(services: MatrixServices) -> Iterator[Route]:
    search = Search(search=services.room_views.search)
    yield Route(method="POST", path="v3/search", run=search.search, query=Batch, body=SearchBody)
