"""Which statements a piece of code sends to the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def counted(database: Database) -> AsyncIterator[list[str]]:
    """The statements that are sent in the block, without those that only frame transactions and
    those of followers.
    """
    statements: list[str] = []

    def log(query: LoggedQuery) -> None:
        text = query.query or ""
        if any(each in text for each in _ABOUT_TYPES):
            return
        if text and not text.lstrip().upper().startswith(_FRAME + _FOLLOWERS):
            statements.append(text)

    acquire = database._acquire

    async def logged() -> Connection:
        connection = await acquire()
        connection.add_query_logger(log)
        return connection

    database._acquire = logged
    try:
        yield statements
    finally:
        del database._acquire
        log = _ignore


def _ignore(_query: LoggedQuery) -> None:
    """Connections keep the logger; nobody reads on."""
