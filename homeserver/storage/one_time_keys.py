"""Tables `one_time_key_batches` and `fallback_keys`.

What a device uploads of one algorithm is a row, a batch, and its keys are handed out from the first
on: `taken` is counted up in the statement that reads them, so nobody gets a key again, whatever
fails afterwards. Claims that come at once wait for each other, and lock batches in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from asyncpg import ForeignKeyViolationError, UniqueViolationError

from homeserver.storage.database import Connection
from homeserver.storage.users import storable

REMEMBERED = 1_000
"""Claimed keys of a device that are remembered at least."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """key: JSON."""

    algorithm: str
    key_id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Keys of one algorithm, by ID, in the order in which they are handed out. keys: JSON."""

    algorithm: str
    keys: Mapping[str, str]


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
class Stock:
    """What a device has to hand out. counts: one-time keys by algorithm.
    unused: algorithms of the fallback keys that nobody was given yet.
    """

    counts: Mapping[str, int]
    unused: Sequence[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a device stands. identity: its keys, canonical JSON; None: it has none. serial: of its
    newest batch. counts: keys that it has to hand out, by algorithm. given: how many are remembered
    that were handed out. key_ids: of both, one a line, by algorithm.
    """

    identity: bytes | None
    serial: int
    counts: Mapping[str, int]
    given: int
    key_ids: Mapping[str, str]

    def knows(self, batches: Sequence[Batch]) -> bool:
        """Whether the device has used some of the IDs."""
        return not all(
            each.keys.keys().isdisjoint(self.key_ids.get(each.algorithm, "").split("\n"))
            for each in batches
        )


async def standing(db: Connection, session_nid: int) -> Standing | None:
    """None: the device is gone."""
    rows = await db.fetch(
        """
        SELECT k.keys AS identity, b.algorithm, max(b.serial) AS serial,
            sum(b.size - b.taken)::int AS waiting, sum(b.taken)::int AS given,
            string_agg(b.key_ids, chr(10)) AS key_ids
        FROM sessions s LEFT JOIN device_keys k USING (session_nid)
            LEFT JOIN one_time_key_batches b USING (session_nid)
        WHERE s.session_nid = $1
        GROUP BY s.session_nid, k.session_nid, b.algorithm
        """,
        session_nid,
    )
    if not rows:
        return None
    of = [row for row in rows if row["algorithm"] is not None]
    return Standing(
        identity=rows[0]["identity"],
        serial=max((row["serial"] for row in of), default=0),
        counts={row["algorithm"]: row["waiting"] for row in of if row["waiting"]},
        given=sum(row["given"] for row in of),
        key_ids={row["algorithm"]: row["key_ids"] for row in of},
    )


async def add(
    db: Connection,
    session_nid: int,
    batches: Sequence[Batch],
    *,
    standing: Standing,
    is_held: bool,
) -> bool:
    """is_held: whether whoever calls holds the device.

    False: it does not stand as it stood, so nothing was added. Of two who add at once, one is told
    so, and so is who comes while the device gets another identity.
    """
    try:
        status = await db.execute(
            """
            INSERT INTO one_time_key_batches
                (session_nid, serial, algorithm, size, key_ids, keys)
            SELECT $1, * FROM
                unnest($2::int[], $3::text[], $4::int[], $5::text[], $6::text[])
            WHERE $8 OR EXISTS (
                SELECT FROM sessions s JOIN device_keys k USING (session_nid)
                WHERE s.session_nid = $1 AND k.keys = $7
                FOR SHARE OF s FOR SHARE OF k
            )
            """,
            session_nid,
            [standing.serial + number for number in range(1, len(batches) + 1)],
            [each.algorithm for each in batches],
            [len(each.keys) for each in batches],
            ["\n".join(each.keys) for each in batches],
            ["\n".join(each.keys.values()) for each in batches],
            standing.identity,
            is_held,
        )
    except (UniqueViolationError, ForeignKeyViolationError):
        return False
    return status != "INSERT 0 0"


async def forget(db: Connection, session_nid: int) -> None:
    """What a device handed out long ago. The newest batch stays: the next one counts from it."""
    await db.execute(
        """
        DELETE FROM one_time_key_batches b USING (
            SELECT serial, sum(taken) OVER (ORDER BY serial DESC) - taken AS later,
                max(serial) OVER () AS newest
            FROM one_time_key_batches WHERE session_nid = $1
        ) m
        WHERE b.session_nid = $1 AND b.serial = m.serial AND b.is_spent
            AND m.later >= $2 AND b.serial < m.newest
        """,
        session_nid,
        REMEMBERED,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """IDs that a device used, with their algorithms. left: hashes of keys that wait to be handed
    out; given: the same of those that were.
    """

    left: Mapping[tuple[str, str], bytes]
    given: Mapping[tuple[str, str], frozenset[bytes]]

    def fresh(self, batch: Batch) -> Batch:
        """What is not known."""
        keys = {
            key_id: key
            for key_id, key in batch.keys.items()
            if (batch.algorithm, key_id) not in self.left
            and sha256(key.encode()).digest() not in self.given.get((batch.algorithm, key_id), ())
        }
        return Batch(batch.algorithm, keys)

    def others(self, batch: Batch) -> list[str]:
        """Where another key waits under the same ID."""
        return [
            f"{batch.algorithm}:{key_id}"
            for key_id, key in batch.keys.items()
            if (batch.algorithm, key_id) in self.left
            and self.left[batch.algorithm, key_id] != sha256(key.encode()).digest()
        ]


async def known(db: Connection, session_nid: int, batches: Sequence[Batch]) -> Known:
    rows = await db.fetch(
        """
        SELECT b.algorithm, k.key_id, k.number > b.taken AS is_left,
            CASE WHEN b.is_spent THEN decode(k.key, 'hex')
                ELSE sha256(convert_to(k.key, 'UTF8')) END AS key_hash
        FROM one_time_key_batches b
            CROSS JOIN unnest(
                string_to_array(b.key_ids, chr(10)), string_to_array(b.keys, chr(10))
            ) WITH ORDINALITY AS k (key_id, key, number)
            JOIN unnest($2::text[]) AS g (key_id) USING (key_id)
        WHERE b.session_nid = $1
        """,
        session_nid,
        sorted({key_id for each in batches for key_id in each.keys}),
    )
    left: dict[tuple[str, str], bytes] = {}
    given: dict[tuple[str, str], frozenset[bytes]] = {}
    for row in rows:
        name = (row["algorithm"], row["key_id"])
        if row["is_left"]:
            left[name] = row["key_hash"]
        else:
            given[name] = given.get(name, frozenset()) | {row["key_hash"]}
    return Known(left, given)


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
    await db.execute("DELETE FROM one_time_key_batches WHERE session_nid = $1", session_nid)
    await db.execute("DELETE FROM fallback_keys WHERE session_nid = $1", session_nid)


async def stock(db: Connection, session_nid: int) -> Stock:
    rows = await db.fetch(
        "SELECT algorithm, sum(size - taken)::int AS number FROM one_time_key_batches"
        " WHERE session_nid = $1 AND NOT is_spent GROUP BY algorithm UNION ALL"
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
    for one device each gets another key. Of a batch of which nothing is left hashes stay.
    """
    rows = await db.fetch(
        f"""
        WITH wanted AS MATERIALIZED (
            SELECT *, row_number() OVER (PARTITION BY session_nid, algorithm ORDER BY number)
                AS turn
            FROM ({_WANTED}) w
        ), asked AS (
            SELECT session_nid, algorithm, count(*)::int AS number FROM wanted
            GROUP BY session_nid, algorithm ORDER BY session_nid, algorithm
        ), held AS MATERIALIZED (
            SELECT b.*, a.number AS asked, (
                sum(b.size - b.taken) OVER (
                    PARTITION BY b.session_nid, b.algorithm ORDER BY b.serial
                ) - (b.size - b.taken)
            )::int AS before
            FROM asked a CROSS JOIN LATERAL (
                SELECT session_nid, algorithm, serial, size, taken, key_ids, keys
                FROM one_time_key_batches
                WHERE session_nid = a.session_nid AND algorithm = a.algorithm AND NOT is_spent
                ORDER BY serial LIMIT a.number FOR NO KEY UPDATE
            ) b
        ), given AS (
            SELECT *, least(asked - before, size - taken) AS number FROM held WHERE before < asked
        ), counted AS (
            UPDATE one_time_key_batches b
            SET taken = g.taken + g.number,
                keys = CASE WHEN g.taken + g.number < g.size THEN b.keys ELSE (
                    SELECT string_agg(encode(sha256(convert_to(key, 'UTF8')), 'hex'), chr(10)
                        ORDER BY number)
                    FROM unnest(string_to_array(b.keys, chr(10))) WITH ORDINALITY AS k (key, number)
                ) END
            FROM given g
            WHERE (b.session_nid, b.serial) = (g.session_nid, g.serial)
        )
        SELECT w.number, g.session_nid, g.algorithm,
            split_part(g.key_ids, chr(10), g.taken + n),
            convert_to(split_part(g.keys, chr(10), g.taken + n), 'UTF8')
        FROM given g CROSS JOIN generate_series(1, g.number) n
            JOIN wanted w ON (w.session_nid, w.algorithm, w.turn)
                = (g.session_nid, g.algorithm, g.before + n)
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
