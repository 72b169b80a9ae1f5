"""Table `room_state`, read for one room: its state now, or as it was at a version.

A version of None is the current state. On a fork, the state is that of its base.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from homeserver.events.stored import StoredEvent
from homeserver.identifiers import StateKey, UserID
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event

MEMBER_TYPE = "m.room.member"
PART = 250
"""Events that are made of rows in one go: of thousands, others would have to wait."""

_FROM = """
    room_state s JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid
"""
_HOLDS = """
    s.room_nid = $1 AND CASE WHEN $2::integer IS NULL THEN s.until_version IS NULL
        ELSE s.since_version <= $2 AND (s.until_version IS NULL OR s.until_version > $2) END
"""


_WHOLE = f"""
    SELECT {COLUMNS} FROM {_FROM} WHERE {_HOLDS}
        AND ($3::text[] IS NULL OR s.type <> '{MEMBER_TYPE}' OR s.state_key = ANY($3))
    ORDER BY s.since_version, e.event_nid
"""
_MEMBERS = f"""
    SELECT {COLUMNS} FROM {_FROM} WHERE {_HOLDS} AND s.type = '{MEMBER_TYPE}'
        AND ($3::text[] IS NULL OR s.state_key = ANY($3)) ORDER BY s.since_version, e.event_nid
"""
_MEMBERS_NOW = f"""
    SELECT {COLUMNS} FROM memberships m JOIN events e ON e.event_nid = m.event_nid
    JOIN rooms r ON r.room_nid = e.room_nid
    WHERE m.room_nid = $1 AND m.membership = ANY($2::text[]) ORDER BY m.user_nid
"""

Parts = AsyncIterator[list[StoredEvent]]
"""Events a few hundred at a time; only within a transaction."""


def whole_in_parts(db: Connection, room_nid: int, version: int | None) -> Parts:
    """All of the state, in the order in which it was set."""
    return _in_parts(db, _WHOLE, room_nid, version, None)


def members_in_parts(db: Connection, room_nid: int, version: int | None) -> Parts:
    """All membership events."""
    return _in_parts(db, _MEMBERS, room_nid, version, None)


def members_now_in_parts(db: Connection, room_nid: int, memberships: Collection[str]) -> Parts:
    """The membership events of everybody with one of these memberships now."""
    return _in_parts(db, _MEMBERS_NOW, room_nid, list(memberships))


async def _in_parts(db: Connection, query: str, *arguments: Any) -> Parts:
    cursor = await db.cursor(query, *arguments)
    while rows := await cursor.fetch(PART):
        yield [stored_event(row) for row in rows]
        if len(rows) < PART:
            return


async def whole(
    db: Connection,
    room_nid: int,
    version: int | None,
    *,
    members: Collection[UserID] | None = None,
) -> list[StoredEvent]:
    """All of the state, in the order in which it was set. members: only these; None: all."""
    named = None if members is None else list(members)
    return [stored_event(row) for row in await db.fetch(_WHOLE, room_nid, version, named)]


async def whole_of_rooms(
    db: Connection, versions: Mapping[int, int | None]
) -> dict[int, list[StoredEvent]]:
    """All of the state of several rooms, each at its version."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM unnest($1::bigint[], $2::integer[]) AS w (room_nid, version)"
        " JOIN room_state s ON s.room_nid = w.room_nid AND CASE WHEN w.version IS NULL"
        " THEN s.until_version IS NULL ELSE s.since_version <= w.version"
        " AND (s.until_version IS NULL OR s.until_version > w.version) END"
        " JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid"
        " ORDER BY s.since_version, e.event_nid",
        list(versions),
        list(versions.values()),
    )
    found: dict[int, list[StoredEvent]] = {room_nid: [] for room_nid in versions}
    for row in rows:
        found[row["room_nid"]].append(stored_event(row))
    return found


async def entry(
    db: Connection, room_nid: int, version: int | None, key: StateKey
) -> StoredEvent | None:
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM {_FROM} WHERE {_HOLDS} AND s.type = $3 AND s.state_key = $4",
        room_nid,
        version,
        *key,
    )
    return None if row is None else stored_event(row)


async def members(
    db: Connection, room_nid: int, version: int | None, *, only: Collection[UserID] | None = None
) -> list[StoredEvent]:
    """The membership events. only: of these users; None: of all."""
    named = None if only is None else list(only)
    return [stored_event(row) for row in await db.fetch(_MEMBERS, room_nid, version, named)]


async def senders_at(
    db: Connection, wanted: Sequence[tuple[int, int, UserID]]
) -> list[StoredEvent]:
    """Membership events of users, each in a room at a version: (room, version, user)."""
    rows = await db.fetch(
        f"SELECT {COLUMNS}"
        " FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS w (room_nid, version, user_id)"
        f" JOIN room_state s ON s.room_nid = w.room_nid AND s.type = '{MEMBER_TYPE}'"
        " AND s.state_key = w.user_id AND s.since_version <= w.version"
        " AND (s.until_version IS NULL OR s.until_version > w.version)"
        " JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid",
        [each[0] for each in wanted],
        [each[1] for each in wanted],
        [each[2] for each in wanted],
    )
    return [stored_event(row) for row in rows]


async def version_at(db: Connection, room_nid: int, position: int) -> int | None:
    """The version of the state after everything up to a position; None: still the current one."""
    version: int | None = await db.fetchval(
        "SELECT state_version FROM events WHERE room_nid = $1 AND position > $2"
        " AND fork_nid IS NULL ORDER BY position LIMIT 1",
        room_nid,
        position,
    )
    return version


async def is_any_joined_of(db: Connection, room_nid: int, appservice: str) -> bool:
    """Whether a user whom an application service made is in the room."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM accounts a JOIN memberships m USING (user_nid)"
        " WHERE a.appservice = $2 AND m.room_nid = $1 AND m.membership = 'join')",
        room_nid,
        appservice,
    )
    return found
