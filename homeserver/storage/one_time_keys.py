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
    """Keys of one algorithm, by ID, in the order in which they are handed out. keys: a line each,
    as `e2e.compact_keys` writes them.
    """

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
    """A key that was handed out. number: of the wish, in the order of the question. key: a line, or
    the JSON of a fallback key.
    """

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
    newest batch. key_ids: of its keys and of those that are remembered, one a line, by algorithm.
    """

    identity: bytes | None
    serial: int
    key_ids: Mapping[str, str]

    def knows(self, batch: Batch) -> bool:
        """Whether the device has used some of the IDs."""
        known = self.key_ids.get(batch.algorithm, "").split("\n")
        return not batch.keys.keys().isdisjoint(known)

    def after(self, batch: Batch) -> "Standing":
        """When this was added."""
        former = self.key_ids.get(batch.algorithm)
        new = "\n".join(batch.keys)
        both = new if former is None else f"{former}\n{new}"
        return Standing(self.identity, self.serial + 1, {**self.key_ids, batch.algorithm: both})


async def standing(db: Connection, session_nid: int) -> Standing | None:
    """None: the device is gone."""
    rows = await db.fetch(
        """
        SELECT k.keys AS identity, b.algorithm, max(b.serial) AS serial,
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
        key_ids={row["algorithm"]: row["key_ids"] for row in of},
    )


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a device has. counts: keys to hand out, by algorithm. given: how many are remembered
    that were handed out.
    """

    counts: Mapping[str, int]
    given: int


async def add(
    db: Connection,
    session_nid: int,
    batch: Batch,
    *,
    standing: Standing,
    most: int,
    is_held: bool,
) -> Holdings | None:
    """most: keys that the device may have then. is_held: whether whoever calls holds the device.
    Returns what it has then.

    None: those would be too many, or it does not stand as it stood, so nothing was added. Of two
    who add at once, one is told so, and so is who comes while the device gets another identity.
    """
    try:
        rows = await db.fetch(
            """
            WITH stands AS MATERIALIZED (
                SELECT algorithm, max(serial) AS serial, sum(size - taken) AS waiting,
                    sum(taken) AS given
                FROM one_time_key_batches WHERE session_nid = $1 GROUP BY algorithm
            ), added AS (
                INSERT INTO one_time_key_batches
                    (session_nid, serial, algorithm, size, key_ids, keys)
                SELECT $1, $2::int + 1, $3, $4::int, $5, $6
                WHERE $2 = (SELECT coalesce(max(serial), 0) FROM stands)
                    AND $7::int >= $4 + (SELECT coalesce(sum(waiting), 0) FROM stands)
                    AND ($9 OR EXISTS (
                        SELECT FROM sessions s JOIN device_keys k USING (session_nid)
                        WHERE s.session_nid = $1 AND k.keys = $8
                        FOR SHARE OF s FOR SHARE OF k
                    ))
                RETURNING algorithm, size
            )
            SELECT algorithm, sum(waiting)::int AS waiting, sum(given)::int AS given,
                bool_or(is_new) AS is_new
            FROM (
                SELECT algorithm, waiting, given, false AS is_new FROM stands UNION ALL
                SELECT algorithm, size, 0, true FROM added
            ) s
            GROUP BY algorithm
            """,
            session_nid,
            standing.serial,
            batch.algorithm,
            len(batch.keys),
            "\n".join(batch.keys),
            "\n".join(batch.keys.values()),
            most,
            standing.identity,
            is_held,
        )
    except (UniqueViolationError, ForeignKeyViolationError):
        return None
    if not any(row["is_new"] for row in rows):
        return None
    return Holdings(
        {row["algorithm"]: row["waiting"] for row in rows if row["waiting"]},
        sum(row["given"] for row in rows),
    )


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
    """IDs that a device used, of one algorithm. left: hashes of keys that wait to be handed out;
    given: the same of those that were.
    """

    left: Mapping[str, bytes]
    given: Mapping[str, frozenset[bytes]]

    def fresh(self, batch: Batch, json: Mapping[str, str]) -> Batch:
        """What is not known. json: the same keys, as they were stored once."""
        keys = {
            key_id: key
            for key_id, key in batch.keys.items()
            if key_id not in self.left
            and self.given.get(key_id, frozenset()).isdisjoint({_hash(key), _hash(json[key_id])})
        }
        return Batch(batch.algorithm, keys)

    def others(self, batch: Batch, json: Mapping[str, str]) -> list[str]:
        """Where another key waits under the same ID."""
        return [
            f"{batch.algorithm}:{key_id}"
            for key_id, key in batch.keys.items()
            if key_id in self.left and self.left[key_id] not in (_hash(key), _hash(json[key_id]))
        ]


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()


async def known(db: Connection, session_nid: int, batch: Batch) -> Known:
    rows = await db.fetch(
        """
        SELECT k.key_id, k.number > b.taken AS is_left,
            CASE WHEN b.is_spent THEN decode(k.key, 'hex')
                ELSE sha256(convert_to(k.key, 'UTF8')) END AS key_hash
        FROM one_time_key_batches b
            CROSS JOIN unnest(
                string_to_array(b.key_ids, chr(10)), string_to_array(b.keys, chr(10))
            ) WITH ORDINALITY AS k (key_id, key, number)
            JOIN unnest($3::text[]) AS g (key_id) USING (key_id)
        WHERE b.session_nid = $1 AND b.algorithm = $2
        """,
        session_nid,
        batch.algorithm,
        [*batch.keys],
    )
    left: dict[str, bytes] = {}
    given: dict[str, frozenset[bytes]] = {}
    for row in rows:
        key_id = row["key_id"]
        if row["is_left"]:
            left[key_id] = row["key_hash"]
        else:
            given[key_id] = given.get(key_id, frozenset()) | {row["key_hash"]}
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
