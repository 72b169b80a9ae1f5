"""The live part of the native protocol on a stage: a real server on the loopback, real clients,
and a made-up room engine behind it.

    async with on_stage() as stage:
        room = stage.room("alice", "bob")
        bob = await stage.connects("bob")
        stage.says("alice", room, "hello")
        assert (await bob.hears("message.new"))["message"]["content"] == "hello"

What clients receive is held against `schema.wire`.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any, get_args
from uuid import UUID

from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from clientapi.client_addresses import ClientAddresses
from clientapi.middleware import Gate
from clientapi.native.dialect import NativeDialect
from clientapi.native.live import Live, Needs, build_native
from clientapi.rate_limits import RateLimits
from homeserver.actions.transactions import Sent
from homeserver.config import (
    Config,
    PresenceConfig,
    RateLimitsConfig,
    ServerConfig,
    WebSocketConfig,
)
from homeserver.errors import NotAllowed, NotAuthenticated, NotFound
from homeserver.events.event import Event
from homeserver.events.room_version import V11
from homeserver.events.stored import LocalFacts, RoomRecord, Status, StoredEvent
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid
from homeserver.messages import (
    edit_content,
    is_message,
    reaction_content,
    relation_of,
    text_content,
)
from homeserver.metrics import Metrics
from homeserver.requester import Requester
from homeserver.streams.people import Person
from homeserver.streams.tail import Committed
from homeserver.views.live import RemovedMessage, RemovedReaction, Subscriptions
from homeserver.views.messages import MessageView
from homeserver.views.room_settings import RoomDetails
from homeserver.views.users import UserView
from schema.wire.server_frames import SERVER_FRAMES
from tests.support.office import LocalBus

PATIENCE_S = 10.0
DELIVERED = "message.delivered"
FAR_AWAY = 2**53
START_MS = 1_700_000_000_000

MODELS = {get_args(model.model_fields["type"].annotation)[0]: model for model in SERVER_FRAMES}


class StageClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return START_MS + int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


class Stream:
    """A tail in memory. `keeps`: how many rows it remembers."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.position = 0
        self.keeps = 10_000
        self._listeners: list[Callable[[Sequence[Any]], None]] = []

    def subscribe(self, listener: Callable[[Sequence[Any]], None]) -> None:
        self._listeners.append(listener)

    def since(self, position: int) -> Sequence[Any] | None:
        if position > self.position or position < self.position - self.keeps:
            return None
        return [row for row in self.rows if row.position > position]

    def offer(self, rows: Sequence[Any]) -> None:
        self.rows += rows
        self.position = rows[-1].position
        for listener in self._listeners:
            listener(rows)


@dataclass(frozen=True)
class Mark:
    """A read mark."""

    position: int
    room_nid: int
    room_uuid: UUID
    message_uuid: UUID
    reader_nid: int
    reader_uuid: UUID
    ts: int
    is_private: bool = False
    is_of_room: bool = True
    event_position: int = 0


@dataclass
class Room:
    record: RoomRecord
    members: list[str]
    name: str | None = None

    @property
    def uuid(self) -> UUID:
        return self.record.uuid


class Client:
    """A person at a device."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.cursor: str | None = None

    async def frame(self, *, passing_over: Collection[str] = (DELIVERED,)) -> dict[str, Any]:
        """The next frame. `message.delivered` comes at any time, so it is passed over."""
        while True:
            async with asyncio.timeout(PATIENCE_S):
                raw = await self.socket.recv()
            assert isinstance(raw, str)
            frame = json.loads(raw)
            _check(frame)
            self.cursor = frame.get("cursor", self.cursor)
            if frame["type"] not in passing_over:
                return frame

    async def hears(self, frame_type: str) -> dict[str, Any]:
        """The next frame, which must be of this type."""
        frame = await self.frame(passing_over={DELIVERED} - {frame_type})
        assert frame["type"] == frame_type, frame
        return frame

    async def hears_next(self, frame_type: str) -> dict[str, Any]:
        """The next frame of this type, whatever comes before it."""
        while True:
            frame = await self.frame(passing_over=())
            if frame["type"] == frame_type:
                return frame

    async def says(self, frame_type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": frame_type, **fields}, default=str))

    async def is_idle(self) -> bool:
        """Whether nothing is on the way to it: the next frame is the answer to a ping."""
        await self.says("ping", ref="idle?")
        return await self.frame() == {"type": "pong", "ref": "idle?"}

    async def ends(self) -> int | None:
        """Reads to the end; returns the close code."""
        return (await self.hears_to_the_end(""))[1]

    async def hears_to_the_end(self, frame_type: str) -> tuple[int, int | None]:
        """How many frames of a type came until the end, and the close code."""
        heard = 0
        try:
            while True:
                heard += (await self.frame(passing_over=()))["type"] == frame_type
        except ConnectionClosed as closed:
            return heard, None if closed.rcvd is None else closed.rcvd.code

    async def leaves(self) -> None:
        await self.socket.close()


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what has no event to wait for."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def _check(frame: dict[str, Any]) -> None:
    model = MODELS[frame["type"]]
    model.model_validate_json(json.dumps(frame))
    assert set(frame) <= set(model.model_fields), frame


@dataclass
class Stage:
    """A play's props. People are named; whoever is named exists."""

    config: Config
    clock: StageClock = field(default_factory=StageClock)
    bus: LocalBus = field(default_factory=LocalBus)
    events: Stream = field(default_factory=Stream)
    marks: Stream = field(default_factory=Stream)
    metrics: Metrics = field(default_factory=Metrics)
    rooms: dict[int, Room] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    presences: list[tuple[str, int, str]] = field(default_factory=list)
    deliveries: list[tuple[int, int, int, int]] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    ended_sessions: set[UUID] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    live: Live = field(init=False)
    port: int = 0

    def __post_init__(self) -> None:
        self._nids = count(1)
        self.gate.set()
        self.expires_at_ms = FAR_AWAY
        self.tickets: dict[str, str] = {}
        self._sockets: list[ClientConnection] = []
        self._typing: list[Callable[..., None]] = []
        self._presence: list[Callable[..., None]] = []
        self.live = build_native(self._needs())

    # People and rooms

    def person(self, name: str) -> Person:
        if name not in self.people:
            user_id = UserID(f"@{name}:example.org")
            self.people[name] = Person(
                next(self._nids), user_id, native_uuid(user_id), name.capitalize(), None
            )
        return self.people[name]

    def requester(self, name: str) -> Requester:
        person = self.person(name)
        return Requester(
            user_nid=person.user_nid,
            user_id=person.user_id,
            user_uuid=person.uuid,
            session_nid=person.user_nid,
            session_uuid=native_uuid(f"session of {name}"),
            device_id=name,
            is_admin=False,
            expires_at_ms=self.expires_at_ms,
        )

    def room(self, *members: str, kind: str = "group", name: str | None = "Team Chat") -> Room:
        """A room that has been there for long."""
        nid = next(self._nids)
        room_id = RoomID(f"!{nid}:example.org")
        record = RoomRecord(nid, room_id, native_uuid(room_id), V11, kind, False, START_MS)
        for member in members:
            self.person(member)
        self.rooms[nid] = Room(record, list(members), name)
        return self.rooms[nid]

    # What happens in rooms

    def event(
        self,
        sender: str,
        room: Room,
        event_type: str,
        content: dict[str, Any],
        *,
        state_key: str | None = None,
        redacts: EventID | None = None,
        prev_membership: str | None = None,
    ) -> Committed:
        """An event that is committed next, and not yet handed over."""
        nid = next(self._nids)
        person = self.person(sender)
        event = Event(
            event_id=EventID(f"$event{nid}"),
            room_id=room.record.room_id,
            sender=person.user_id,
            type=event_type,
            state_key=state_key,
            content=content,
            prev_events=(),
            auth_events=(),
            depth=nid,
            origin_server_ts=self.clock.now_ms(),
            redacts=redacts,
            version=V11,
            raw=b"",
        )
        self._position = getattr(self, "_position", 0) + 1
        facts = LocalFacts(
            event_nid=nid,
            room_nid=room.record.room_nid,
            sender_nid=person.user_nid,
            uuid=native_uuid(event.event_id),
            position=self._position,
            state_version=1,
            status=Status.ACCEPTED,
            is_message=is_message(event),
        )
        return Committed(StoredEvent(event, facts), room.record, person, prev_membership)

    def message(self, sender: str, room: Room, text: str) -> Committed:
        return self.event(sender, room, "m.room.message", text_content(text))

    def says(self, sender: str, room: Room, text: str) -> Committed:
        return self.happens(self.message(sender, room, text))

    def happens(self, *batch: Committed) -> Committed:
        """Hands events over, as one batch."""
        self.events.offer(list(batch))
        return batch[-1]

    def membership(
        self, room: Room, name: str, membership: str, *, by: str | None = None
    ) -> Committed:
        user_id = self.person(name).user_id
        before = "join" if name in room.members else self._invited(room, name)
        self.__dict__.setdefault("_invitations", set()).discard((room.record.room_nid, name))
        if membership == "join":
            room.members.append(name)
        elif name in room.members:
            room.members.remove(name)
        if membership == "invite":
            self.__dict__["_invitations"].add((room.record.room_nid, name))
        return self.event(
            by or name,
            room,
            "m.room.member",
            {"membership": membership},
            state_key=user_id,
            prev_membership=before,
        )

    def _invited(self, room: Room, name: str) -> str:
        invited = (room.record.room_nid, name) in self.__dict__.get("_invitations", ())
        return "invite" if invited else "leave"

    def edits(self, target: Committed, text: str) -> Committed:
        content = edit_content(text, target.stored.event.event_id)
        room = self.rooms[target.room.room_nid]
        return self.happens(self.event(self._name_of(target), room, "m.room.message", content))

    def reacts(self, sender: str, target: Committed, key: str) -> Committed:
        content = reaction_content(key, target.stored.event.event_id)
        room = self.rooms[target.room.room_nid]
        return self.happens(self.event(sender, room, "m.reaction", content))

    def redacts(self, sender: str, target: Committed) -> Committed:
        room = self.rooms[target.room.room_nid]
        redacts = target.stored.event.event_id
        return self.happens(self.event(sender, room, "m.room.redaction", {}, redacts=redacts))

    def reads(self, reader: str, target: Committed, **more: bool) -> None:
        person = self.person(reader)
        self.marks.offer(
            [
                Mark(
                    self.marks.position + 1,
                    target.room.room_nid,
                    target.room.uuid,
                    target.stored.facts.uuid,
                    person.user_nid,
                    person.uuid,
                    self.clock.now_ms(),
                    **more,
                )
            ]
        )

    def types(self, name: str, room: Room, *, active: bool = True) -> None:
        for listener in self._typing:
            listener(room.record, self.person(name), active)

    def appears(self, name: str, status: str) -> None:
        for listener in self._presence:
            listener(self.person(name), status, self.clock.now_ms())

    def _name_of(self, committed: Committed) -> str:
        return committed.sender.user_id[1:].partition(":")[0]

    # Clients

    async def connects(self, name: str, *, cursor: str | None = None, **more: Any) -> Client:
        self.person(name)
        query = "" if cursor is None else f"?cursor={cursor}"
        headers = {"Authorization": f"Bearer {name}"}
        return Client(await self.opens(query, headers, **more))

    async def opens(self, query: str = "", headers: dict[str, str] | None = None, **more: Any):
        """The socket stays open to the end of the play, whether or not the test keeps it."""
        uri = f"ws://127.0.0.1:{self.port}/ws{query}"
        socket = await connect(
            uri,
            additional_headers=headers or {},
            ping_interval=None,
            compression=None,
            proxy=None,
            **more,
        )
        self._sockets.append(socket)
        return socket

    def ends(self) -> None:
        """The clients are gone, whatever they have not read."""
        for socket in self._sockets:
            socket.transport.abort()

    # What stands in for the engine

    def _needs(self) -> Needs:
        return Needs(
            config=self.config,
            events=self.events,
            marks=self.marks,
            typing_stream=SimpleNamespace(subscribe=self._typing.append),
            presence_stream=SimpleNamespace(subscribe=self._presence.append),
            people=_People(self),
            bus=self.bus,
            send=_Send(self),
            receipts=_Receipts(self),
            typing=_Typing(self),
            presence=_Presence(self),
            encryption=SimpleNamespace(
                device_keys=None,
                one_time_keys=None,
                to_device=None,
                to_device_tail=Stream(),
                device_list_tail=Stream(),
            ),
            encryption_sync=None,
            views=_Views(self),
            requester_of=self._requester_of,
            authenticator=_Authenticator(self),
            rate_limits=RateLimits(settings=self.config.rate_limits, clock=self.clock),
            metrics=self.metrics,
            clock=self.clock,
        )

    async def _requester_of(self, claims: Any) -> Requester | None:
        name = next(n for n, p in self.people.items() if p.uuid == claims.user_uuid)
        return None if claims.session_uuid in self.ended_sessions else self.requester(name)


class _Authenticator:
    """A token is a name; "nobody" is not let in."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def authenticate(self, token: str, *, address: str | None = None) -> Requester:
        if token not in self._stage.people:
            raise NotAuthenticated("The access token is not valid.")
        return self._stage.requester(token)

    def redeem_ticket(self, ticket: str, *, address: str | None = None) -> Requester:
        name = self._stage.tickets.pop(ticket, None)
        if name is None:
            raise NotAuthenticated("The ticket is not valid: it is used up, or too old.")
        return self._stage.requester(name)


class _People:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def by_user_id(self, user_id: UserID) -> Person | None:
        return next((p for p in self._stage.people.values() if p.user_id == user_id), None)

    async def by_uuid(self, uuid: UUID) -> Person | None:
        return next((p for p in self._stage.people.values() if p.uuid == uuid), None)


class _Send:
    """Commits at once, when the stage's gate is open."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def message(self, by, room_uuid, text, **_more) -> Sent:
        await self._stage.gate.wait()
        room = next((r for r in self._stage.rooms.values() if r.uuid == room_uuid), None)
        if room is None:
            raise NotFound("Room not found", kind="room")
        name = by.device_id
        if name not in room.members:
            raise NotAllowed("You are not in this room")
        if text == "crash":
            raise ZeroDivisionError
        self._stage.calls.append(("message", name, text))
        return _sent(self._stage.says(name, room, text))

    async def edit(self, by, message, text, *, ref=None) -> Sent:
        return _sent(self._stage.edits(self._target(message), text))

    async def react(self, by, message, key, *, ref=None) -> Sent:
        return _sent(self._stage.reacts(by.device_id, self._target(message), key))

    async def unreact(self, by, message, key, *, ref=None) -> Sent:
        return _sent(self._stage.redacts(by.device_id, self._reaction(message, key)))

    async def delete(self, by, message, *, ref=None) -> Sent:
        return _sent(self._stage.redacts(by.device_id, self._target(message)))

    def _target(self, message: UUID) -> Committed:
        for row in self._stage.events.rows:
            if row.stored.facts.uuid == message:
                return row
        raise NotFound("Message not found", kind="message")

    def _reaction(self, message: UUID, key: str) -> Committed:
        for row in self._stage.events.rows:
            relation = relation_of(row.stored.event)
            if relation and native_uuid(relation.event_id) == message and relation.key == key:
                return row
        raise NotFound("You have not reacted with this.", kind="reaction")


def _sent(committed: Committed) -> Sent:
    event, facts = committed.stored.event, committed.stored.facts
    return Sent(
        facts.uuid, committed.room.uuid, event.event_id, event.origin_server_ts, facts.position
    )


class _Receipts:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def read(self, by, room_uuid, message) -> None:
        self._stage.calls.append(("read", by.device_id, message))

    def delivered(self, user_nid, room_nid, event_nid, position) -> None:
        self._stage.deliveries.append((user_nid, room_nid, event_nid, position))


class _Typing:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def start(self, by, room_uuid) -> None:
        self._stage.calls.append(("typing", by.device_id, room_uuid))

    async def stop(self, by, room_uuid) -> None:
        self._stage.calls.append(("typing stopped", by.device_id, room_uuid))


class _Presence:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def connected(self, by, number) -> None:
        self._stage.presences.append((by.device_id, number, "connected"))

    async def update(self, by, number, status) -> None:
        self._stage.presences.append((by.device_id, number, status))

    async def disconnected(self, by, number) -> None:
        self._stage.presences.append((by.device_id, number, "disconnected"))


class _Views:
    """Reads of the made-up engine. `lookups` is closed by tests that hold lookups up."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.lookups = asyncio.Event()
        self.lookups.set()
        stage.views = self
        self.asked: dict[str, int] = defaultdict(int)

    async def subscriptions(self, user_nid: int) -> Subscriptions:
        rooms = frozenset(
            nid
            for nid, room in self._stage.rooms.items()
            if any(self._stage.people[name].user_nid == user_nid for name in room.members)
        )
        return Subscriptions(self._stage.events.position, rooms)

    async def replay(self, user_nid, after, upto, limit) -> list[Committed]:
        self.asked["replay"] += 1
        rooms = (await self.subscriptions(user_nid)).room_nids
        rows = [
            row
            for row in self._stage.events.rows
            if after < row.position <= upto and row.room.room_nid in rooms
        ]
        return rows[:limit]

    async def reads(self, user_nid, after, upto, limit) -> list[Mark]:
        return [row for row in self._stage.marks.rows if after < row.position <= upto][:limit]

    async def unread(self, user_nid, room_nid) -> int:
        return 3

    def peek_unread(self, user_nid, room_nid) -> int | None:
        """After the last message nothing is unread; otherwise it must be looked up."""
        messages = [
            row
            for row in self._stage.events.rows
            if row.room.room_nid == room_nid and row.stored.facts.is_message
        ]
        read = [row.message_uuid for row in self._stage.marks.rows[-1:]]
        return 0 if read == [messages[-1].stored.facts.uuid] else None

    def peek_read(self, user_nid, room_nid) -> int | None:
        return None

    def on_recount(self, listener, listens) -> None:
        """Nobody's count is changed by messages of his own or deletions."""

    async def message(self, message_uuid: UUID) -> MessageView | None:
        await self.lookups.wait()
        rows = self._stage.events.rows
        target = next((row for row in rows if row.stored.facts.uuid == message_uuid), None)
        if target is None:
            return None
        edits = [
            row.stored.event
            for row in rows
            if (relation := relation_of(row.stored.event))
            and relation.rel_type == "m.replace"
            and relation.event_id == target.stored.event.event_id
        ]
        text = (edits[-1].content["m.new_content"] if edits else target.stored.event.content)[
            "body"
        ]
        return MessageView(
            event=target.stored.event,
            uuid=message_uuid,
            room_uuid=target.room.uuid,
            position=target.position,
            sender=target.sender,
            text=text,
            created_at_ms=target.stored.event.origin_server_ts,
            edited_at_ms=edits[-1].origin_server_ts if edits else None,
            reply_to=None,
            thread=None,
            thread_count=0,
            reactions=(),
            deleted_at_ms=None,
        )

    async def removed(self, redaction: Committed):
        await self.lookups.wait()
        redacts = redaction.stored.event.redacts
        target = next(r for r in self._stage.events.rows if r.stored.event.event_id == redacts)
        relation = relation_of(target.stored.event)
        if relation is None:
            return RemovedMessage(target.stored.facts.uuid)
        return RemovedReaction(native_uuid(relation.event_id), relation.key or "")

    async def room(self, room_nid: int) -> RoomDetails | None:
        await self.lookups.wait()
        self.asked["room"] += 1
        room = self._stage.rooms.get(room_nid)
        if room is None:
            return None
        members = tuple(self._stage.people[name] for name in room.members)
        return RoomDetails(
            uuid=room.uuid,
            room_id=room.record.room_id,
            kind=room.record.kind,
            name=room.name,
            topic=None,
            avatar_url=None,
            created_at_ms=room.record.created_at,
            public=False,
            history_visibility="shared",
            members=members[:250],
            member_count=len(members),
            role=None,
        )

    async def user(self, user_uuid: UUID) -> UserView | None:
        person = await _People(self._stage).by_uuid(user_uuid)
        if person is None:
            return None
        return UserView(user_uuid, person.user_id, person.name, None, None, "online")


def settings(**websocket: Any) -> Config:
    """Settings without limits of requests; those of WebSockets as given."""
    presence = websocket.pop("presence", {})
    server = websocket.pop("server", {})
    return Config(
        server=ServerConfig(**server),
        websocket=WebSocketConfig(**websocket),
        presence=PresenceConfig(**presence),
        rate_limits=RateLimitsConfig(enabled=websocket.get("frames_burst") is not None),
    )


@asynccontextmanager
async def on_stage(**websocket: Any) -> AsyncIterator[Stage]:
    """A stage whose server runs. Its clock stands still; `stage.live` is what it runs."""
    stage = Stage(settings(**websocket))
    gate = Gate(
        addresses=ClientAddresses(trusted_proxies=()),
        dialect=NativeDialect(cors_origins=()),
        rate_limits=RateLimits(settings=RateLimitsConfig(enabled=False), clock=stage.clock),
        metrics=stage.metrics,
        clock=stage.clock,
        new_request_id=lambda: "request",
    )
    application = gate.application(max_body_bytes=1000)
    application.router.add_get("/ws", stage.live.websockets.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stage.port = runner.addresses[0][1]
    stage.live.start()
    try:
        yield stage
    finally:
        stage.ends()
        await stage.live.drain(grace_s=5.0)
        await runner.cleanup()
