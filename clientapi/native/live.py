"""The live part of the native protocol, wired: everything between the streams and `/ws`."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from clientapi.authentication import Authenticator
from clientapi.native.audience import Audience
from clientapi.native.broadcast import Broadcast
from clientapi.native.connections import Connections, FindRequester
from clientapi.native.cursor import Progress
from clientapi.native.delivered import Deliveries, Delivery
from clientapi.native.device_watch import DeviceWatch
from clientapi.native.dispatch import Dispatch
from clientapi.native.encryption_frames import EncryptionFrames
from clientapi.native.entrance import Entrance
from clientapi.native.heartbeat import Heartbeat, Pings
from clientapi.native.hub import Hub
from clientapi.native.listening import Listening
from clientapi.native.moments import Moments
from clientapi.native.reads import Reads
from clientapi.native.related import Relating
from clientapi.native.replay import Replay
from clientapi.native.session import Limits
from clientapi.native.unreads import Unreads
from clientapi.native.websocket import WebSockets
from clientapi.rate_limits import RateLimits
from homeserver.actions.presence import Presence
from homeserver.actions.receipts import Receipts
from homeserver.actions.send import Send
from homeserver.actions.typing import Typing
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.encryption import Encryption
from homeserver.metrics import Metrics
from homeserver.streams.bus import Bus
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream
from homeserver.streams.receipts import ReceiptTail
from homeserver.streams.tail import EventTail
from homeserver.streams.to_device import ToDeviceTail
from homeserver.streams.typing import TypingStream
from homeserver.sync.encryption_news import MAX_BYTES, EncryptionSync
from homeserver.sync.token import SyncToken
from homeserver.views.live import Live as LiveViews
from schema.wire.errors import CloseCode

DELIVERY_PATIENCE_S = 3.0
"""How long the first who are asked whether they have a message may take to answer."""

_UNLIMITED_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the composition root starts, runs and stops. `websockets.handle` serves `/ws`."""

    websockets: WebSockets
    connections: Connections
    hub: Hub
    reads: Reads
    unreads: Unreads
    moments: Moments
    deliveries: Deliveries
    heartbeat: Heartbeat
    dispatch: Dispatch
    listening: Listening
    watch: DeviceWatch
    to_device: ToDeviceTail
    events: EventTail
    marks: ReceiptTail
    typing: TypingStream
    presence: PresenceStream
    bus: Bus

    def start(self) -> None:
        """Begins where the streams stand, so they must have been started."""
        self.hub.start()
        self.hub.subscribe(self.unreads.publishing)
        self.reads.start(self.marks.position)
        self.events.subscribe(self.reads.written)
        self.marks.subscribe(self.reads.marked)
        self.typing.subscribe(
            lambda room, person, active: self.moments.typing(room, person, active=active)
        )
        self.presence.subscribe(self.moments.presence)
        self.listening.start(self.to_device, self.bus)
        self.watch.start()
        connections = self.connections
        self.bus.subscribe("session-revoked", lambda uuid: connections.revoke(UUID(uuid)))
        self.bus.subscribe("account-changed", lambda uuid: connections.account_changed(UUID(uuid)))
        self.bus.subscribe("profile-changed", lambda uuid: self.moments.user_updated(UUID(uuid)))

    async def run(self) -> None:
        """Everything that happens by the clock, until cancelled."""
        while True:
            await asyncio.sleep(self.heartbeat.tick_s)
            self.heartbeat.tick()
            self.deliveries.tick()
            self.connections.expire()

    async def drain(self, code: CloseCode = CloseCode.RESTART, *, grace_s: float) -> None:
        """Answers what was asked, then ends all connections; both within the grace."""
        self.websockets.stop()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s / 2):
                await self.dispatch.finish()
        await self.connections.drain(code, grace_s=deadline - loop.time())
        self.deliveries.stop()
        self.moments.stop()
        self.reads.stop()
        self.unreads.stop()
        self.listening.stop()
        self.watch.stop()
        self.hub.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the live part is built of: streams, actions, views, and what guards them.

    requester_of: who asks with claims now; None when the session or the account has ended.
    """

    config: Config
    events: EventTail
    marks: ReceiptTail
    typing_stream: TypingStream
    presence_stream: PresenceStream
    people: People
    bus: Bus
    send: Send
    receipts: Receipts
    typing: Typing
    presence: Presence
    encryption: Encryption
    encryption_sync: EncryptionSync
    views: LiveViews
    requester_of: FindRequester
    authenticator: Authenticator
    rate_limits: RateLimits
    metrics: Metrics
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What everything else writes to and reads from."""

    audience: Audience
    progress: Progress
    connections: Connections
    pings: Pings
    deliveries: Deliveries
    hub: Hub
    unreads: Unreads
    listening: Listening
    watch: DeviceWatch


def build_native(needs: Needs) -> Live:
    """Builds every object once, by name."""
    ground = _build_ground(needs)
    dispatch = Dispatch(
        send=needs.send,
        receipts=needs.receipts,
        typing=needs.typing,
        presence=needs.presence,
        encryption=EncryptionFrames(
            encryption=needs.encryption,
            listening=ground.listening,
            rate_limits=needs.rate_limits,
            max_answer_bytes=needs.config.websocket.max_pending_bytes // 2,
        ),
        connections=ground.connections,
        progress=ground.progress,
        rate_limits=needs.rate_limits,
        metrics=needs.metrics,
    )
    settings = needs.config.websocket
    heartbeat = Heartbeat(
        interval_s=settings.ping_interval_seconds,
        timeout_s=settings.pong_timeout_seconds,
        pings=ground.pings,
        on_gone=ground.connections.abort,
        clock=needs.clock,
    )
    reads, moments = _build_others(needs, ground)
    return Live(
        websockets=_build_websockets(needs, ground, dispatch, heartbeat),
        connections=ground.connections,
        hub=ground.hub,
        reads=reads,
        unreads=ground.unreads,
        moments=moments,
        deliveries=ground.deliveries,
        heartbeat=heartbeat,
        dispatch=dispatch,
        listening=ground.listening,
        watch=ground.watch,
        to_device=needs.encryption.to_device_tail,
        events=needs.events,
        marks=needs.marks,
        typing=needs.typing_stream,
        presence=needs.presence_stream,
        bus=needs.bus,
    )


def _build_ground(needs: Needs) -> _Ground:
    settings = needs.config.websocket
    audience, progress = Audience(), Progress()
    connections = Connections(
        audience=audience,
        max_per_user=settings.max_connections_per_user,
        max_pending_bytes=settings.max_pending_bytes,
        requester_of=needs.requester_of,
        clock=needs.clock,
        metrics=needs.metrics,
    )
    pings = Pings(progress=progress, clock=needs.clock)
    deliveries = _build_deliveries(needs, audience, connections, pings)
    news, to_device = needs.encryption_sync, needs.encryption.to_device_tail
    listening = Listening(
        news=news,
        connections=connections,
        now=lambda: SyncToken(
            events=watch.events, to_device=to_device.position, device_lists=watch.devices
        ),
        max_bytes=min(MAX_BYTES, settings.max_pending_bytes // 4),
    )
    watch = DeviceWatch(
        tail=needs.encryption.device_list_tail,
        news=news,
        listening=listening,
        audience=audience,
        people=needs.people,
        published=lambda: hub.position,
    )
    hub = Hub(
        tail=needs.events,
        audience=audience,
        broadcast=Broadcast(
            audience=audience,
            fanout=connections.fanout,
            metrics=needs.metrics,
            on_move=watch.moved,
        ),
        relating=Relating(views=needs.views, people=needs.people),
        deliveries=deliveries,
        views=needs.views,
        progress=progress,
        on_overflow=connections.restart_all,
    )
    unreads = Unreads(
        audience=audience,
        fanout=connections.fanout,
        views=needs.views,
        progress=progress,
        waiting=lambda: hub.waiting,
    )
    needs.views.on_recount(unreads.recounted, unreads.is_heard)
    return _Ground(
        audience=audience,
        progress=progress,
        connections=connections,
        pings=pings,
        deliveries=deliveries,
        hub=hub,
        unreads=unreads,
        listening=listening,
        watch=watch,
    )


def _build_deliveries(
    needs: Needs, audience: Audience, connections: Connections, pings: Pings
) -> Deliveries:
    def on_delivered(delivery: Delivery) -> None:
        needs.receipts.delivered(
            delivery.user_nid, delivery.room_nid, delivery.event_nid, delivery.position
        )

    return Deliveries(
        audience=audience,
        pings=pings,
        fanout=connections.fanout,
        clock=needs.clock,
        on_delivered=on_delivered,
        patience_s=DELIVERY_PATIENCE_S,
    )


def _build_others(needs: Needs, ground: _Ground) -> tuple[Reads, Moments]:
    fanout = ground.connections.fanout
    reads = Reads(
        audience=ground.audience, fanout=fanout, unreads=ground.unreads, progress=ground.progress
    )
    moments = Moments(
        audience=ground.audience,
        fanout=fanout,
        views=needs.views,
        people=needs.people,
        max_room_members=needs.config.presence.max_room_members,
    )
    return reads, moments


def _build_websockets(
    needs: Needs, ground: _Ground, dispatch: Dispatch, heartbeat: Heartbeat
) -> WebSockets:
    replay = Replay(
        tail=needs.events,
        audience=ground.audience,
        connections=ground.connections,
        views=needs.views,
        # Its own, so that what many missed does not hold up what happens now.
        relating=Relating(views=needs.views, people=needs.people),
        unreads=ground.unreads,
        pings=ground.pings,
        max_events=needs.config.websocket.resume_max_events,
    )
    entrance = Entrance(
        authenticator=needs.authenticator,
        rate_limits=needs.rate_limits,
        origins=_origins(needs.config),
    )
    return WebSockets(
        entrance=entrance,
        hub=ground.hub,
        replay=replay,
        connections=ground.connections,
        dispatch=dispatch,
        listening=ground.listening,
        deliveries=ground.deliveries,
        pings=ground.pings,
        heartbeat=heartbeat,
        limits=_limits(needs.config),
        clock=needs.clock,
    )


def _origins(config: Config) -> list[str]:
    """Behind a proxy, requests may name another host than browsers do."""
    url = urlsplit(config.server.public_url)
    own = [f"{url.scheme}://{url.netloc}"] if url.netloc else []
    return [*config.server.cors_origins, *own]


def _limits(config: Config) -> Limits:
    settings, limited = config.websocket, config.rate_limits.enabled
    return Limits(
        max_frame_bytes=settings.max_frame_bytes,
        frames_per_second=settings.frames_per_second if limited else _UNLIMITED_FRAMES,
        frames_burst=settings.frames_burst if limited else _UNLIMITED_FRAMES,
    )
