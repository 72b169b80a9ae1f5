"""Table `media_references`: which events name which media."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Naming:
    """An event of the stream. raw: its JSON, if there is an mxc:// URI in it."""

    event_nid: int
    room_nid: int
    position: int
    is_redaction: bool
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Reference:
    """An event that names a medium."""

    media_uuid: UUID
    event_nid: int
    room_nid: int


async def stretch(db: Connection, after: int, limit: int) -> list[Naming]:
    """The next events of the stream after a position, in order."""
    rows = await db.fetch(
        "SELECT event_nid, room_nid, position, type = 'm.room.redaction' AS is_redaction,"
        " CASE WHEN position('mxc://'::bytea IN raw) > 0 THEN raw END AS raw"
        " FROM events WHERE position > $1 ORDER BY position LIMIT $2",
        after,
        limit,
    )
    return [
        Naming(row["event_nid"], row["room_nid"], row["position"], row["is_redaction"], row["raw"])
        for row in rows
    ]


async def put(
    db: Connection, event_nids: Collection[int], references: Sequence[Reference], now_ms: int
) -> None:
    """Sets what some events name to these references, whatever it was before."""
    named = [(each.media_uuid, each.event_nid, each.room_nid) for each in references]
    uuids, nids, rooms = zip(*named, strict=True) if named else ((), (), ())
    lost = await db.fetch(
        "DELETE FROM media_references r WHERE event_nid = ANY($1::bigint[]) AND NOT EXISTS ("
        " SELECT FROM unnest($2::uuid[], $3::bigint[]) AS n (media_uuid, event_nid)"
        " WHERE n.media_uuid = r.media_uuid AND n.event_nid = r.event_nid) RETURNING media_uuid",
        list(event_nids),
        list(uuids),
        list(nids),
    )
    await db.execute(
        "INSERT INTO media_references (media_uuid, event_nid, room_nid)"
        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING",
        list(uuids),
        list(nids),
        list(rooms),
    )
    await db.execute(
        "UPDATE media SET was_referenced = true, unreferenced_since = NULL"
        " WHERE uuid = ANY($1::uuid[])"
        " AND (NOT was_referenced OR unreferenced_since IS NOT NULL)",
        list(uuids),
    )
    await _mark_unreferenced(db, [row["media_uuid"] for row in lost], now_ms)


async def forget(db: Connection, event_nids: Sequence[int]) -> None:
    """The events are purged; the time in which what they named could come back is over."""
    lost = await db.fetch(
        "DELETE FROM media_references WHERE event_nid = ANY($1::bigint[]) RETURNING media_uuid",
        list(event_nids),
    )
    if lost:
        await _mark_unreferenced(db, [row["media_uuid"] for row in lost], 0)


async def may_see(db: Connection, user_nid: int, media_uuids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of some media that events name in rooms that a user is in."""
    rows = await db.fetch(
        "SELECT DISTINCT r.media_uuid FROM media_references r JOIN memberships m"
        " ON m.room_nid = r.room_nid AND m.user_nid = $1 AND m.membership = 'join'"
        " WHERE r.media_uuid = ANY($2::uuid[])",
        user_nid,
        list(media_uuids),
    )
    return frozenset(row["media_uuid"] for row in rows)


async def _mark_unreferenced(db: Connection, media_uuids: Sequence[UUID], now_ms: int) -> None:
    await db.execute(
        "UPDATE media m SET unreferenced_since = $2 WHERE uuid = ANY($1::uuid[])"
        " AND unreferenced_since IS NULL"
        " AND NOT EXISTS (SELECT FROM media_references r WHERE r.media_uuid = m.uuid)",
        list(media_uuids),
        now_ms,
    )
