"""Table `reports`: what people find should not be here, for administrators."""

from dataclasses import dataclass

from homeserver.storage.database import Connection

MAX_OF_ONE_USER = 500
"""Of one person's reports the newest are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Of a room, an event of a room, or a user. at_ms: since the epoch."""

    reported_by: int
    room_nid: int | None = None
    event_nid: int | None = None
    user_nid: int | None = None
    reason: str
    score: int | None = None
    at_ms: int


async def insert(db: Connection, report: Report) -> None:
    await db.execute(
        "INSERT INTO reports"
        " (reported_by, room_nid, event_nid, user_nid, reason, score, reported_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        report.reported_by,
        report.room_nid,
        report.event_nid,
        report.user_nid,
        report.reason,
        report.score,
        report.at_ms,
    )
    await db.execute(
        "DELETE FROM reports WHERE reported_by = $1 AND report_nid <= ("
        " SELECT report_nid FROM reports WHERE reported_by = $1"
        " ORDER BY report_nid DESC OFFSET $2 LIMIT 1)",
        report.reported_by,
        MAX_OF_ONE_USER,
    )
