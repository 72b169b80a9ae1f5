"""The composition root: builds every object once, starts what must run, and stops it in order.

    data directory and lock, addresses, database, keys, core, façades, "ready"

Each kind of failure on the way is an error of its own, which the command line turns into a
sentence and an exit code. Stopping runs the same way backwards.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_bytes

import structlog
import uvloop
from aiohttp import web

from clientapi.http_runner import Runner
from homeserver import logs
from homeserver.accounts import Accounts, build_accounts
from homeserver.application_services import load_application_services
from homeserver.clock import SystemClock
from homeserver.config import Address, Config, ConfigError
from homeserver.core import Core, build_core
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.facades import Facades, build_facades
from homeserver.identifiers import ServerName
from homeserver.metrics import Metrics
from homeserver.server_keys import ServerKeys, load_or_create
from homeserver.storage import server
from homeserver.storage.data_dir import DataDirLock
from homeserver.storage.database import Database
from homeserver.storage.embedded import EmbeddedPostgres
from homeserver.storage.migrate import migrate
from homeserver.streams.bus import PostgresBus
from mediarepo.remote import NoRemoteMedia

BACKLOG = 4096
"""Connections that wait to be accepted: thousands of clients come back at once after a restart."""

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code.

    Raises the errors that `homeserver.cli.failures` knows, before anything is served.
    """
    logs.configure(config.logging, sys.stderr)
    _check(config)
    uvloop.run(_serve(config))
    return 0


class Background:
    """Tasks for as long as the server runs. One that fails is a defect, and stops the server."""

    def __init__(self, *, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    def start(self, work: Work) -> None:
        async def run_work() -> None:
            await work()

        task = asyncio.create_task(run_work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancels all; raises what the first one that failed raised."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._failures:
            raise self._failures[0]

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.critical("background_task_failed", exc_info=error)
            self._failures.append(error)
            self._stopping.set()


async def _serve(config: Config) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(DataDirLock(data_dir=config.server.data_dir))
        # Before anything slow, so that a taken address is told at once.
        sockets = [stack.enter_context(bound(address)) for address in _addresses(config)]
        postgres, dsn = await stack.enter_async_context(_database_server(config))
        await migrate(dsn)
        database = await stack.enter_async_context(_pool(config, dsn))
        background = Background(stopping=stopping)
        stack.push_async_callback(background.stop)
        if postgres is not None:
            background.start(postgres.watch)
        bus = PostgresBus(dsn=dsn)
        core, accounts, facades = await _build(config, bus, database, background)
        stack.push_async_callback(bus.drain)
        stack.push_async_callback(_drain, core, accounts)
        await stack.enter_async_context(_listening(config, facades, sockets))
        _calm_garbage_collection()
        await _say_ready(accounts, sockets[0])
        await stopping.wait()
        log.info("stopping")


async def _build(
    config: Config, bus: PostgresBus, database: Database, background: Background
) -> tuple[Core, Accounts, Facades]:
    clock, metrics = SystemClock(), Metrics()
    metrics.database_pool_in_use.set_function(lambda: database.connections_in_use)
    name, keys = await _identity(config, database, clock)
    services = load_application_services(config.appservices.registration_files, name)
    core = build_core(
        config=config,
        server_name=name,
        application_services=services,
        key=keys.signing_key,
        database=database,
        bus=bus,
        metrics=metrics,
        clock=clock,
    )
    accounts = build_accounts(
        settings=config.auth,
        server_name=name,
        application_services=services,
        jwt_secret=keys.jwt_secret,
        database=database,
        announce=bus.announce,
        status_of=core.streams.presence.status,
        clock=clock,
        random_bytes=token_bytes,
    )
    await accounts.registration.ensure_senders()
    await core.start()
    facades = build_facades(
        config=config,
        core=core,
        accounts=accounts,
        database=database,
        bus=bus,
        remote_media=NoRemoteMedia(),
        metrics=metrics,
        clock=clock,
    )
    bus.on_reconnect(core.streams.events.poll)
    bus.on_reconnect(core.streams.receipts.poll)
    bus.on_reconnect(core.streams.account_data.poll)
    bus.on_reconnect(core.encryption.poll)
    bus.on_reconnect(core.streams.erased_users.poll)
    bus.on_reconnect(core.streams.peers.greet)
    bus.on_reconnect(core.streams.people.invalidate_all)
    bus.on_reconnect(facades.authenticator.forget_all)
    bus.on_reconnect(facades.live.connections.recheck_all)
    if facades.media is not None:
        bus.on_reconnect(facades.media.services.downloads.arrivals.forget_all)
    for work in (bus.run, accounts.upkeep.run, *core.background(), *facades.background()):
        background.start(work)
    return core, accounts, facades


async def _identity(
    config: Config, database: Database, clock: SystemClock
) -> tuple[ServerName, ServerKeys]:
    """The name that the database belongs to, and the keys. Raises ForeignDatabaseError, KeysError.

    The name is fixed at the first start, for it stands in every ID that rooms contain.
    """
    name = ServerName(config.server.name)
    async with database.transaction() as db:
        await server.claim(db, name, clock.now_ms())
    keys = load_or_create(
        config.server.data_dir,
        configured_jwt_secret=config.auth.jwt_secret.get_secret_value(),
        random_bytes=token_bytes,
    )
    return name, keys


@asynccontextmanager
async def _database_server(
    config: Config,
) -> AsyncIterator[tuple[EmbeddedPostgres | None, str]]:
    url = config.database.url.get_secret_value()
    if url:
        yield None, url
        return
    postgres = EmbeddedPostgres(data_dir=config.server.data_dir)
    try:
        yield postgres, await postgres.start()
    finally:
        await postgres.stop()


@asynccontextmanager
async def _pool(config: Config, dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(
        dsn,
        max_connections=config.database.max_connections,
        acquire_timeout_s=config.database.acquire_timeout_seconds,
        statement_timeout_s=config.database.statement_timeout_seconds,
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _listening(
    config: Config, facades: Facades, sockets: Sequence[socket.socket]
) -> AsyncIterator[None]:
    """Serves; at the end refuses new connections and lets open ones finish, for the grace."""
    grace_s = config.server.shutdown_grace_seconds
    runners = []
    try:
        for application, bound in zip(facades.applications, sockets, strict=True):
            runner = Runner(application, shutdown_timeout_s=grace_s)
            await runner.setup()
            runners.append(runner)
            await web.SockSite(runner, bound, backlog=BACKLOG).start()
        yield
    finally:
        for runner in runners:
            for site in list(runner.sites):
                await site.stop()
        await facades.drain()
        for runner in runners:
            await runner.cleanup()


async def _drain(core: Core, accounts: Accounts) -> None:
    """What is under way is finished and written."""
    await core.drain()
    await accounts.sightings.flush()
    accounts.passwords.close()


async def _say_ready(accounts: Accounts, bound: socket.socket) -> None:
    host, port = bound.getsockname()[:2]
    url = f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"
    code = await accounts.registration.first_admin_code()
    if code is not None:
        print(_FIRST_STEPS.format(url=url, code=code), flush=True)  # noqa: T201
    print(f"ready {url}", flush=True)  # noqa: T201
    log.info("ready", url=url)


_FIRST_STEPS = """
This server has no administrator yet. Register the first one with this one-time code:

    {code}

    curl {url}/api/auth/register -H 'Content-Type: application/json' \\
      -d '{{"email": "you@example.org", "name": "Your Name", "password": "…", "code": "{code}"}}'

or run: foyer user add you@example.org --name "Your Name" --admin
The answer holds a token; {url}/api/docs shows what to do with it.
"""


def _calm_garbage_collection() -> None:
    """What was built lives as long as the process, so no collection needs to look at it again;
    and a collection of everything, which stops the event loop, is made ten times rarer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _check(config: Config) -> None:
    version = config.rooms.default_version
    if version not in ROOM_VERSIONS:
        raise ConfigError([f"rooms.default_version: there is no room version {version!r}."])


def _addresses(config: Config) -> list[Address]:
    metrics = config.server.metrics_bind
    return [config.server.bind, *([] if metrics is None else [metrics])]


def bound(address: Address) -> socket.socket:
    """A socket that has the address and does not listen yet. Raises OSError."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, name = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(name)
    except OSError as error:
        bound.close()
        reason = os.strerror(error.errno or 0)
        sentence = f"Cannot listen on {address.host}:{address.port}: {reason}."
        raise OSError(error.errno, sentence) from error
    return bound
