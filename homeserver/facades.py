"""The façades, wired: native REST and WebSocket, the documents, and what watches the server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_bytes, token_hex

from aiohttp import web

from clientapi.authentication import Authenticator
from clientapi.client_addresses import ClientAddresses
from clientapi.matrix.dialect import PREFIXES, MatrixDialect
from clientapi.matrix.endpoint import Callers
from clientapi.matrix.interactive_auth import InteractiveAuth
from clientapi.matrix.routes import add_routes as add_matrix_routes
from clientapi.matrix.services import MatrixServices
from clientapi.middleware import Gate, request_ids
from clientapi.native.api_docs import add_docs
from clientapi.native.dialect import NativeDialect
from clientapi.native.live import Live, Needs, build_native
from clientapi.native.rest.endpoint import Callers as NativeCallers
from clientapi.native.rest.routes import add_routes
from clientapi.native.services import NativeServices
from clientapi.probes import PROBES, add_metrics, add_probes
from clientapi.rate_limits import RateLimits
from homeserver.accounts import Accounts
from homeserver.actions.appservice_ping import AppservicePing
from homeserver.actions.identity import Identity
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.core import Core
from homeserver.errors import Unavailable
from homeserver.identifiers import ServerName
from homeserver.metrics import Metrics
from homeserver.room_views import RoomViews, build_room_views
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.syncing import Syncing, build_syncing
from homeserver.views.account_data import AccountData
from homeserver.views.directory import Directory
from homeserver.views.live import Live as LiveViews
from homeserver.views.messages import Messages
from homeserver.views.presence import Presence
from homeserver.views.profiles import Profiles
from homeserver.views.rooms import Rooms
from homeserver.views.search import Search
from homeserver.views.timeline import Timeline
from mediarepo.links import Links
from mediarepo.media import Media, build_media
from mediarepo.native_routes import add_native_routes as add_native_media_routes
from mediarepo.pointing import Pointing, add_pointing
from mediarepo.relay import Relay
from mediarepo.remote import RemoteMedia
from mediarepo.routes import add_routes as add_media_routes

_REQUEST_ID_BYTES = 5
_BOOT_BYTES = 5
_READY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facades:
    """applications: the main one, and that of `/metrics` where it has an address of its own.
    media: None: another process serves them.
    """

    applications: tuple[web.Application, ...]
    authenticator: Authenticator
    live: Live
    syncing: Syncing
    media: Media | None
    grace_s: float

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled."""
        media = () if self.media is None else self.media.background()
        return (self.live.run, *self.syncing.background(), *media)

    async def drain(self) -> None:
        """Lets open connections go, when nothing new is accepted any more."""
        self.syncing.stop()
        await self.live.drain(grace_s=self.grace_s)


def build_facades(
    *,
    config: Config,
    core: Core,
    accounts: Accounts,
    database: Database,
    bus: Bus,
    remote_media: RemoteMedia,
    metrics: Metrics,
    clock: Clock,
) -> Facades:
    """core: started, for the live part begins where the streams stand."""
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
    room_views = build_room_views(
        database=database,
        streams=core.streams,
        server_name=ServerName(config.server.name),
        searchable=core.delivery.search_index is not None,
        clock=clock,
    )
    syncing = build_syncing(
        config=config,
        core=core,
        database=database,
        bus=bus,
        clock=clock,
        room_views=room_views,
        counts=core.notifications.counts,
        boot=token_hex(_BOOT_BYTES),
    )
    services = _services(core, accounts, database, authenticator, rate_limits, syncing)
    live = _live(config, core, accounts, database, bus, metrics, clock, services)
    live.start()
    syncing.start()
    gate = Gate(
        addresses=ClientAddresses(trusted_proxies=config.server.trusted_proxies),
        dialect=NativeDialect(cors_origins=config.server.cors_origins),
        dialects=dict.fromkeys(PREFIXES, MatrixDialect()),
        rate_limits=rate_limits,
        metrics=metrics,
        clock=clock,
        new_request_id=request_ids(token_hex(_REQUEST_ID_BYTES)),
        probes=PROBES,
    )
    main = gate.application(max_body_bytes=config.server.max_body_bytes)
    add_routes(main, services)
    add_matrix_routes(
        main,
        _matrix_services(config, core, accounts, database, clock, services, room_views, syncing),
    )
    media = _media(config, accounts, database, bus, remote_media, clock, services)
    if media is None:
        _point_to_media(config, main, accounts, services, clock)
    else:
        add_media_routes(main, media.services)
        add_native_media_routes(main, media.services)
    add_docs(main)
    add_probes(main, is_ready=lambda: _answers(database))
    main.router.add_get("/ws", live.websockets.handle)
    return Facades(
        applications=_with_metrics(config, main, metrics),
        authenticator=authenticator,
        live=live,
        syncing=syncing,
        media=media,
        grace_s=config.server.shutdown_grace_seconds,
    )


def _media(
    config: Config,
    accounts: Accounts,
    database: Database,
    bus: Bus,
    remote: RemoteMedia,
    clock: Clock,
    native: NativeServices,
) -> Media | None:
    if not config.media.in_process:
        return None
    return build_media(
        config=config,
        database=database,
        bus=bus,
        remote=remote,
        link_key=accounts.media_link_key,
        authenticator=native.authenticator,
        rate_limits=native.rate_limits,
        clock=clock,
    )


def _point_to_media(
    config: Config,
    application: web.Application,
    accounts: Accounts,
    native: NativeServices,
    clock: Clock,
) -> None:
    """Unless a proxy does."""
    if not config.media.public_url:
        return
    relay = Relay(url=config.media.reached_at)
    add_pointing(
        application,
        Pointing(
            public_url=config.media.public_url,
            links=Links(key=accounts.media_link_key, clock=clock),
            relay=relay,
        ),
        relay,
        callers=Callers(authenticator=native.authenticator, rate_limits=native.rate_limits),
        native_callers=NativeCallers(
            authenticator=native.authenticator, rate_limits=native.rate_limits
        ),
    )


def _services(
    core: Core,
    accounts: Accounts,
    database: Database,
    authenticator: Authenticator,
    rate_limits: RateLimits,
    syncing: Syncing,
) -> NativeServices:
    people, rooms = core.streams.people, core.streams.rooms
    erased = core.streams.erased_users
    messages = Messages(people=people, erased=erased)
    return NativeServices(
        send=core.actions.send,
        create_room=core.actions.create_room,
        room_settings=core.actions.room_settings,
        membership=core.actions.membership,
        receipts=core.actions.receipts,
        typing=core.actions.typing,
        login=accounts.login,
        registration=accounts.registration,
        tokens=accounts.tokens,
        profile=accounts.profile,
        encryption=core.encryption,
        identity=Identity(cross_signing=core.encryption.cross_signing, login=accounts.login),
        account_data=core.actions.account_data,
        rooms=Rooms(
            database=database,
            rooms=rooms,
            people=people,
            messages=messages,
            erased=erased,
            counts=core.notifications.counts,
        ),
        timeline=Timeline(
            database=database, rooms=rooms, people=people, messages=messages, erased=erased
        ),
        search=Search(
            database=database,
            rooms=rooms,
            people=people,
            messages=messages,
            erased=erased,
            enabled=core.delivery.search_index is not None,
        ),
        users=accounts.users,
        presence=Presence(database=database, people=people, stream=core.streams.presence),
        sessions=accounts.sessions,
        encryption_sync=syncing.encryption,
        account_data_views=AccountData(database=database, rooms=rooms),
        authenticator=authenticator,
        rate_limits=rate_limits,
    )


def _matrix_services(
    config: Config,
    core: Core,
    accounts: Accounts,
    database: Database,
    clock: Clock,
    native: NativeServices,
    room_views: RoomViews,
    syncing: Syncing,
) -> MatrixServices:
    return MatrixServices(
        send_event=core.actions.send_event,
        set_state=core.actions.rooms.set_state,
        redacting=core.actions.rooms.redacting,
        create_by_preset=core.actions.rooms.create,
        joining=core.actions.rooms.joining,
        inviting=core.actions.rooms.inviting,
        leaving=core.actions.rooms.leaving,
        moderation=core.actions.rooms.moderation,
        aliases=core.actions.aliases,
        room_settings=core.actions.room_settings,
        push_rules=core.notifications.push_rules,
        pushers=core.notifications.pushers,
        notification_list=core.notifications.list,
        listing=core.actions.rooms.listing,
        reporting=core.actions.rooms.reporting,
        account_data=core.actions.account_data,
        tags=core.actions.tags,
        receipts=core.actions.receipts,
        typing=core.actions.typing,
        presence=core.actions.presence,
        accounts=accounts,
        encryption=core.encryption,
        interactive_auth=InteractiveAuth(
            login=accounts.login,
            registration=accounts.registration,
            rate_limits=native.rate_limits,
            clock=clock,
            random_bytes=token_bytes,
        ),
        appservice_ping=AppservicePing(
            clock=clock, timeout_s=config.appservices.ping_timeout_seconds
        ),
        directory=Directory(database=database, rooms=core.streams.rooms),
        profiles=Profiles(database=database),
        account_data_views=native.account_data_views,
        presence_views=native.presence,
        room_views=room_views,
        sync=syncing.sync,
        sliding_sync=syncing.sliding_sync,
        peeking=syncing.peeking,
        filters=syncing.filters,
        clock=clock,
        random_bytes=token_bytes,
        config=config,
        server_name=ServerName(config.server.name),
        authenticator=native.authenticator,
        rate_limits=native.rate_limits,
    )


def _live(
    config: Config,
    core: Core,
    accounts: Accounts,
    database: Database,
    bus: Bus,
    metrics: Metrics,
    clock: Clock,
    services: NativeServices,
) -> Live:
    streams = core.streams
    views = LiveViews(
        database=database,
        rooms=streams.rooms,
        people=streams.people,
        messages=Messages(people=streams.people, erased=streams.erased_users),
        counts=core.notifications.counts,
        status_of=streams.presence.status,
    )
    return build_native(
        Needs(
            config=config,
            events=streams.events,
            marks=streams.receipts,
            typing_stream=streams.typing,
            presence_stream=streams.presence,
            people=streams.people,
            bus=bus,
            send=core.actions.send,
            receipts=core.actions.receipts,
            typing=core.actions.typing,
            presence=core.actions.presence,
            encryption=core.encryption,
            encryption_sync=services.encryption_sync,
            views=views,
            requester_of=accounts.sessions.requester,
            authenticator=services.authenticator,
            rate_limits=services.rate_limits,
            metrics=metrics,
            clock=clock,
        )
    )


def _with_metrics(
    config: Config, main: web.Application, metrics: Metrics
) -> tuple[web.Application, ...]:
    if config.server.metrics_bind is None:
        add_metrics(main, metrics=metrics)
        return (main,)
    own = web.Application()
    add_metrics(own, metrics=metrics)
    return main, own


async def _answers(database: Database) -> bool:
    """Whether the database does its work now."""
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S), database.connection() as db:
            return bool(await db.fetchval("SELECT true"))
    except (Unavailable, TimeoutError):
        return False
