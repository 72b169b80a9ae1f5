"""Bringing a database to this program's schema: numbered SQL files, forward only.

The files are `schema/migrations/NNNN_name.sql`, numbered from 0001 without gaps. Each runs once, in
one transaction together with the row in `schema_migrations` that says so, which keeps the file's
SHA-256: a file that has run never changes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import asyncpg

from homeserver.errors import FoyerError, Unavailable
from homeserver.storage.database import Connection

_FILE_NAME = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")

# Any number that nothing else locks: "foyer" in ASCII.
_LOCK = 0x666F796572

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number      integer PRIMARY KEY,
    name        text NOT NULL,
    sha256      bytea NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(FoyerError):
    """The database and the program do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `name` is the file's, without `.sql`: 0001_foundation."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


async def migrate(
    database: str | Connection, *, source: Traversable | Path | None = None
) -> list[str]:
    """Run what has not run yet; the names of that, oldest first.

    database: a DSN, or a connection without a statement timeout that is in no transaction.
    source: the directory of the files, by default the program's own.
    Several processes may call it at once: one works, the others wait and find nothing to do.
    Raises MigrationError, and Unavailable when the DSN's database cannot be reached.
    """
    wanted = read_migrations(source)
    if not isinstance(database, str):
        return await _migrate(database, wanted)
    try:
        connection = await asyncpg.connect(database, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"The database cannot be reached: {error or 'no answer'}.") from error
    try:
        return await _migrate(connection, wanted)
    finally:
        await connection.close()


async def pending(connection: Connection, *, source: Traversable | Path | None = None) -> list[str]:
    """The names of the migrations that have not run on this database. Raises MigrationError."""
    wanted = read_migrations(source)
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return [migration.name for migration in wanted]
    done = await _check_done(connection, wanted)
    return [migration.name for migration in wanted[done:]]


def read_migrations(source: Traversable | Path | None = None) -> list[Migration]:
    """The files in order. Raises MigrationError when a name or the numbering is wrong."""
    directory = source or files("schema") / "migrations"
    entries = (entry for entry in directory.iterdir() if entry.name.endswith(".sql"))
    migrations = sorted(map(_read, entries), key=lambda migration: migration.number)
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationError(
                f"The migration files are not numbered without gaps: {migration.name} stands where "
                f"{expected:04} is expected."
            )
    return migrations


def _read(entry: Traversable) -> Migration:
    match = _FILE_NAME.fullmatch(entry.name)
    if match is None:
        raise MigrationError(f"The migration file {entry.name} is not named like 0001_name.sql.")
    sql = entry.read_text(encoding="utf-8")
    return Migration(int(match["number"]), entry.name.removesuffix(".sql"), sql)


async def _migrate(connection: Connection, wanted: Sequence[Migration]) -> list[str]:
    """The lock is the session's, because each migration is a transaction of its own."""
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_CREATE_TABLE)
        done = await _check_done(connection, wanted)
        for migration in wanted[done:]:
            await _apply(connection, migration)
        return [migration.name for migration in wanted[done:]]
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _check_done(connection: Connection, wanted: Sequence[Migration]) -> int:
    """How many have run. Raises MigrationError unless those are the program's first ones."""
    rows = await connection.fetch("SELECT number, name, sha256 FROM schema_migrations ORDER BY 1")
    for expected, row in enumerate(rows, start=1):
        if row["number"] != expected:
            raise MigrationError(
                f"The database says that migration {row['name']} has run, but not {expected:04}, "
                "which comes before it: restore it from a backup."
            )
    if len(rows) > len(wanted):
        raise MigrationError(
            f"The database was made by a newer Foyer: it has migration {rows[len(wanted)]['name']},"
            " which this program does not know. Install that version again, or restore a backup."
        )
    for row, migration in zip(rows, wanted, strict=False):
        if row["sha256"] != migration.sha256:
            raise MigrationError(
                f"The migration {migration.name} is not the one that has run on this database "
                f"({row['name']}): a migration must not be changed once it has run."
            )
    return len(rows)


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"The migration {migration.name} failed: {error}.") from error
