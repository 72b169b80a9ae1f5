"""Which statements a piece of code sends to the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg.connection import LoggedQuery

from homeserver.storage.database import Connection, Database

_FRAME = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SET")


@asynccontextmanager
async def counted(database: Database) -> AsyncIterator[list[str]]:
    """The statements that are sent in the block, without those that only frame transactions."""
    statements: list[str] = []

    def log(query: LoggedQuery) -> None:
        if query.query and not query.query.lstrip().upper().startswith(_FRAME):
            statements.append(query.query)

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
