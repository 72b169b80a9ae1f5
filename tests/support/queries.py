"""Which statements a piece of code sends to the database, and which rows it writes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from asyncpg.connection import LoggedQuery

from homeserver.storage.database import Connection, Database

_FRAME = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SET")
_FOLLOWERS = (
    "INSERT INTO CURSORS",
    "SELECT POSITION FROM CURSORS",
    "UPDATE CURSORS",
    "INSERT INTO NOTIFICATION_EXCEPTIONS",
    "SELECT PG_TRY_ADVISORY_LOCK",
)
"""What followers send, which run beside everything."""
_ABOUT_TYPES = ("typeinfo_tree", "current_setting('jit')")
"""What asyncpg asks once a connection."""
_UPKEEP = frozenset(
    {
        "AccountUpkeep.run",
        "Connections.run",
        "Media._run",
        "NotificationSweep.run",
        "Pictures.run",
        "Retention.run",
        "Upkeep.run",
    }
)
"""Tasks that look after something once in a while, beside everything."""
_MARK: ContextVar[object | None] = ContextVar("mark", default=None)
"""Of the block in which a task, or the one that began it, counts its statements."""


@asynccontextmanager
async def counted(database: Database, *, own: bool = False) -> AsyncIterator[list[str]]:
    """The statements that are sent in the block, without those that only frame transactions, those
    of followers and those of upkeep. own: only those of the task that runs the block, and of those
    it begins.
    """
    mark = object() if own else None
    _MARK.set(mark)
    statements: list[str] = []

    def log(query: LoggedQuery) -> None:
        text = query.query or ""
        if any(each in text for each in _ABOUT_TYPES):
            return
        if text and not text.lstrip().upper().startswith(_FRAME + _FOLLOWERS):
            statements.append(text)

    acquire, release = database._acquire, database._release

    async def logged() -> Connection:
        connection = await acquire()
        if not _is_upkeep() and (mark is None or _MARK.get() is mark):
            connection.add_query_logger(log)
        return connection

    async def released(connection: Connection) -> None:
        connection.remove_query_logger(log)
        await release(connection)

    database._acquire, database._release = logged, released
    try:
        yield statements
    finally:
        del database._acquire, database._release
        _MARK.set(None)


_NOTE_ROWS = """
CREATE TABLE IF NOT EXISTS written_rows (name text);
CREATE OR REPLACE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO written_rows VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'written_rows'
    LOOP
        EXECUTE format('CREATE TRIGGER note_row AFTER INSERT OR UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION note_row()', name);
    END LOOP;
END $$;
"""


@asynccontextmanager
async def written_rows(database: Database) -> AsyncIterator[Counter[str]]:
    """How many rows of which tables are written in the block, by anybody; filled at its end. For
    one block a database.
    """
    async with database.connection() as db:
        await db.execute(_NOTE_ROWS)
    rows: Counter[str] = Counter()
    yield rows
    async with database.connection() as db:
        rows.update(row["name"] for row in await db.fetch("SELECT name FROM written_rows"))


def _is_upkeep() -> bool:
    task = asyncio.current_task()
    return task is not None and getattr(task.get_coro(), "__qualname__", "") in _UPKEEP
