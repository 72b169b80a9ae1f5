"""Tables `room_state`, `state_forks`, `memberships`: room state as intervals of state versions.

The state at version v is the rows with since_version <= v < until_version; the current state has
no until_version. A message adds no row, a state change adds one (design section 7).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.events.stored import StoredEvent
from homeserver.identifiers import EventID, StateKey
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event


@dataclass(frozen=True, slots=True)
class StateChange:
    """From `version` on, the entry is `event_nid`; None: the entry is gone."""

    room_nid: int
    type: str
    state_key: str
    event_nid: int | None
    version: int


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A user's current membership; `event_nid` None: the room knows nothing of the user."""

    room_nid: int
    user_nid: int
    membership: str
    event_nid: int | None


async def current_entries(
    db: Connection, room_nid: int, keys: Sequence[StateKey]
) -> dict[StateKey, StoredEvent]:
    """Entries of the current state; absent ones are left out."""
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS}, s.type AS state_type, s.state_key
        FROM unnest($2::text[], $3::text[]) AS k (type, state_key)
        JOIN room_state s ON s.room_nid = $1 AND s.type = k.type AND s.state_key = k.state_key
            AND s.until_version IS NULL
        JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid
        """,
        room_nid,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["state_type"], row["state_key"]): stored_event(row) for row in rows}


async def state_at(
    db: Connection, room_nid: int, version: int, fork_nid: int | None = None
) -> dict[StateKey, tuple[int, EventID]]:
    """The whole state at a version, or in a fork of it: event number and event ID an entry."""
    rows = await db.fetch(
        "SELECT s.type, s.state_key, s.event_nid, e.event_id FROM room_state s"
        " JOIN events e USING (event_nid)"
        " WHERE s.room_nid = $1 AND s.since_version <= $2"
        " AND (s.until_version IS NULL OR s.until_version > $2)",
        room_nid,
        version,
    )
    state = {(row["type"], row["state_key"]): (row["event_nid"], row["event_id"]) for row in rows}
    if fork_nid is not None:
        _apply_fork(state, await _fork_entries(db, fork_nid))
    return state


async def entries_before(db: Connection, events: Sequence[StoredEvent]) -> dict[int, StoredEvent]:
    """What each state event (by its number) replaced; those that replaced nothing are left out."""
    if not events:
        return {}
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS}, w.event_nid AS successor
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[])
            AS w (event_nid, room_nid, type, state_key, version)
        JOIN room_state s ON s.room_nid = w.room_nid AND s.type = w.type
            AND s.state_key = w.state_key AND s.since_version <= w.version
            AND (s.until_version IS NULL OR s.until_version > w.version)
        JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid
        """,
        [stored.facts.event_nid for stored in events],
        [stored.facts.room_nid for stored in events],
        [stored.event.type for stored in events],
        [stored.event.state_key for stored in events],
        [stored.facts.state_version for stored in events],
    )
    return {row["successor"]: stored_event(row) for row in rows}


async def fork_base(db: Connection, fork_nid: int) -> int:
    base: int = await db.fetchval(
        "SELECT base_version FROM state_forks WHERE fork_nid = $1", fork_nid
    )
    return base


async def insert_fork(
    db: Connection, room_nid: int, base_version: int, entries: Mapping[StateKey, int | None]
) -> int:
    """A fork: a version of the current state and the entries that differ (None: absent)."""
    fork_nid: int = await db.fetchval(
        "INSERT INTO state_forks (room_nid, base_version) VALUES ($1, $2) RETURNING fork_nid",
        room_nid,
        base_version,
    )
    await db.executemany(
        "INSERT INTO state_fork_entries (fork_nid, type, state_key, event_nid)"
        " VALUES ($1, $2, $3, $4)",
        [(fork_nid, *key, event_nid) for key, event_nid in entries.items()],
    )
    return fork_nid


async def sweep_forks(db: Connection) -> int:
    """Removes forks that no event needs; returns how many."""
    status = await db.execute(
        "DELETE FROM state_forks f"
        " WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.fork_nid = f.fork_nid)"
    )
    return int(status.rpartition(" ")[2])


async def apply(db: Connection, changes: Sequence[StateChange]) -> None:
    """Ends the intervals that the changes replace and begins the new ones, in two statements."""
    intervals = _intervals(changes)
    await db.execute(
        "UPDATE room_state s SET until_version = c.version"
        " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[])"
        " AS c (room_nid, type, state_key, version)"
        " WHERE s.room_nid = c.room_nid AND s.type = c.type AND s.state_key = c.state_key"
        " AND s.until_version IS NULL",
        *_columns(intervals.ended, 4),
    )
    await db.execute(
        "INSERT INTO room_state"
        " (room_nid, since_version, until_version, event_nid, type, state_key)"
        " SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[],"
        " $5::text[], $6::text[])",
        *_columns(intervals.begun, 6),
    )


async def set_memberships(db: Connection, changes: Iterable[MembershipChange]) -> None:
    """Writes current memberships; the last change of a user in a room wins. Who comes back to a
    room, or may, has not forgotten it (any more).
    """
    last = {(change.room_nid, change.user_nid): change for change in changes}
    gone = [key for key, change in last.items() if change.event_nid is None]
    kept = [change for change in last.values() if change.event_nid is not None]
    await db.execute(
        "WITH changed AS ("
        " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])"
        " AS c (room_nid, user_nid, event_nid, membership)"
        "), remembered AS ("
        " DELETE FROM forgotten_rooms f USING changed c"
        " WHERE f.user_nid = c.user_nid AND f.room_nid = c.room_nid"
        " AND c.membership IN ('join', 'invite', 'knock')"
        ")"
        " INSERT INTO memberships (room_nid, user_nid, event_nid, membership)"
        " SELECT room_nid, user_nid, event_nid, membership FROM changed"
        " ON CONFLICT (room_nid, user_nid) DO UPDATE"
        " SET membership = excluded.membership, event_nid = excluded.event_nid",
        [change.room_nid for change in kept],
        [change.user_nid for change in kept],
        [change.event_nid for change in kept],
        [change.membership for change in kept],
    )
    if gone:
        await db.executemany("DELETE FROM memberships WHERE room_nid = $1 AND user_nid = $2", gone)


@dataclass(frozen=True, slots=True)
class _Intervals:
    ended: list[tuple[int, str, str, int]]
    begun: list[tuple[int, int, int | None, int, str, str]]


def _intervals(changes: Sequence[StateChange]) -> _Intervals:
    ended: list[tuple[int, str, str, int]] = []
    begun: list[tuple[int, int, int | None, int, str, str]] = []
    last: dict[tuple[int, str, str], int | None] = {}
    for change in changes:
        key = change.room_nid, change.type, change.state_key
        before = last.get(key, -1)
        if before == -1:
            ended.append((*key, change.version))
        elif before is not None:
            row = begun[before]
            begun[before] = (row[0], row[1], change.version, *row[3:])
        last[key] = None
        if change.event_nid is not None:
            last[key] = len(begun)
            begun.append((change.room_nid, change.version, None, change.event_nid, *key[1:]))
    return _Intervals(ended, begun)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width


async def _fork_entries(db: Connection, fork_nid: int) -> Mapping[StateKey, tuple[int, EventID]]:
    rows = await db.fetch(
        "SELECT f.type, f.state_key, f.event_nid, e.event_id FROM state_fork_entries f"
        " LEFT JOIN events e USING (event_nid) WHERE f.fork_nid = $1",
        fork_nid,
    )
    return {(row["type"], row["state_key"]): (row["event_nid"], row["event_id"]) for row in rows}


def _apply_fork(
    state: dict[StateKey, tuple[int, EventID]], entries: Mapping[StateKey, tuple[int, EventID]]
) -> None:
    for key, entry in entries.items():
        if entry[0] is None:
            state.pop(key, None)
        else:
            state[key] = entry
