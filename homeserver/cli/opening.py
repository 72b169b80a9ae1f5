"""Accounts or the bare database for a command, whether the server runs or not.

With an external database the command uses it. With the embedded one it uses the running server's;
if no server runs it takes the lock of the data directory, starts Postgres and stops it afterwards.
What listeners must know goes out when the work is done, to a server that runs.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from time import monotonic
from typing import TypeVar

from homeserver import logs
from homeserver.accounts import Accounts, build_accounts
from homeserver.application_services import load_application_services
from homeserver.clock import SystemClock
from homeserver.config import Config, LoggingConfig
from homeserver.errors import Unavailable
from homeserver.identifiers import ServerName
from homeserver.server_keys import load_or_create
from homeserver.storage import server
from homeserver.storage.data_dir import AlreadyRunning, DataDirLock, prepare_data_dir
from homeserver.storage.database import Database
from homeserver.storage.embedded import EmbeddedPostgres, running_dsn
from homeserver.storage.migrate import MigrationError, migrate, pending
from homeserver.streams.bus import announce_once

_STARTING_S = 10.0
_POLL_S = 0.1

_Result = TypeVar("_Result")

Work = Callable[[Accounts], Awaitable[_Result]]


def with_accounts(
    config: Config, work: Work[_Result], *, server_name: str | None = None
) -> _Result:
    """Do the work of a command; returns what it returns.

    server_name: the name that the database must belong to; None: whatever it belongs to, and a new
    one to the configured name.
    """
    logs.configure(LoggingConfig(level="error", format="console"), sys.stderr)
    return asyncio.run(_with_accounts(config, work, server_name))


def with_database(config: Config, work: Callable[[Database], Awaitable[_Result]]) -> _Result:
    """Do the work of a command that needs the database only; returns what it returns."""
    logs.configure(LoggingConfig(level="error", format="console"), sys.stderr)
    return asyncio.run(_with_database(config, work))


async def _with_database(config: Config, work: Callable[[Database], Awaitable[_Result]]) -> _Result:
    async with _database(config) as database:
        return await work(database)


async def _with_accounts(config: Config, work: Work[_Result], server_name: str | None) -> _Result:
    async with _database(config) as database:
        announcements: list[tuple[str, str]] = []
        accounts = await _accounts(config, database, server_name, announcements)
        try:
            result = await work(accounts)
            if announcements:
                await _announce(database, announcements)
        finally:
            accounts.passwords.close()
    return result


async def _accounts(
    config: Config,
    database: Database,
    server_name: str | None,
    announcements: list[tuple[str, str]],
) -> Accounts:
    clock = SystemClock()
    async with database.transaction() as db:
        name = server_name or await server.claimed_name(db) or config.server.name
        await server.claim(db, ServerName(name), clock.now_ms())
    data_dir = config.server.data_dir
    prepare_data_dir(data_dir)
    keys = load_or_create(
        data_dir,
        configured_jwt_secret=config.auth.jwt_secret.get_secret_value(),
        random_bytes=token_bytes,
    )
    return build_accounts(
        settings=config.auth,
        server_name=ServerName(name),
        application_services=load_application_services(
            config.appservices.registration_files, ServerName(name)
        ),
        jwt_secret=keys.jwt_secret,
        database=database,
        announce=lambda topic, payload: announcements.append((topic, payload)),
        status_of=lambda _: "offline",
        clock=clock,
        random_bytes=token_bytes,
    )


async def _announce(database: Database, announcements: list[tuple[str, str]]) -> None:
    async with database.connection() as connection:
        for topic, payload in announcements:
            await announce_once(connection, topic, payload)


@asynccontextmanager
async def _database(config: Config) -> AsyncIterator[Database]:
    async with _dsn(config) as dsn:
        database = await Database.connect(
            dsn,
            max_connections=2,
            acquire_timeout_s=config.database.acquire_timeout_seconds,
            statement_timeout_s=config.database.statement_timeout_seconds,
            application_name="foyer tool",
        )
        try:
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def _dsn(config: Config) -> AsyncIterator[str]:
    """Of a database that has this program's schema."""
    external = config.database.url.get_secret_value()
    if external:
        await migrate(external)
        yield external
        return
    data_dir = config.server.data_dir
    lock = DataDirLock(data_dir=data_dir)
    running = await _running_or_locked(data_dir, lock)
    if running is not None:
        await _until_migrated(running)
        yield running
        return
    postgres = EmbeddedPostgres(data_dir=data_dir)
    try:
        dsn = await postgres.start()
        await migrate(dsn)
        yield dsn
    finally:
        await postgres.stop()
        lock.release()


async def _running_or_locked(data_dir: Path, lock: DataDirLock) -> str | None:
    """The DSN of the server that runs; None: none does, and the lock is taken.

    A server that is starting has the lock and no DSN yet. Raises AlreadyRunning if that lasts.
    """
    deadline = monotonic() + _STARTING_S
    while True:
        running = running_dsn(data_dir)
        if running is not None:
            return running
        try:
            lock.acquire()
        except AlreadyRunning:
            if monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_S)
        else:
            return None


async def _until_migrated(dsn: str) -> None:
    """A server that runs may be at its first start just now.

    Raises Unavailable, or MigrationError for a server that was not restarted after an update.
    """
    deadline = monotonic() + _STARTING_S
    while waiting := await _pending(dsn, give_up=monotonic() > deadline):
        if monotonic() > deadline:
            raise MigrationError(
                f"The running server is older than this program (it lacks {waiting[0]}): "
                "restart the server."
            )
        await asyncio.sleep(_POLL_S)


async def _pending(dsn: str, *, give_up: bool) -> list[str]:
    try:
        database = await Database.connect(dsn, max_connections=1)
    except Unavailable:
        if give_up:
            raise
        return ["everything"]
    try:
        async with database.connection() as db:
            return await pending(db)
    finally:
        await database.close()
