"""Tables `one_time_keys`, `claimed_one_time_keys` and `fallback_keys`.

A one-time key that is handed out is gone in the same statement, so nobody gets it again, whatever
fails afterwards. Claims that come at once step over the rows that others are taking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.storage.database import Connection
from homeserver.storage.users import storable

REMEMBERED = 1_000
"""Claimed keys of a device that are remembered."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """key: JSON. key_hash: its SHA-256."""

    algorithm: str
    key_id: str
    key: bytes
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key of this algorithm for a session with this device."""

    user_id: str
    device_id: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key that was handed out. number: of the wish, in the order of the question."""

    number: int
    session_nid: int
    algorithm: str
    key_id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Added:
    """counts: keys that the device has now, by algorithm. others: IDs under which it had given
    other keys.
    """

    counts: Mapping[str, int]
    others: Sequence[str]


@dataclass(frozen=True, slots=True)
class Stock:
    """What a device has to hand out. counts: one-time keys by algorithm.
    unused: algorithms of the fallback keys that nobody was given yet.
    """

    counts: Mapping[str, int]
    unused: Sequence[str]


async def add(db: Connection, session_nid: int, keys: Sequence[KeyRow]) -> Added:
    """Those that a device has neither given before nor seen handed out lately; and forgets what was
    handed out long ago. Whoever calls holds the device, and undoes this where there are others.
    """
    rows = await db.fetch(
        """
        WITH given AS (
            SELECT * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[])
                WITH ORDINALITY AS g (algorithm, key_id, key, key_hash, number)
        ), known AS MATERIALIZED (
            SELECT k.algorithm, k.key_id, k.key FROM one_time_keys k WHERE k.session_nid = $1
        ), claimed AS MATERIALIZED (
            SELECT algorithm, key_id, key_hash FROM claimed_one_time_keys
            WHERE session_nid = $1 AND key_hash = ANY($5::bytea[])
        ), fresh AS MATERIALIZED (
            SELECT g.* FROM given g
            WHERE (g.algorithm, g.key_id) NOT IN (SELECT algorithm, key_id FROM known)
                AND (g.algorithm, g.key_id, g.key_hash) NOT IN (
                    SELECT algorithm, key_id, key_hash FROM claimed)
        ), added AS (
            INSERT INTO one_time_keys (session_nid, algorithm, key_id, key)
            SELECT $1, algorithm, key_id, key FROM fresh ORDER BY number
        ), forgotten AS (
            DELETE FROM claimed_one_time_keys WHERE session_nid = $1 AND serial <= (
                SELECT serial FROM claimed_one_time_keys WHERE session_nid = $1
                ORDER BY serial DESC OFFSET $6 LIMIT 1)
        )
        SELECT algorithm, NULL AS key_id, count(*) AS number FROM (
            SELECT algorithm FROM known UNION ALL SELECT algorithm FROM fresh
        ) now GROUP BY algorithm
        UNION ALL
        SELECT g.algorithm, g.key_id, 0 FROM given g JOIN known k USING (algorithm, key_id)
        WHERE g.key <> k.key
        """,
        session_nid,
        [each.algorithm for each in keys],
        [each.key_id for each in keys],
        [each.key for each in keys],
        [each.key_hash for each in keys],
        REMEMBERED,
    )
    return Added(
        counts={row["algorithm"]: row["number"] for row in rows if row["key_id"] is None},
        others=[f"{row['algorithm']}:{row['key_id']}" for row in rows if row["key_id"] is not None],
    )


async def put_fallback(db: Connection, session_nid: int, keys: Sequence[KeyRow]) -> None:
    """One of each algorithm. The same one again stays used if it was."""
    await db.execute(
        """
        INSERT INTO fallback_keys (session_nid, algorithm, key_id, key, is_used)
        SELECT $1, *, false FROM unnest($2::text[], $3::text[], $4::bytea[])
        ON CONFLICT (session_nid, algorithm) DO UPDATE
        SET key_id = excluded.key_id, key = excluded.key, is_used = false
        WHERE (fallback_keys.key_id, fallback_keys.key) <> (excluded.key_id, excluded.key)
        """,
        session_nid,
        [each.algorithm for each in keys],
        [each.key_id for each in keys],
        [each.key for each in keys],
    )


async def delete_all(db: Connection, session_nid: int) -> None:
    """For a device that has another identity now."""
    await db.execute("DELETE FROM one_time_keys WHERE session_nid = $1", session_nid)
    await db.execute("DELETE FROM claimed_one_time_keys WHERE session_nid = $1", session_nid)
    await db.execute("DELETE FROM fallback_keys WHERE session_nid = $1", session_nid)


async def stock(db: Connection, session_nid: int) -> Stock:
    rows = await db.fetch(
        "SELECT algorithm, count(*) AS number FROM one_time_keys WHERE session_nid = $1"
        " GROUP BY algorithm UNION ALL"
        " SELECT algorithm, -1 FROM fallback_keys WHERE session_nid = $1 AND NOT is_used"
        " ORDER BY algorithm",
        session_nid,
    )
    return Stock(
        counts={row["algorithm"]: row["number"] for row in rows if row["number"] >= 0},
        unused=[row["algorithm"] for row in rows if row["number"] < 0],
    )


# Wishes are told apart by number, for the same device may be asked for two algorithms.
_WANTED = """
    SELECT w.number, s.session_nid, w.algorithm
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        AS w (user_id, device_id, algorithm, number)
    JOIN users u USING (user_id)
    JOIN sessions s ON s.user_nid = u.user_nid AND s.device_id = w.device_id
"""


async def claim(db: Connection, wanted: Sequence[Wanted]) -> list[Claimed]:
    """The oldest key of each wish for which there is one; nobody gets it again. Of several wishes
    for one device each gets another key.
    """
    rows = await db.fetch(
        f"""
        WITH wanted AS (
            SELECT *, row_number() OVER (PARTITION BY session_nid, algorithm ORDER BY number)
                AS place
            FROM ({_WANTED}) w
        ), asked AS (
            SELECT session_nid, algorithm, count(*) AS number FROM wanted
            GROUP BY session_nid, algorithm
        ), picked AS (
            SELECT k.*,
                row_number() OVER (PARTITION BY k.session_nid, k.algorithm ORDER BY k.serial)
                AS place
            FROM asked a CROSS JOIN LATERAL (
                SELECT session_nid, algorithm, serial FROM one_time_keys
                WHERE session_nid = a.session_nid AND algorithm = a.algorithm
                ORDER BY serial LIMIT a.number FOR UPDATE SKIP LOCKED
            ) k
        ), taken AS (
            DELETE FROM one_time_keys k USING picked p
            WHERE (k.session_nid, k.algorithm, k.serial) = (p.session_nid, p.algorithm, p.serial)
            RETURNING p.place, k.session_nid, k.serial, k.algorithm, k.key_id, k.key
        ), noted AS (
            INSERT INTO claimed_one_time_keys (session_nid, serial, algorithm, key_id, key_hash)
            SELECT session_nid, serial, algorithm, key_id, sha256(key) FROM taken
        )
        SELECT w.number, t.session_nid, t.algorithm, t.key_id, t.key
        FROM taken t JOIN wanted w USING (session_nid, algorithm, place)
        """,
        *_columns(wanted),
    )
    return [Claimed(*row) for row in rows]


async def claim_fallback(db: Connection, wanted: Sequence[Wanted]) -> list[Claimed]:
    """The fallback key of each wish for which there is one; it counts as used then."""
    rows = await db.fetch(
        f"""
        WITH wanted AS ({_WANTED}), held AS (
            SELECT f.session_nid, f.algorithm FROM fallback_keys f
            WHERE (f.session_nid, f.algorithm) IN (SELECT session_nid, algorithm FROM wanted)
                AND NOT f.is_used
            ORDER BY f.session_nid, f.algorithm FOR NO KEY UPDATE
        ), used AS (
            UPDATE fallback_keys f SET is_used = true FROM held
            WHERE (f.session_nid, f.algorithm) = (held.session_nid, held.algorithm)
        )
        SELECT w.number, f.session_nid, f.algorithm, f.key_id, f.key
        FROM wanted w JOIN fallback_keys f USING (session_nid, algorithm)
        """,
        *_columns(wanted),
    )
    return [Claimed(*row) for row in rows]


def _columns(wanted: Sequence[Wanted]) -> tuple[list[str], ...]:
    return (
        [storable(each.user_id) for each in wanted],
        [storable(each.device_id) for each in wanted],
        [storable(each.algorithm) for each in wanted],
    )
