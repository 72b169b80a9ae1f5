"""The media repository as a process of its own: `foyer media`.

It has its own pool and limits, reads access tokens by itself, and asks the homeserver nothing; what
it shares with it is the database, the keys in the data folder, and the announcements that sessions
end and media change. Either may stop without the other.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_bytes, token_hex

import structlog
import uvloop
from aiohttp import web

from clientapi.authentication import Authenticator
from clientapi.client_addresses import ClientAddresses
from clientapi.http_runner import Runner
from clientapi.matrix.dialect import PREFIXES, MatrixDialect
from clientapi.middleware import Gate, request_ids
from clientapi.native.dialect import NativeDialect
from clientapi.probes import PROBES, add_metrics, add_probes
from clientapi.rate_limits import RateLimits
from homeserver import logs
from homeserver.accounts import Accounts, build_accounts
from homeserver.app import BACKLOG, Background, bound
from homeserver.application_services import load_application_services
from homeserver.clock import Clock, SystemClock
from homeserver.config import Address, Config
from homeserver.errors import Unavailable
from homeserver.identifiers import ServerName
from homeserver.metrics import Metrics
from homeserver.server_keys import load_or_create
from homeserver.storage import server
from homeserver.storage.data_dir import prepare_data_dir
from homeserver.storage.database import Database
from homeserver.storage.embedded import running_dsn
from homeserver.storage.migrate import migrate
from homeserver.streams.bus import PostgresBus
from mediarepo.media import Media, build_media
from mediarepo.native_routes import add_linked_routes, add_native_routes
from mediarepo.pointing import LINKED
from mediarepo.remote import NoRemoteMedia
from mediarepo.routes import add_routes

_REQUEST_ID_BYTES = 5
_READY_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code.

    Raises the errors that `homeserver.cli.failures` knows, before anything is served.
    """
    logs.configure(config.logging, sys.stderr)
    uvloop.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(bound(Address.parse(config.media.bind_addr)))
        dsn = await _dsn(config)
        database = await stack.enter_async_context(_pool(config, dsn))
        background = Background(stopping=stopping)
        stack.push_async_callback(background.stop)
        application, accounts = await _build(config, dsn, database, background)
        stack.push_async_callback(_drain, accounts)
        await stack.enter_async_context(_listening(config, application, listening))
        _say_ready(listening)
        await stopping.wait()
        log.info("stopping")


async def _dsn(config: Config) -> str:
    """Raises Unavailable when there is no database without the server, which is not running."""
    external = config.database.url.get_secret_value()
    if external:
        await migrate(external)
        return external
    running = running_dsn(config.server.data_dir)
    if running is None:
        raise Unavailable("The embedded database runs with the server: start that first.")
    return running


@asynccontextmanager
async def _pool(config: Config, dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(
        dsn,
        max_connections=config.media.max_connections,
        acquire_timeout_s=config.database.acquire_timeout_seconds,
        statement_timeout_s=config.database.statement_timeout_seconds,
        application_name="foyer media",
    )
    try:
        yield database
    finally:
        await database.close()


async def _build(
    config: Config, dsn: str, database: Database, background: Background
) -> tuple[web.Application, Accounts]:
    clock, metrics, bus = SystemClock(), Metrics(), PostgresBus(dsn=dsn)
    metrics.database_pool_in_use.set_function(lambda: database.connections_in_use)
    accounts = await _accounts(config, database, bus, clock)
    rate_limits = RateLimits(settings=config.rate_limits, clock=clock)
    authenticator = Authenticator(
        access_tokens=accounts.access_tokens,
        tokens=accounts.tokens,
        sessions=accounts.sessions,
        sightings=accounts.sightings,
        application_services=accounts.application_services,
        bus=bus,
        clock=clock,
        random_bytes=token_bytes,
        ticket_ttl_s=config.auth.ticket_ttl_seconds,
    )
    media = build_media(
        config=config,
        database=database,
        bus=bus,
        remote=NoRemoteMedia(),
        link_key=accounts.media_link_key,
        authenticator=authenticator,
        rate_limits=rate_limits,
        clock=clock,
    )
    bus.on_reconnect(authenticator.forget_all)
    bus.on_reconnect(media.services.downloads.arrivals.forget_all)
    for work in (bus.run, accounts.upkeep.run, *media.background()):
        background.start(work)
    return _application(config, media, rate_limits, metrics, clock, database), accounts


async def _accounts(config: Config, database: Database, bus: PostgresBus, clock: Clock) -> Accounts:
    """To know whose tokens come."""
    async with database.transaction() as db:
        name = ServerName(config.server.name)
        await server.claim(db, name, clock.now_ms())
    prepare_data_dir(config.server.data_dir)
    keys = load_or_create(
        config.server.data_dir,
        configured_jwt_secret=config.auth.jwt_secret.get_secret_value(),
        random_bytes=token_bytes,
    )
    return build_accounts(
        settings=config.auth,
        server_name=name,
        application_services=load_application_services(config.appservices.registration_files, name),
        jwt_secret=keys.jwt_secret,
        database=database,
        announce=bus.announce,
        status_of=lambda _: "offline",
        clock=clock,
        random_bytes=token_bytes,
    )


def _application(
    config: Config,
    media: Media,
    rate_limits: RateLimits,
    metrics: Metrics,
    clock: Clock,
    database: Database,
) -> web.Application:
    gate = Gate(
        addresses=ClientAddresses(trusted_proxies=config.server.trusted_proxies),
        dialect=NativeDialect(cors_origins=config.server.cors_origins),
        # Whoever has a link may use it on any page.
        dialects={
            **dict.fromkeys(PREFIXES, MatrixDialect()),
            LINKED: NativeDialect(cors_origins=("*",)),
        },
        rate_limits=rate_limits,
        metrics=metrics,
        clock=clock,
        new_request_id=request_ids(token_hex(_REQUEST_ID_BYTES)),
        probes=PROBES,
    )
    application = gate.application(max_body_bytes=config.server.max_body_bytes)
    add_routes(application, media.services)
    add_native_routes(application, media.services)
    add_linked_routes(application, media.services, prefix=LINKED)
    add_probes(application, is_ready=lambda: _answers(database))
    if config.server.metrics_bind is None:
        add_metrics(application, metrics=metrics)
    return application


async def _answers(database: Database) -> bool:
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S), database.connection() as db:
            return bool(await db.fetchval("SELECT true"))
    except (Unavailable, TimeoutError):
        return False


@asynccontextmanager
async def _listening(
    config: Config, application: web.Application, listening: socket.socket
) -> AsyncIterator[None]:
    grace_s = config.server.shutdown_grace_seconds
    runner = Runner(application, shutdown_timeout_s=grace_s)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()


async def _drain(accounts: Accounts) -> None:
    await accounts.sightings.flush()
    accounts.passwords.close()


def _say_ready(listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    place = f"[{host}]" if listening.family == socket.AF_INET6 else host
    print(f"ready http://{place}:{port}", flush=True)  # noqa: T201
    log.info("ready", url=f"http://{place}:{port}")
