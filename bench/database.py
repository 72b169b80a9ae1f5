"""What Foyer's Postgres counts: sizes of tables, rows written and read."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from homeserver.storage.embedded import running_dsn

_FLUSH_S = 11.0
"""An idle connection hands its counts in after ten seconds (pgstat.c, PGSTAT_IDLE_INTERVAL)."""

_SIZES = """
SELECT relname, pg_total_relation_size(oid) AS bytes
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_WRITTEN = """
SELECT relname, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
FROM pg_stat_user_tables
"""
_READ = """
SELECT tables.relname, coalesce(max(seq_tup_read), 0) + coalesce(sum(idx_tup_read), 0) AS rows
FROM pg_stat_user_tables AS tables LEFT JOIN pg_stat_user_indexes USING (relid)
GROUP BY tables.relname
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by table, since the database was made."""

    inserted: Counter[str]
    updated: Counter[str]
    deleted: Counter[str]
    read: Counter[str]

    def __sub__(self, before: "Rows") -> "Rows":
        return Rows(
            self.inserted - before.inserted,
            self.updated - before.updated,
            self.deleted - before.deleted,
            self.read - before.read,
        )


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database of the server that runs on the folder."""
    dsn = running_dsn(data_dir)
    assert dsn is not None
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def database_bytes(db: asyncpg.Connection) -> int:
    return int(await db.fetchval("SELECT pg_database_size(current_database())"))


async def table_bytes(db: asyncpg.Connection) -> Counter[str]:
    """By table, with its indexes and long values."""
    return Counter({row["relname"]: row["bytes"] for row in await db.fetch(_SIZES)})


async def settled_rows(db: asyncpg.Connection) -> Rows:
    """Waits until every connection has handed in what it counted."""
    await asyncio.sleep(_FLUSH_S)
    await db.execute("SELECT pg_stat_clear_snapshot()")
    written = await db.fetch(_WRITTEN)
    read = await db.fetch(_READ)
    return Rows(
        inserted=Counter({row["relname"]: row["inserted"] for row in written}),
        updated=Counter({row["relname"]: row["updated"] for row in written}),
        deleted=Counter({row["relname"]: row["deleted"] for row in written}),
        read=Counter({row["relname"]: int(row["rows"]) for row in read}),
    )
