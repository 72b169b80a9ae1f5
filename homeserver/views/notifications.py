"""What somebody was notified of.

Source: C-S API v1.19 "Listing Notifications". What was silent when it came is not listed; of rooms
that are silenced now, only what was more than an ordinary message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.errors import InvalidInput
from homeserver.identifiers import RoomID
from homeserver.messages import thread_of
from homeserver.push_rules.conditions import Circumstances, Reader
from homeserver.push_rules.evaluation import Program
from homeserver.push_rules.properties import EventView
from homeserver.push_rules.rules import Action
from homeserver.requester import Requester
from homeserver.storage import notifications, notified
from homeserver.storage.database import Connection, Database
from homeserver.storage.notified import HeardRoom, NotifiedRow
from homeserver.storage.timeline import MAX_POSITION
from homeserver.streams.push_programs import PushPrograms
from homeserver.streams.room_counters import MAIN
from homeserver.views import history
from homeserver.views.client_events import ClientEvents

DEFAULT_PAGE = 20
MAX_PAGE = 100
MAX_ROOMS = 5_000

_NOTIFY: Action = "notify"
_HIGHLIGHT: Action = {"set_tweak": "highlight"}


@dataclass(frozen=True, slots=True)
class Notified:
    """An event that notified somebody. event: as clients get it, without the room's ID.

    is_read: a receipt says so. at_ms: when it was sent.
    """

    room_id: RoomID
    event: Mapping[str, Any]
    actions: tuple[Action, ...]
    is_read: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class NotifiedPage:
    """Some, the newest first. next_token: where the next page begins, if there may be one."""

    notified: Sequence[Notified]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What a page is made of."""

    rows: Sequence[NotifiedRow]
    events: Sequence[Mapping[str, Any]]
    marks: Mapping[int, Mapping[str, int]]
    member_counts: Mapping[int, int]


class NotificationList:
    """Pages of what notified somebody. Raises Unavailable."""

    def __init__(
        self, *, database: Database, programs: PushPrograms, client_events: ClientEvents
    ) -> None:
        self._database = database
        self._programs = programs
        self._client_events = client_events

    async def page(
        self,
        by: Requester,
        *,
        from_token: str | None = None,
        limit: int = DEFAULT_PAGE,
        highlights_only: bool = False,
    ) -> NotifiedPage:
        """A fixed number of queries. limit: of more than 100, 100 are told. Raises InvalidInput."""
        if limit < 1:
            raise InvalidInput("limit must be at least 1.", field="limit")
        before = MAX_POSITION if from_token is None else _position(from_token)
        program = await self._programs.of(by.user_nid)
        limit = min(limit, MAX_PAGE)
        async with self._database.snapshot() as db:
            rooms = await _rooms(db, by, program)
            rows = await notified.page(
                db,
                by.user_nid,
                rooms,
                before=before,
                highlights_only=highlights_only,
                limit=limit,
            )
            known = await self._beside(db, by, rows)
        return NotifiedPage(
            [_notified(by, program, known, index) for index in range(len(rows))],
            str(rows[-1].stored.facts.position) if len(rows) == limit else None,
        )

    async def _beside(self, db: Connection, by: Requester, rows: Sequence[NotifiedRow]) -> _Known:
        nids = [*{row.stored.facts.room_nid for row in rows}]
        return _Known(
            rows=rows,
            events=await self._client_events.render(
                db, by, [row.stored for row in rows], with_room_id=False
            ),
            marks=await notifications.marks(db, by.user_nid, nids),
            member_counts=await notified.member_counts(db, nids),
        )


async def _rooms(db: Connection, by: Requester, program: Program) -> list[HeardRoom]:
    found = await notified.rooms_of(db, by.user_nid, limit=MAX_ROOMS)
    joined = [room_nid for room_nid, _, membership in found if membership == "join"]
    readable = await history.of_rooms(db, by.user_id, joined, in_detail=joined)
    since = {room_nid: known.joined_at or 0 for room_nid, known in readable.items()}
    return [
        HeardRoom(
            room_nid=room_nid,
            since=since.get(room_nid, 0),
            is_joined=membership == "join",
            is_muted=program.mutes(room_id),
        )
        for room_nid, room_id, membership in found
    ]


def _notified(by: Requester, program: Program, known: _Known, index: int) -> Notified:
    row = known.rows[index]
    event, facts = row.stored.event, row.stored.facts
    marks = known.marks.get(facts.room_nid, {})
    read_to = max(marks.get("", 0), marks.get(thread_of(event) or MAIN, 0))
    return Notified(
        room_id=event.room_id,
        event=known.events[index],
        actions=_actions(by, program, row, known.member_counts.get(facts.room_nid)),
        is_read=facts.position is not None and facts.position <= read_to,
        at_ms=event.origin_server_ts,
    )


def _actions(
    by: Requester, program: Program, row: NotifiedRow, member_count: int | None
) -> tuple[Action, ...]:
    """Those of the rule that matches now, if it does what was done when the event came."""
    circumstances = Circumstances(member_count, may_notify=lambda _: row.highlight)
    outcome = program.outcome(EventView.of(row.stored.event), Reader(by.user_id), circumstances)
    if (outcome.notify, outcome.highlight) == (True, row.highlight):
        return outcome.actions
    return (_NOTIFY, _HIGHLIGHT) if row.highlight else (_NOTIFY,)


def _position(token: str) -> int:
    if not token.isascii() or not token.isdigit() or len(token) > len(str(MAX_POSITION)) - 1:
        raise InvalidInput("This is no token of this server.", field="from")
    return int(token)
