"""The sessions table: one row a log-in. What authenticates a session stands in it as a hash."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import UserID
from homeserver.storage.database import Connection

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a log-in creates. Times are milliseconds since the epoch, hashes SHA-256."""

    uuid: UUID
    user_nid: int
    device_id: str
    display_name: str
    created_at: int
    address: Address | None
    user_agent: str
    refresh_family: bytes
    refresh_hash: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as its owner sees it."""

    session_nid: int
    uuid: UUID
    user_nid: int
    device_id: str
    display_name: str
    created_at: int
    last_seen_at: int
    last_seen_ip: str | None
    user_agent: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """A session with what an authenticated request needs to know of its account."""

    session_nid: int
    session_uuid: UUID
    device_id: str
    expires_at: int
    refresh_hash: bytes | None
    user_nid: int
    user_id: UserID
    user_uuid: UUID
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """That a session was used, when, and from where."""

    session_nid: int
    at_ms: int
    address: Address | None


_OWNER = """
    SELECT s.session_nid, s.uuid AS session_uuid, s.device_id, s.expires_at, s.refresh_hash,
           u.user_nid, u.user_id, u.uuid AS user_uuid, a.is_admin
    FROM sessions s JOIN accounts a USING (user_nid) JOIN users u USING (user_nid)
    WHERE a.deactivated_at IS NULL AND s.expires_at > $2 AND
"""


async def insert(db: Connection, session: NewSession) -> int:
    """Its session_nid."""
    nid: int = await db.fetchval(
        """
        INSERT INTO sessions (uuid, user_nid, device_id, display_name, created_at, last_seen_at,
                              last_seen_ip, user_agent, refresh_family, refresh_hash, expires_at)
        VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10)
        RETURNING session_nid
        """,
        session.uuid,
        session.user_nid,
        session.device_id,
        session.display_name,
        session.created_at,
        session.address,
        session.user_agent,
        session.refresh_family,
        session.refresh_hash,
        session.expires_at,
    )
    return nid


async def owner(db: Connection, session_uuid: UUID, now_ms: int) -> SessionOwner | None:
    """None: there is no such session, it has ended, or its account is deactivated."""
    return _owner_of(await db.fetchrow(f"{_OWNER} s.uuid = $1", session_uuid, now_ms))


async def owner_by_refresh_family(
    db: Connection, family_hash: bytes, now_ms: int
) -> SessionOwner | None:
    """Locks the session, so that of two uses of one token the second finds it spent."""
    query = f"{_OWNER} s.refresh_family = $1 FOR UPDATE OF s"
    return _owner_of(await db.fetchrow(query, family_hash, now_ms))


async def renew(db: Connection, session_nid: int, *, refresh_hash: bytes, expires_at: int) -> None:
    await db.execute(
        "UPDATE sessions SET refresh_hash = $2, expires_at = $3 WHERE session_nid = $1",
        session_nid,
        refresh_hash,
        expires_at,
    )


async def of_user(db: Connection, user_nid: int, now_ms: int) -> list[SessionRecord]:
    """Those that have not ended, the one used last first."""
    rows = await db.fetch(
        """
        SELECT * FROM sessions WHERE user_nid = $1 AND expires_at > $2
        ORDER BY last_seen_at DESC, session_nid DESC
        """,
        user_nid,
        now_ms,
    )
    return [_record_of(row) for row in rows]


async def delete(db: Connection, user_nid: int, session_uuid: UUID) -> bool:
    """Whether there was such a session of that user."""
    status = await db.execute(
        "DELETE FROM sessions WHERE user_nid = $1 AND uuid = $2", user_nid, session_uuid
    )
    return status != "DELETE 0"


async def delete_of_user(db: Connection, user_nid: int, *, keep: UUID | None = None) -> list[UUID]:
    """All sessions of the user, except one; returns which they were."""
    rows = await db.fetch(
        """
        DELETE FROM sessions WHERE user_nid = $1 AND uuid IS DISTINCT FROM $2 RETURNING uuid
        """,
        user_nid,
        keep,
    )
    return [row["uuid"] for row in rows]


async def delete_beyond(db: Connection, user_nid: int, limit: int) -> list[UUID]:
    """The sessions not used for the longest, until `limit` are left; returns which they were."""
    rows = await db.fetch(
        """
        DELETE FROM sessions WHERE session_nid IN (
            SELECT session_nid FROM sessions WHERE user_nid = $1
            ORDER BY last_seen_at DESC, session_nid DESC OFFSET $2
        ) RETURNING uuid
        """,
        user_nid,
        limit,
    )
    return [row["uuid"] for row in rows]


async def delete_expired(db: Connection, now_ms: int, limit: int) -> list[UUID]:
    """At most `limit` sessions that have ended; returns which they were."""
    rows = await db.fetch(
        """
        DELETE FROM sessions WHERE session_nid IN (
            SELECT session_nid FROM sessions WHERE expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING uuid
        """,
        now_ms,
        limit,
    )
    return [row["uuid"] for row in rows]


async def mark_seen(db: Connection, sightings: Collection[Seen]) -> None:
    """In the order of the sessions, so that two processes cannot deadlock."""
    ordered: Sequence[Seen] = sorted(sightings, key=lambda seen: seen.session_nid)
    await db.execute(
        """
        UPDATE sessions s SET last_seen_at = seen.at, last_seen_ip = coalesce(seen.ip, last_seen_ip)
        FROM (
            SELECT session_nid, seen.* FROM sessions
            JOIN unnest($1::bigint[], $2::bigint[], $3::inet[]) AS seen (nid, at, ip)
            ON session_nid = nid ORDER BY session_nid FOR UPDATE OF sessions
        ) seen WHERE s.session_nid = seen.nid AND s.last_seen_at < seen.at
        """,
        [seen.session_nid for seen in ordered],
        [seen.at_ms for seen in ordered],
        [seen.address for seen in ordered],
    )


def _owner_of(row: Record | None) -> SessionOwner | None:
    if row is None:
        return None
    return SessionOwner(
        session_nid=row["session_nid"],
        session_uuid=row["session_uuid"],
        device_id=row["device_id"],
        expires_at=row["expires_at"],
        refresh_hash=row["refresh_hash"],
        user_nid=row["user_nid"],
        user_id=UserID(row["user_id"]),
        user_uuid=row["user_uuid"],
        is_admin=row["is_admin"],
    )


def _record_of(row: Record) -> SessionRecord:
    return SessionRecord(
        session_nid=row["session_nid"],
        uuid=row["uuid"],
        user_nid=row["user_nid"],
        device_id=row["device_id"],
        display_name=row["display_name"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        last_seen_ip=_ip_text(row["last_seen_ip"]),
        user_agent=row["user_agent"],
        expires_at=row["expires_at"],
    )


def _ip_text(address: Address | IPv4Interface | IPv6Interface | None) -> str | None:
    return None if address is None else str(address)
