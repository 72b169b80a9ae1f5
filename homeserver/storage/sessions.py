"""The sessions table: one row a log-in. What authenticates a session stands in it as a hash."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import UserID
from homeserver.storage import cross_signing_keys, device_lists, users
from homeserver.storage.database import Connection

Address = IPv4Address | IPv6Address

_MS_OF_A_DAY = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a log-in creates. Times are milliseconds since the epoch, hashes SHA-256; None for a
    session without a refresh token, which is kept alive by use.
    """

    uuid: UUID
    user_nid: int
    device_id: str
    display_name: str
    created_at: int
    address: Address | None
    user_agent: str
    refresh_family: bytes | None
    refresh_hash: bytes | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was opened. `replaced`: the UUID of the one that its device had before.
    `others`: how many sessions the user had.
    """

    session_nid: int
    replaced: UUID | None
    others: int


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
    previous_refresh_hash: bytes | None
    generation: int
    user_nid: int
    user_id: UserID
    user_uuid: UUID
    is_admin: bool
    is_guest: bool
    is_locked: bool
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """That a session was used, when, and from where."""

    session_nid: int
    at_ms: int
    address: Address | None


_OWNER = """
    SELECT s.session_nid, s.uuid AS session_uuid, s.device_id, s.expires_at, s.refresh_hash,
           s.previous_refresh_hash, s.generation, u.user_nid, u.user_id, u.uuid AS user_uuid,
           a.is_admin, a.is_guest, a.locked_at IS NOT NULL AS is_locked,
           a.suspended_at IS NOT NULL AS is_suspended
    FROM sessions s JOIN accounts a USING (user_nid) JOIN users u USING (user_nid)
    WHERE a.deactivated_at IS NULL AND s.expires_at > $2 AND
"""


# What is told of a session that ends. Its device keys go with it, and are still seen here.
_GONE = """
    uuid, user_nid, device_id,
    EXISTS (SELECT FROM device_keys k WHERE k.session_nid = sessions.session_nid) AS had_keys
"""


async def insert(db: Connection, session: NewSession) -> None:
    """Of a device that is not known."""
    await db.execute(
        """
        INSERT INTO sessions (uuid, user_nid, device_id, display_name, created_at, last_seen_at,
                              last_seen_ip, user_agent, refresh_family, refresh_hash, expires_at)
        VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10)
        ON CONFLICT DO NOTHING
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


# A device that logs in again keeps its row and its name, and its former tokens find nothing.
# `known` comes before the insert, which joins it, and so sees the row as it was.
_OPEN = """
    WITH holder AS (
        SELECT user_nid FROM accounts
        WHERE user_nid = $2 AND password_changed_at = $11 AND deactivated_at IS NULL
        FOR SHARE
    ), known AS (
        SELECT uuid FROM sessions WHERE user_nid = $2 AND device_id = $3 FOR UPDATE
    ), opened AS (
        INSERT INTO sessions (uuid, user_nid, device_id, display_name, created_at, last_seen_at,
                              last_seen_ip, user_agent, refresh_family, refresh_hash, expires_at)
        SELECT $1::uuid, holder.user_nid, $3::text, $4::text, $5::bigint, $5::bigint, $6::inet,
               $7::text, $8::bytea, $9::bytea, $10::bigint
        FROM holder LEFT JOIN known ON true
        ON CONFLICT (user_nid, device_id) DO UPDATE SET
            uuid = excluded.uuid, last_seen_at = excluded.last_seen_at,
            last_seen_ip = excluded.last_seen_ip, user_agent = excluded.user_agent,
            refresh_family = excluded.refresh_family, refresh_hash = excluded.refresh_hash,
            previous_refresh_hash = NULL, generation = 0, expires_at = excluded.expires_at
        RETURNING session_nid
    )
    SELECT session_nid, (SELECT uuid FROM known) AS replaced,
           (SELECT count(*) FROM sessions WHERE user_nid = $2) AS others
    FROM opened
"""


async def open_session(
    db: Connection, session: NewSession, *, password_changed_at: int
) -> Opened | None:
    """The session, on a device that is new or known.
    None: the account is deactivated, or its password was changed since that time.

    The account is held, so that the session cannot outlive a deactivation or a change of password
    that comes in between.
    """
    row = await db.fetchrow(
        _OPEN,
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
        password_changed_at,
    )
    if row is None:
        return None
    return Opened(session_nid=row["session_nid"], replaced=row["replaced"], others=row["others"])


async def owner(db: Connection, session_uuid: UUID, now_ms: int) -> SessionOwner | None:
    """None: there is no such session, it has ended, or its account is deactivated."""
    return _owner_of(await db.fetchrow(f"{_OWNER} s.uuid = $1", session_uuid, now_ms))


async def owner_by_refresh_family(
    db: Connection, family_hash: bytes, now_ms: int
) -> SessionOwner | None:
    """Locks the session, so that of two uses of one token the second finds it spent."""
    query = f"{_OWNER} s.refresh_family = $1 FOR UPDATE OF s"
    return _owner_of(await db.fetchrow(query, family_hash, now_ms))


async def renew(
    db: Connection, session_nid: int, *, previous: bytes, refresh_hash: bytes, expires_at: int
) -> int:
    """Replaces the refresh token; the previous one stays good until `confirm`.
    Returns the new generation.
    """
    generation: int = await db.fetchval(
        """
        UPDATE sessions
        SET previous_refresh_hash = $2, refresh_hash = $3, expires_at = $4,
            generation = generation + 1
        WHERE session_nid = $1 RETURNING generation
        """,
        session_nid,
        previous,
        refresh_hash,
        expires_at,
    )
    return generation


async def confirm(db: Connection, session_uuid: UUID, generation: int) -> None:
    """The tokens of that generation are in use: those before it are spent."""
    await db.execute(
        """
        UPDATE sessions SET previous_refresh_hash = NULL
        WHERE uuid = $1 AND generation = $2 AND previous_refresh_hash IS NOT NULL
        """,
        session_uuid,
        generation,
    )


async def by_device(db: Connection, user_nid: int, device_id: str) -> SessionRecord | None:
    row = await db.fetchrow(
        "SELECT * FROM sessions WHERE user_nid = $1 AND device_id = $2",
        user_nid,
        users.storable(device_id),
    )
    return None if row is None else _record_of(row)


async def rename(db: Connection, user_nid: int, device_id: str, display_name: str) -> int | None:
    """The session whose name changed; None: there is none, or it has that name."""
    session_nid: int | None = await db.fetchval(
        "UPDATE sessions SET display_name = $3 WHERE user_nid = $1 AND device_id = $2"
        " AND display_name <> $3 RETURNING session_nid",
        user_nid,
        users.storable(device_id),
        display_name,
    )
    return session_nid


async def delete_devices(db: Connection, user_nid: int, device_ids: Collection[str]) -> list[UUID]:
    """The sessions of those devices that there are; returns which they were."""
    rows = await db.fetch(
        "DELETE FROM sessions WHERE user_nid = $1 AND device_id = ANY($2::text[])"
        f" RETURNING {_GONE}",
        user_nid,
        [users.storable(device_id) for device_id in device_ids],
    )
    return await _ended(db, rows)


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
    rows = await db.fetch(
        f"DELETE FROM sessions WHERE user_nid = $1 AND uuid = $2 RETURNING {_GONE}",
        user_nid,
        session_uuid,
    )
    return bool(await _ended(db, rows))


async def delete_of_user(db: Connection, user_nid: int, *, keep: UUID | None = None) -> list[UUID]:
    """All sessions of the user, except one; returns which they were."""
    rows = await db.fetch(
        f"DELETE FROM sessions WHERE user_nid = $1 AND uuid IS DISTINCT FROM $2 RETURNING {_GONE}",
        user_nid,
        keep,
    )
    return await _ended(db, rows)


async def delete_beyond(db: Connection, user_nid: int, limit: int) -> list[UUID]:
    """The sessions not used for the longest, until `limit` are left; returns which they were."""
    rows = await db.fetch(
        f"""
        DELETE FROM sessions WHERE session_nid IN (
            SELECT session_nid FROM sessions WHERE user_nid = $1
            ORDER BY last_seen_at DESC, session_nid DESC OFFSET $2
        ) RETURNING {_GONE}
        """,
        user_nid,
        limit,
    )
    return await _ended(db, rows)


async def delete_expired(db: Connection, now_ms: int, limit: int) -> list[UUID]:
    """At most `limit` sessions that have ended; returns which they were."""
    rows = await db.fetch(
        f"""
        DELETE FROM sessions WHERE session_nid IN (
            SELECT session_nid FROM sessions WHERE expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING {_GONE}
        """,
        now_ms,
        limit,
    )
    return await _ended(db, rows)


async def delete_stale(db: Connection, before_ms: int, limit: int) -> list[UUID]:
    """At most `limit` sessions that were used last before that; returns which they were. Devices
    that wait for their owner (`dehydrated_devices`) are never used, and stay.
    """
    rows = await db.fetch(
        f"""
        DELETE FROM sessions WHERE session_nid IN (
            SELECT session_nid FROM sessions s WHERE last_seen_at < $1 AND NOT EXISTS (
                SELECT FROM dehydrated_devices d WHERE d.session_nid = s.session_nid)
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING {_GONE}
        """,
        before_ms,
        limit,
    )
    return await _ended(db, rows)


async def mark_seen(db: Connection, sightings: Collection[Seen], *, lifetime_ms: int) -> None:
    """In the order of the sessions, so that two processes cannot deadlock.

    lifetime_ms: how long a session without a refresh token lasts after it was last used. It is
    written once a day, because it stands in an index.
    """
    ordered: Sequence[Seen] = sorted(sightings, key=lambda seen: seen.session_nid)
    await db.execute(
        """
        UPDATE sessions s
        SET last_seen_at = seen.at, last_seen_ip = coalesce(seen.ip, last_seen_ip),
            expires_at = CASE WHEN refresh_hash IS NULL AND expires_at < seen.at + $4 - $5
                         THEN seen.at + $4 ELSE expires_at END
        FROM (
            SELECT session_nid, seen.* FROM sessions
            JOIN unnest($1::bigint[], $2::bigint[], $3::inet[]) AS seen (nid, at, ip)
            ON session_nid = nid ORDER BY session_nid FOR UPDATE OF sessions
        ) seen WHERE s.session_nid = seen.nid AND s.last_seen_at < seen.at
        """,
        [seen.session_nid for seen in ordered],
        [seen.at_ms for seen in ordered],
        [seen.address for seen in ordered],
        lifetime_ms,
        _MS_OF_A_DAY,
    )


async def _ended(db: Connection, rows: Sequence[Record]) -> list[UUID]:
    """Their keys and messages went with them; others must hear that their devices are gone."""
    devices = [row for row in rows if row["had_keys"]]
    if devices:
        user_nids = [row["user_nid"] for row in devices]
        device_ids = [row["device_id"] for row in devices]
        await cross_signing_keys.forget_devices(db, user_nids, device_ids)
        await device_lists.note(db, user_nids)
    return [row["uuid"] for row in rows]


def _owner_of(row: Record | None) -> SessionOwner | None:
    if row is None:
        return None
    return SessionOwner(
        session_nid=row["session_nid"],
        session_uuid=row["session_uuid"],
        device_id=row["device_id"],
        expires_at=row["expires_at"],
        refresh_hash=row["refresh_hash"],
        previous_refresh_hash=row["previous_refresh_hash"],
        generation=row["generation"],
        user_nid=row["user_nid"],
        user_id=UserID(row["user_id"]),
        user_uuid=row["user_uuid"],
        is_admin=row["is_admin"],
        is_guest=row["is_guest"],
        is_locked=row["is_locked"],
        is_suspended=row["is_suspended"],
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
