"""A store in a table of Postgres, for many devices: bridges and bots on one database."""

from collections.abc import Collection, Mapping

import asyncpg

from e2e.client.store.protocol import StoreInUse
from e2e.client.vault import Changes, Key

# Beside a server's own tables it has a schema of its own.
_PREPARE = """
CREATE SCHEMA IF NOT EXISTS olm;
CREATE TABLE IF NOT EXISTS olm.records (
    device text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    row bytea NOT NULL,
    PRIMARY KEY (device, kind, name)
);
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('olm ' || $1, 0))"
_LOAD = "SELECT kind, name, row FROM olm.records WHERE device = $1 AND NOT kind = ANY($2)"
_FETCH = """
    SELECT kind, name, row FROM olm.records
    JOIN unnest($2::text[], $3::text[]) AS wanted (kind, name) USING (kind, name)
    WHERE device = $1
"""
_DELETE = """
    DELETE FROM olm.records USING unnest($2::text[], $3::text[]) AS gone (kind, name)
    WHERE device = $1 AND records.kind = gone.kind AND records.name = gone.name
"""
_WRITE = """
    INSERT INTO olm.records (device, kind, name, row)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[])
    ON CONFLICT (device, kind, name) DO UPDATE SET row = EXCLUDED.row
"""


class PostgresStore:
    """Has a connection of its own, whose end frees the device for others."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", device: str) -> None:
        self._connection = connection
        self._device = device

    @classmethod
    async def open(cls, dsn: str, *, device: str) -> "PostgresStore":
        """device: a name that no other device on this database has. Raises StoreInUse."""
        connection = await asyncpg.connect(dsn)
        try:
            await _lock(connection, device)
            await _prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, device)

    async def load(self, *, without: Collection[str]) -> dict[Key, bytes]:
        rows = await self._connection.fetch(_LOAD, self._device, list(without))
        return {Key(row["kind"], row["name"]): row["row"] for row in rows}

    async def fetch(self, keys: Collection[Key]) -> Mapping[Key, bytes | None]:
        rows = await self._connection.fetch(_FETCH, self._device, *_columns(keys))
        found = {Key(row["kind"], row["name"]): row["row"] for row in rows}
        return {key: found.get(key) for key in keys}

    async def write(self, changes: Changes) -> None:
        kept = {key: row for key, row in changes.items() if row is not None}
        gone = [key for key, row in changes.items() if row is None]
        async with self._connection.transaction():
            # What is durable decides which ratchet state is used next, whatever the database's
            # own default is.
            await self._connection.execute("SET LOCAL synchronous_commit = on")
            await self._connection.execute(_DELETE, self._device, *_columns(gone))
            columns = (*_columns(kept), list(kept.values()))
            await self._connection.execute(_WRITE, self._device, *columns)

    async def close(self) -> None:
        await self._connection.close()


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]", device: str) -> None:
    if not await connection.fetchval(_LOCK, device):
        raise StoreInUse(f"{device} is open in another process")


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Two that begin at once would both try to make the schema."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('olm', 0))")
        await connection.execute(_PREPARE)


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [key.kind for key in keys], [key.name for key in keys]
