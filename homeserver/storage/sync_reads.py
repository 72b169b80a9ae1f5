"""What a sync asks of many rooms at once: a query each, however many rooms there are.

Events are named by number here; what they say is read by `events.by_nids` where it is not known.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import RoomID, UserID
from homeserver.storage.aggregations import AGGREGATED
from homeserver.storage.database import Connection
from homeserver.storage.timeline import Span, span_columns
from homeserver.values import value

EVENTS = "events"
RECEIPTS = "receipts"
ACCOUNT_DATA = "account_data"
TO_DEVICE = "to_device"
DEVICE_LISTS = "device_lists"

MAX_EXAMINED = 2_000
"""Events of a room that are looked at where a filter leaves some out."""
HEROES = 6
"""One more than a summary has, for the reader himself is none."""


@dataclass(frozen=True, slots=True)
class Positions:
    """The newest position of each stream that a snapshot shows."""

    events: int
    receipts: int
    account_data: int
    to_device: int
    device_lists: int


@value
class OwnRoom:
    """A room that a user has to do with. position: of the event that says so; None for one that
    came with the room's state. version: of the room's state before it.
    """

    room_nid: int
    room_id: RoomID
    membership: str
    event_nid: int
    sender_nid: int
    position: int | None
    version: int | None


@value
class Movement:
    """How far a room came. last: position of its newest event. version_then: of its state, at the
    position that was asked for, or an older one where the graph forked; version: of its state now.
    """

    room_nid: int
    last: int
    version_then: int
    version: int


@value
class TimelineRow:
    """An event of a timeline, by number."""

    room_nid: int
    position: int
    event_nid: int
    state_version: int
    fork_nid: int | None
    redacted_by: int | None
    session_nid: int | None
    txn_id: str | None
    is_state: bool


@value
class WantedState:
    """Entries of a room that are newer than the version `above` and held at `start` or at `end`.

    above: -1 for all.
    """

    room_nid: int
    above: int
    start: int
    end: int


@value
class StateRow:
    """An entry of a room's state, by the number of its event; where it held."""

    room_nid: int
    event_nid: int
    type: str
    state_key: str
    at_start: bool
    at_end: bool


@value
class WantedMember:
    """Somebody's membership as a version of the room's state has it."""

    room_nid: int
    version: int
    user_id: str


@value
class Sizes:
    """joined, invited: how many. heroes: those who joined or were invited first, or, where nobody
    is there, others.
    """

    joined: int
    invited: int
    heroes: tuple[UserID, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of a timeline. Types: patterns of LIKE; None: all. ignored: senders whose
    events are left out unless they change the room's state.
    """

    limit: int
    types: Sequence[str] | None = None
    not_types: Sequence[str] = ()
    senders: Sequence[int] | None = None
    not_senders: Sequence[int] = ()
    ignored: Sequence[int] = ()
    contains_url: bool | None = None

    @property
    def takes_all(self) -> bool:
        return not (
            self.types is not None
            or self.not_types
            or self.senders is not None
            or self.not_senders
            or self.ignored
            or self.contains_url is not None
        )


_COLUMNS = """
    m.room_nid, m.position, m.event_nid, m.state_version, m.fork_nid, m.redacted_by,
    m.session_nid, m.txn_id, m.state_key IS NOT NULL AS is_state
"""
_NEWEST = f"""
    SELECT {_COLUMNS}, m.type, m.sender_nid, m.raw FROM events m
    WHERE m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
        AND m.state_version >= s.since AND m.state_version < s.until AND m.position IS NOT NULL
    ORDER BY m.position DESC LIMIT $6
"""
_SPANS = """
    unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
        AS s (room_nid, after, upto, since, until)
"""
_TIMELINES = f"""
    SELECT {_COLUMNS.replace("m.state_key IS NOT NULL AS is_state", "m.is_state")}
    FROM {_SPANS} CROSS JOIN LATERAL ({_NEWEST}) m
"""
# JSON is taken apart as text: JSONB knows no U+0000.
_FILTERED = f"""
    SELECT found.* FROM {_SPANS} CROSS JOIN LATERAL (
        SELECT {_COLUMNS.replace("m.state_key IS NOT NULL AS is_state", "m.is_state")}
        FROM ({_NEWEST}) m
        WHERE ($8::text[] IS NULL OR m.type LIKE ANY($8)) AND NOT m.type LIKE ANY($9::text[])
            AND ($10::bigint[] IS NULL OR m.sender_nid = ANY($10))
            AND m.sender_nid <> ALL($11::bigint[])
            AND (m.is_state OR m.sender_nid <> ALL($12::bigint[]))
            AND ($13::boolean IS NULL OR $13 =
                 (convert_from(m.raw, 'UTF8')::json -> 'content' -> 'url' IS NOT NULL))
        ORDER BY m.position DESC LIMIT $7
    ) found
"""
_STATE_COLUMNS = """
    s.room_nid, s.event_nid, s.type, s.state_key,
    s.since_version <= w.start AND (s.until_version IS NULL OR s.until_version > w.start)
        AS at_start,
    s.until_version IS NULL OR s.until_version > w.until AS at_end
"""
_WANTED_STATE = """
    unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[])
        AS w (room_nid, above, start, until)
"""
_HELD = """
    s.room_nid = w.room_nid AND s.since_version > w.above AND s.since_version <= w.until
    AND (s.until_version IS NULL OR s.until_version > w.start)
    AND (s.since_version <= w.start OR s.until_version IS NULL OR s.until_version > w.until)
"""


async def positions(db: Connection) -> Positions:
    rows = await db.fetch(
        "SELECT stream, position FROM stream_positions WHERE stream = ANY($1)",
        [EVENTS, RECEIPTS, ACCOUNT_DATA, TO_DEVICE, DEVICE_LISTS],
    )
    return Positions(**{row["stream"]: row["position"] for row in rows})


async def own_rooms(
    db: Connection, user_nid: int, *, after: int | None, with_left: bool
) -> list[OwnRoom]:
    """Rooms that a user is in, is invited to or knocked at; and those that he left after a
    position, or at any time, unless he has forgotten them.

    Where the graph forks, a leave of before the position may hold again: such rooms are among them
    when they went on after it.
    """
    rows = await db.fetch(
        """
        SELECT m.room_nid, r.room_id, m.membership, m.event_nid, e.sender_nid, e.position,
            e.state_version AS version
        FROM memberships m JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
        WHERE m.user_nid = $1 AND (
            (m.membership IN ('join', 'invite', 'knock') AND r.deleted_at IS NULL)
            OR (m.membership IN ('leave', 'ban')
                AND ($3 OR e.position > $2 OR (
                    EXISTS (SELECT FROM events n WHERE n.room_nid = m.room_nid AND n.position > $2)
                    AND e.state_version + 1 < (
                        SELECT max(s.since_version) FROM room_state s
                        WHERE s.room_nid = m.room_nid AND s.type = 'm.room.member'
                            AND s.state_key = (SELECT user_id FROM users WHERE user_nid = $1))))
                AND NOT EXISTS (
                    SELECT FROM forgotten_rooms f
                    WHERE f.user_nid = $1 AND f.room_nid = m.room_nid))
        )
        """,
        user_nid,
        after,
        with_left,
    )
    return [OwnRoom(**dict(row)) for row in rows]


async def joined_rooms(db: Connection, user_nid: int) -> dict[int, RoomID]:
    """The rooms that a user is in now."""
    rows = await db.fetch(
        "SELECT m.room_nid, r.room_id FROM memberships m JOIN rooms r USING (room_nid)"
        " WHERE m.user_nid = $1 AND m.membership = 'join' AND r.deleted_at IS NULL",
        user_nid,
    )
    return {row["room_nid"]: RoomID(row["room_id"]) for row in rows}


async def movements(db: Connection, after: Mapping[int, int]) -> dict[int, Movement]:
    """How far rooms came. after: a position for each, of which the version then is told."""
    rows = await db.fetch(
        """
        SELECT o.room_nid, newest.position AS last, h.state_version AS version,
            coalesce(before.version, 0) AS version_then
        FROM unnest($1::bigint[], $2::bigint[]) AS o (room_nid, after)
            JOIN room_heads h USING (room_nid)
        CROSS JOIN LATERAL (
            SELECT m.position FROM events m
            WHERE m.room_nid = o.room_nid AND m.position IS NOT NULL
            ORDER BY m.position DESC LIMIT 1
        ) newest
        LEFT JOIN LATERAL (
            SELECT m.state_version + (m.state_key IS NOT NULL)::integer AS version FROM events m
            WHERE m.room_nid = o.room_nid AND m.position <= o.after AND m.fork_nid IS NULL
            ORDER BY m.position DESC LIMIT 1
        ) before ON true
        """,
        list(after),
        list(after.values()),
    )
    return {row["room_nid"]: Movement(**dict(row)) for row in rows}


async def timelines(
    db: Connection, spans: Sequence[Span], wanted: Wanted
) -> dict[int, list[TimelineRow]]:
    """The newest events of each room's spans, the oldest first; of each span up to the limit.

    Of a room whose events are filtered, the newest 2,000 are looked at.
    """
    if wanted.takes_all:
        rows = await db.fetch(_TIMELINES, *span_columns(spans), wanted.limit)
    else:
        rows = await db.fetch(
            _FILTERED,
            *span_columns(spans),
            MAX_EXAMINED,
            wanted.limit,
            wanted.types,
            wanted.not_types,
            wanted.senders,
            wanted.not_senders,
            wanted.ignored,
            wanted.contains_url,
        )
    return _by_room(rows)


def _by_room(rows: Sequence[Record]) -> dict[int, list[TimelineRow]]:
    """Spans may overlap, so an event may come twice."""
    found: dict[int, dict[int, TimelineRow]] = {}
    for row in rows:
        found.setdefault(row[0], {})[row[1]] = TimelineRow(*row)
    return {room: [each[place] for place in sorted(each)] for room, each in found.items()}


async def state_changes(db: Connection, wanted: Sequence[WantedState]) -> list[StateRow]:
    """Costs by what changed, not by what there is."""
    rows = await db.fetch(
        f"SELECT {_STATE_COLUMNS} FROM {_WANTED_STATE} JOIN room_state s ON {_HELD}",
        *_state_columns(wanted),
    )
    return [StateRow(*row) for row in rows]


async def full_state(
    db: Connection, wanted: Sequence[WantedState], *, members: bool
) -> list[StateRow]:
    """members: False leaves them out, and then costs nothing for them."""
    if members:
        return await state_changes(db, wanted)
    rows = await db.fetch(
        f"""
        SELECT {_STATE_COLUMNS} FROM {_WANTED_STATE} JOIN room_state s ON {_HELD}
            AND s.type < 'm.room.member'
        UNION ALL
        SELECT {_STATE_COLUMNS} FROM {_WANTED_STATE} JOIN room_state s ON {_HELD}
            AND s.type > 'm.room.member'
        """,
        *_state_columns(wanted),
    )
    return [StateRow(*row) for row in rows]


def _state_columns(wanted: Sequence[WantedState]) -> tuple[list[int], ...]:
    return (
        [each.room_nid for each in wanted],
        [each.above for each in wanted],
        [each.start for each in wanted],
        [each.end for each in wanted],
    )


async def members_at(
    db: Connection, wanted: Collection[WantedMember]
) -> dict[tuple[int, str], int]:
    """Numbers of membership events, by room and user ID."""
    asked = list(wanted)
    rows = await db.fetch(
        "SELECT s.room_nid, s.state_key, s.event_nid"
        " FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS w (room_nid, version, user_id)"
        " JOIN room_state s ON s.room_nid = w.room_nid AND s.type = 'm.room.member'"
        " AND s.state_key = w.user_id AND s.since_version <= w.version"
        " AND (s.until_version IS NULL OR s.until_version > w.version)",
        [each.room_nid for each in asked],
        [each.version for each in asked],
        [each.user_id for each in asked],
    )
    return {(row["room_nid"], row["state_key"]): row["event_nid"] for row in rows}


async def entries_at(
    db: Connection, versions: Mapping[int, int], types: Sequence[str]
) -> list[StateRow]:
    """Entries with an empty state key, of rooms at versions of their state."""
    rows = await db.fetch(
        "SELECT s.room_nid, s.event_nid, s.type, s.state_key, true AS at_start, true AS at_end"
        " FROM unnest($1::bigint[], $2::integer[]) AS w (room_nid, version)"
        " JOIN room_state s ON s.room_nid = w.room_nid AND s.type = ANY($3::text[])"
        " AND s.state_key = '' AND s.since_version <= w.version"
        " AND (s.until_version IS NULL OR s.until_version > w.version)",
        list(versions),
        list(versions.values()),
        list(types),
    )
    return [StateRow(*row) for row in rows]


async def sizes(db: Connection, room_nids: Collection[int]) -> dict[int, Sizes]:
    """How many members rooms have, and who they are named after."""
    rows = await db.fetch(
        f"""
        SELECT o.room_nid, counted.joined, counted.invited, ARRAY(
            SELECT u.user_id FROM (
                SELECT m.user_nid, m.event_nid, m.membership FROM memberships m
                WHERE m.room_nid = o.room_nid AND m.membership <> 'knock'
                ORDER BY m.membership IN ('join', 'invite') DESC, m.event_nid LIMIT {HEROES}
            ) first JOIN users u USING (user_nid)
            WHERE first.membership IN ('join', 'invite') OR counted.joined + counted.invited < 2
            ORDER BY first.membership IN ('join', 'invite') DESC, first.event_nid
        ) AS heroes
        FROM unnest($1::bigint[]) AS o (room_nid) CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.membership = 'join') AS joined,
                count(*) FILTER (WHERE m.membership = 'invite') AS invited
            FROM memberships m WHERE m.room_nid = o.room_nid
        ) counted
        """,
        list(room_nids),
    )
    return {
        row["room_nid"]: Sizes(row["joined"], row["invited"], tuple(row["heroes"])) for row in rows
    }


async def naming_events(db: Connection, room_nids: Collection[int]) -> list[tuple[int, str, bytes]]:
    """Name and canonical alias of rooms: room, type, and the event as stored."""
    rows = await db.fetch(
        "SELECT s.room_nid, s.type, e.raw FROM room_state s JOIN events e USING (event_nid)"
        " WHERE s.room_nid = ANY($1::bigint[]) AND s.state_key = '' AND s.until_version IS NULL"
        " AND s.type IN ('m.room.name', 'm.room.canonical_alias')",
        list(room_nids),
    )
    return [(row["room_nid"], row["type"], row["raw"]) for row in rows]


async def rooms_of_many(db: Connection, user_nids: Collection[int]) -> dict[int, set[int]]:
    """Users by the rooms that they are in."""
    rows = await db.fetch(
        "SELECT room_nid, user_nid FROM memberships"
        " WHERE user_nid = ANY($1::bigint[]) AND membership = 'join'",
        list(user_nids),
    )
    found: dict[int, set[int]] = {}
    for room_nid, user_nid in rows:
        found.setdefault(room_nid, set()).add(user_nid)
    return found


async def members_of_small(
    db: Connection, room_nids: Collection[int], *, max_members: int
) -> dict[int, list[int]]:
    """Everybody who is in those of the rooms that have at most so many members."""
    # Each room is one look into an index, whatever is known of how rows are distributed.
    rows = await db.fetch(
        """
        SELECT o.room_nid, members.nids FROM unnest($1::bigint[]) AS o (room_nid)
        CROSS JOIN LATERAL (
            SELECT ARRAY(
                SELECT m.user_nid FROM memberships m
                WHERE m.room_nid = o.room_nid AND m.membership = 'join' LIMIT $2 + 1
            ) AS nids
        ) members
        WHERE cardinality(members.nids) <= $2
        """,
        list(room_nids),
        max_members,
    )
    return {row["room_nid"]: row["nids"] for row in rows}


async def user_ids(db: Connection, user_nids: Collection[int]) -> dict[int, UserID]:
    """By number."""
    rows = await db.fetch(
        "SELECT user_nid, user_id FROM users WHERE user_nid = ANY($1::bigint[])", list(user_nids)
    )
    return {row["user_nid"]: UserID(row["user_id"]) for row in rows}


async def related(db: Connection, uuids: Collection[UUID]) -> frozenset[UUID]:
    """Those of the events on which something hangs that is told beside them."""
    rows = await db.fetch(
        "SELECT DISTINCT parent_uuid FROM relations"
        " WHERE parent_uuid = ANY($1::uuid[]) AND rel_type = ANY($2::text[])",
        list(uuids),
        list(AGGREGATED),
    )
    return frozenset(row["parent_uuid"] for row in rows)


async def crowded(
    db: Connection, room_nids: Collection[int], after: int, limit: int
) -> frozenset[int]:
    """Rooms with more than so many events after a position."""
    rows = await db.fetch(
        "SELECT o.room_nid FROM unnest($1::bigint[]) AS o (room_nid) WHERE EXISTS ("
        " SELECT FROM events m WHERE m.room_nid = o.room_nid AND m.position > $2"
        " AND m.position IS NOT NULL ORDER BY m.position OFFSET $3)",
        list(room_nids),
        after,
        limit,
    )
    return frozenset(row["room_nid"] for row in rows)
