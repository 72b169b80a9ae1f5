"""The published rooms, and those that application services list (`rooms`, `appservice_rooms`)."""

from collections.abc import Collection
from dataclasses import dataclass

from homeserver.identifiers import RoomID
from homeserver.storage.database import Connection

MAX_LISTED = 10_000
"""Rooms of the directory that can be found; beyond, those with the fewest members are left out."""


@dataclass(frozen=True, slots=True)
class Network:
    """A list that an application service keeps for a network that it bridges to."""

    appservice: str
    network_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A room of the directory."""

    room_nid: int
    room_id: RoomID
    members: int


async def published(db: Connection, *, with_networks: bool) -> list[Listed]:
    """Rooms of the server's own list, the biggest first. with_networks: and those of all others."""
    return await _listed(
        db,
        "r.published OR ($1 AND EXISTS"
        " (SELECT FROM appservice_rooms a WHERE a.room_nid = r.room_nid))"
        if with_networks
        else "r.published AND NOT $1",
        with_networks,
    )


async def of_network(db: Connection, network: Network) -> list[Listed]:
    """Rooms of the list of an application service, the biggest first."""
    return await _listed(
        db,
        "r.room_nid IN (SELECT a.room_nid FROM appservice_rooms a"
        " WHERE a.appservice = $1 AND a.network_id = $2)",
        network.appservice,
        network.network_id,
    )


async def _listed(db: Connection, condition: str, *arguments: object) -> list[Listed]:
    rows = await db.fetch(
        f"""
        SELECT r.room_nid, r.room_id, counted.members
        FROM rooms r CROSS JOIN LATERAL (
            SELECT count(*) AS members FROM memberships m
            WHERE m.room_nid = r.room_nid AND m.membership = 'join'
        ) counted
        WHERE ({condition}) AND r.deleted_at IS NULL
        ORDER BY counted.members DESC, r.room_nid LIMIT {MAX_LISTED}
        """,
        *arguments,
    )
    return [Listed(row["room_nid"], RoomID(row["room_id"]), row["members"]) for row in rows]


async def versions_of_looks(
    db: Connection, room_nids: Collection[int], types: Collection[str]
) -> dict[int, tuple[int, ...]]:
    """Numbers that change when an entry of these types with an empty state key does, by room."""
    rows = await db.fetch(
        """
        SELECT s.room_nid, array_agg(s.event_nid ORDER BY s.event_nid)
            || array_agg(e.redacted_by) FILTER (WHERE e.redacted_by IS NOT NULL) AS numbers
        FROM room_state s JOIN events e USING (event_nid)
        WHERE s.room_nid = ANY($1::bigint[]) AND s.type = ANY($2::text[]) AND s.state_key = ''
            AND s.until_version IS NULL
        GROUP BY s.room_nid
        """,
        list(room_nids),
        list(types),
    )
    return {row["room_nid"]: tuple(row["numbers"]) for row in rows}


async def list_room(db: Connection, network: Network, room_nid: int) -> None:
    await db.execute(
        "INSERT INTO appservice_rooms (appservice, network_id, room_nid) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        network.appservice,
        network.network_id,
        room_nid,
    )


async def delist_room(db: Connection, network: Network, room_nid: int) -> None:
    await db.execute(
        "DELETE FROM appservice_rooms WHERE appservice = $1 AND network_id = $2 AND room_nid = $3",
        network.appservice,
        network.network_id,
        room_nid,
    )
