"""Table `room_state`, read for many rooms at once: entries as they are, and as they were."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asyncpg import Record

from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import StateKey
from homeserver.storage.database import Connection
from homeserver.storage.events import COLUMNS, stored_event

_ENTRIES = f"""
    SELECT {COLUMNS}, s.type AS state_type, s.since_version, s.until_version
    FROM room_state s JOIN events e ON e.event_nid = s.event_nid
    JOIN rooms r ON r.room_nid = e.room_nid
"""


@dataclass(frozen=True, slots=True)
class StateInterval:
    """An entry's value for the state versions from `since` to before `until`; None: still.

    position: of the event in its stream; None for one that came with a room's state.
    """

    room_nid: int
    since: int
    until: int | None
    event: Event
    position: int | None


async def current(
    db: Connection, room_nids: Collection[int], types: Sequence[str]
) -> dict[tuple[int, str], StoredEvent]:
    """Entries of these types with an empty state key, by room and type."""
    rows = await db.fetch(
        f"{_ENTRIES} WHERE s.room_nid = ANY($1::bigint[]) AND s.type = ANY($2::text[])"
        " AND s.state_key = '' AND s.until_version IS NULL",
        list(room_nids),
        list(types),
    )
    return {(row["room_nid"], row["state_type"]): stored_event(row) for row in rows}


async def intervals(
    db: Connection, room_nids: Collection[int], key: StateKey
) -> dict[int, list[StateInterval]]:
    """All values that an entry ever had, oldest first, by room; rooms without one are left out."""
    rows = await db.fetch(
        f"{_ENTRIES} WHERE s.room_nid = ANY($1::bigint[]) AND s.type = $2 AND s.state_key = $3"
        " ORDER BY s.room_nid, s.since_version",
        list(room_nids),
        *key,
    )
    found: dict[int, list[StateInterval]] = {}
    for row in rows:
        found.setdefault(row["room_nid"], []).append(_interval(row))
    return found


async def histories(
    db: Connection, room_nids: Collection[int], keys: Sequence[StateKey]
) -> dict[tuple[int, StateKey], list[StateInterval]]:
    """The same for several entries of each room."""
    rows = await db.fetch(
        f"SELECT {COLUMNS}, s.type AS state_type, s.state_key AS entry_key, s.since_version,"
        " s.until_version"
        " FROM unnest($1::bigint[]) AS o (room_nid)"
        " CROSS JOIN unnest($2::text[], $3::text[]) AS k (type, state_key)"
        " JOIN room_state s ON s.room_nid = o.room_nid AND s.type = k.type"
        " AND s.state_key = k.state_key"
        " JOIN events e ON e.event_nid = s.event_nid JOIN rooms r ON r.room_nid = e.room_nid"
        " ORDER BY s.since_version",
        list(room_nids),
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    found: dict[tuple[int, StateKey], list[StateInterval]] = {}
    for row in rows:
        key = row["state_type"], row["entry_key"]
        found.setdefault((row["room_nid"], key), []).append(_interval(row))
    return found


async def fork_entries(
    db: Connection, fork_nids: Collection[int], keys: Sequence[StateKey]
) -> dict[tuple[int, StateKey], Event | None]:
    """What forks have in the place of these entries; None: nothing. Others are as in the base."""
    rows = await db.fetch(
        f"SELECT f.fork_nid AS fork, f.type AS state_type, f.state_key AS entry_key, {COLUMNS}"
        " FROM unnest($2::text[], $3::text[]) AS k (type, state_key)"
        " JOIN state_fork_entries f ON f.fork_nid = ANY($1::bigint[])"
        " AND f.type = k.type AND f.state_key = k.state_key"
        " LEFT JOIN events e USING (event_nid) LEFT JOIN rooms r USING (room_nid)",
        list(fork_nids),
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {
        (row["fork"], (row["state_type"], row["entry_key"])): (
            None if row["raw"] is None else stored_event(row).event
        )
        for row in rows
    }


def _interval(row: Record) -> StateInterval:
    stored = stored_event(row)
    return StateInterval(
        room_nid=row["room_nid"],
        since=row["since_version"],
        until=row["until_version"],
        event=stored.event,
        position=stored.facts.position,
    )
