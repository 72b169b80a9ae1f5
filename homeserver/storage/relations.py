"""Table `relations`: edits, reactions, thread messages, redactions that wait for their target."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.storage.database import Connection

REDACTION = "redaction"
"""Local relation type of an `m.room.redaction` whose target was not here when it came."""


WITHDRAWN = "-"
"""Stands before the relation type of an event that was redacted: it relates to nothing any more,
but what it had related to is still to be known."""


@dataclass(frozen=True, slots=True)
class RelationRow:
    """An event and the one that it relates to, which may be unknown here."""

    event_nid: int
    room_nid: int
    sender_nid: int
    parent_uuid: UUID
    rel_type: str
    key: str | None


async def insert(db: Connection, rows: Sequence[RelationRow]) -> None:
    """Writes relations; a second reaction by the same user with the same key is left out."""
    await db.execute(
        "INSERT INTO relations (event_nid, room_nid, sender_nid, parent_uuid, rel_type, key)"
        " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[],"
        " $6::text[]) ON CONFLICT DO NOTHING",
        [row.event_nid for row in rows],
        [row.room_nid for row in rows],
        [row.sender_nid for row in rows],
        [row.parent_uuid for row in rows],
        [row.rel_type for row in rows],
        [row.key for row in rows],
    )


async def withdraw(db: Connection, event_nids: Sequence[int]) -> None:
    """Ends the relations of events that were redacted: a redacted edit edits nothing."""
    await db.execute(
        "UPDATE relations SET rel_type = $2 || rel_type"
        " WHERE event_nid = ANY($1) AND NOT starts_with(rel_type, $2)",
        list(event_nids),
        WITHDRAWN,
    )


async def reaction_nid(db: Connection, parent_uuid: UUID, sender_nid: int, key: str) -> int | None:
    """The event by which a user reacted to a message with a key."""
    nid: int | None = await db.fetchval(
        "SELECT event_nid FROM relations WHERE parent_uuid = $1 AND sender_nid = $2 AND key = $3"
        " AND rel_type = 'm.annotation'",
        parent_uuid,
        sender_nid,
        key,
    )
    return nid


async def is_annotated(
    db: Connection, parent_uuid: UUID, sender_nid: int, event_type: str, key: str
) -> bool:
    """Whether a user has annotated an event by an event of that type with a key."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM relations r JOIN events e USING (event_nid)"
        " WHERE r.parent_uuid = $1 AND r.sender_nid = $2 AND r.key = $3"
        " AND r.rel_type = 'm.annotation' AND e.type = $4)",
        parent_uuid,
        sender_nid,
        key,
        event_type,
    )
    return found


async def waiting_redaction_nids(db: Connection, parent_uuid: UUID) -> list[int]:
    """Redactions that came before the event that they redact."""
    rows = await db.fetch(
        "SELECT event_nid FROM relations WHERE parent_uuid = $1 AND rel_type = $2",
        parent_uuid,
        REDACTION,
    )
    return [row["event_nid"] for row in rows]
