"""Table `room_aliases`: local names of rooms."""

from collections.abc import Collection

from homeserver.identifiers import RoomAlias
from homeserver.storage.database import Connection


async def insert(db: Connection, alias: RoomAlias, room_nid: int, created_by: int) -> bool:
    """False: the alias is taken."""
    status = await db.execute(
        "INSERT INTO room_aliases (alias, room_nid, created_by) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        alias,
        room_nid,
        created_by,
    )
    return status.endswith(" 1")


async def room_of(db: Connection, alias: RoomAlias) -> int | None:
    room_nid: int | None = await db.fetchval(
        "SELECT room_nid FROM room_aliases WHERE alias = $1", alias
    )
    return room_nid


async def creator_of(db: Connection, alias: RoomAlias) -> int | None:
    user_nid: int | None = await db.fetchval(
        "SELECT created_by FROM room_aliases WHERE alias = $1", alias
    )
    return user_nid


async def of_room(db: Connection, room_nid: int) -> list[RoomAlias]:
    rows = await db.fetch(
        "SELECT alias FROM room_aliases WHERE room_nid = $1 ORDER BY alias", room_nid
    )
    return [RoomAlias(row["alias"]) for row in rows]


async def of_room_among(
    db: Connection, room_nid: int, names: Collection[RoomAlias]
) -> frozenset[RoomAlias]:
    """Those of the aliases that lead to the room."""
    rows = await db.fetch(
        "SELECT alias FROM room_aliases WHERE alias = ANY($2::text[]) AND room_nid = $1",
        room_nid,
        list(names),
    )
    return frozenset(RoomAlias(row["alias"]) for row in rows)


async def delete(db: Connection, alias: RoomAlias) -> None:
    await db.execute("DELETE FROM room_aliases WHERE alias = $1", alias)


async def delete_of_room(db: Connection, room_nid: int) -> None:
    await db.execute("DELETE FROM room_aliases WHERE room_nid = $1", room_nid)


async def move(db: Connection, room_nid: int, to_room_nid: int) -> None:
    """All names of a room point to another from now on."""
    await db.execute(
        "UPDATE room_aliases SET room_nid = $2 WHERE room_nid = $1", room_nid, to_room_nid
    )
