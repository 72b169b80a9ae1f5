"""A client that reads and writes encrypted rooms, over the Matrix API or the native protocol.

async with Session.opened(credentials, store=…, http=…) as session:
    await session.send(room_id, "m.room.message", {"msgtype": "m.text", "body": "hello"})
    async for happening in session.happenings():
        …
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import aiohttp

from e2e.client.errors import MissingRoomKey, Undecryptable
from e2e.client.history_sharing import HistorySharing
from e2e.client.http import Homeserver
from e2e.client.inbound_groups import Decrypted
from e2e.client.keeper import Keeper
from e2e.client.key_sharing import Audience
from e2e.client.machine import Machine
from e2e.client.notices import Notice, RoomKeyArrived
from e2e.client.olm_events import ENCRYPTED
from e2e.client.requests import (
    QueryKeys,
    Request,
    SendRoomEvent,
    SendToDevice,
    UploadCrossSigning,
)
from e2e.client.rooms import ENCRYPTION_STATE, Room, Rooms, somebody_left, state_events
from e2e.client.server import Server, ServerRefused, Unreachable
from e2e.client.store.protocol import Store

T = TypeVar("T")

SYNC_MS = 30_000
_RETRY_S = 5.0
MAX_ROUNDS = 20
"""Of sending what is to be sent; each answer may lead to more."""

MAX_UNREAD = 500
"""Events that wait for their keys."""

_SINCE = "since"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one device. refresh_token: of the native protocol, whose access tokens end."""

    url: str
    user_id: str
    device_id: str
    access_token: str
    protocol: Literal["matrix", "native"] = "matrix"
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An event of a timeline. event: as it came, or with what was inside. decrypted: how it was
    encrypted. problem: why it cannot be read, or could not.
    """

    room_id: str
    event: dict[str, Any]
    decrypted: Decrypted | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    room_id: str
    sender: str
    name: str | None


Happening = Said | Invited | Notice

Clock = Callable[[], int]


class Session:
    """One device on one homeserver."""

    def __init__(self, *, server: Server, keeper: Keeper, user_id: str, clock: Clock) -> None:
        self.server = server
        self.keeper = keeper
        self.user_id = user_id
        self.rooms = Rooms(user_id)
        self._clock = clock
        self._history = HistorySharing(
            server=server, keeper=keeper, learn=self._learn_devices, clock=clock
        )
        self._since: str | None = None
        self._is_first = True
        self._unread: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._flushing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        credentials: Credentials,
        *,
        store: Store,
        http: aiohttp.ClientSession,
        clock: Clock,
        audience: Audience = Audience.CROSS_SIGNED,
        server: Server | None = None,
    ) -> AsyncIterator["Session"]:
        """With the device's keys on the server. The store is closed at the end. server: else the
        Matrix API at the URL of the credentials.
        """
        server = server or Homeserver(credentials.url, http=http, token=credentials.access_token)
        try:
            keeper = await Keeper.open(
                store,
                user_id=credentials.user_id,
                device_id=credentials.device_id,
                entropy=secrets.token_bytes,
                audience=audience,
            )
            session = cls(server=server, keeper=keeper, user_id=credentials.user_id, clock=clock)
            await keeper.run(lambda machine: machine.track([credentials.user_id]))
            await session.flush()
            yield session
        finally:
            await store.close()

    def now_ms(self) -> int:
        return self._clock()

    # Reading

    async def happenings(self) -> AsyncIterator[Happening]:
        """For ever. While the server cannot be reached it is tried again.
        Raises ServerRefused where it refuses, as after a logout.
        """
        while True:
            try:
                found = await self.sync(SYNC_MS)
            except Unreachable:
                await asyncio.sleep(_RETRY_S)
                continue
            for happening in found:
                yield happening

    async def sync(self, timeout_ms: int = 0) -> list[Happening]:
        """Once. The first of a session brings all state of all rooms. Raises ServerRefused,
        Unreachable.
        """
        answer = await self._ask(timeout_ms)
        since = str(answer["next_batch"])
        notices = await self.keeper.run_and_note(
            lambda machine: self._receive(machine, answer), _SINCE, since
        )
        self.rooms.apply(answer)
        self._since, self._is_first = since, False
        notices += await self._history.take()
        await self._know_senders(answer)
        happenings: list[Happening] = [*self._invitations(answer), *notices]
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            for event in room.get("timeline", {}).get("events", []):
                happenings += await self._said({**event, "room_id": room_id})
        happenings += await self._read_again(notices)
        return [*happenings, *await self.flush()]

    async def history(self, room_id: str, limit: int) -> list[Said]:
        """The newest events of a room, oldest first."""
        return [await self._read(event) for event in await self.server.history(room_id, limit)]

    async def readers(self, room: Room) -> list[str]:
        """Who should be able to read what is sent now. Raises ServerRefused, Unreachable."""
        members = await self.server.members(room.room_id)
        if members is not None:
            room.members = dict(members)
        return room.readers()

    # Writing

    async def send(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """The event's ID. Encrypted where the room is, after everybody who may read it has its
        key. Raises IdentitiesChanged, ServerRefused, Unreachable.
        """
        room = self.rooms.joined.get(room_id)
        if room is not None and room.encrypted:
            content = await self._encrypted(room, event_type, content)
            event_type = ENCRYPTED
        txn_id = secrets.token_hex(16)
        answer = await self.server.send_event(room_id, event_type, content, txn_id)
        return str(answer["event_id"])

    async def invite(self, room_id: str, user_id: str) -> int:
        """With the history, where the room has it so. Returns how many devices got that.
        Raises ServerRefused, Unreachable.
        """
        told = 0
        room = self.rooms.joined.get(room_id)
        if room is not None and room.encrypted:
            told = await self._history.share(room_id, user_id)
            await self._send_keys()
        await self.server.invite(room_id, user_id)
        return told

    async def join(self, room: str) -> str:
        """By ID or alias; an invitation is accepted. Returns the room's ID. What who invited us
        shares of the history is fetched by the syncs after it. Raises ServerRefused, Unreachable.
        """
        room_id = await self.server.join(room)
        await self.keeper.run(lambda machine: self._accept(machine, [room_id]))
        return room_id

    async def step(self, action: Callable[[Machine], T]) -> T:
        """A step of the machine, and what follows from it."""
        result = await self.keeper.run(action)
        await self.flush()
        return result

    async def flush(self) -> list[Notice]:
        """Sends everything that waits. What fails is tried again after the next sync."""
        notices: list[Notice] = []
        async with self._flushing:
            failed: list[Request] = []
            for _ in range(MAX_ROUNDS):
                waiting = await self.keeper.run(lambda m: m.outgoing(now_ms=self.now_ms()))
                # Who uploads an identity proves who they are, which `identity_setup.py` asks for.
                todo = [r for r in waiting if r not in failed and not _needs_user(r)]
                if not todo:
                    break
                for request in todo:
                    try:
                        notices += await self.perform(request)
                    except (ServerRefused, Unreachable):
                        failed.append(request)
        return notices

    async def perform(self, request: Request) -> list[Notice]:
        """One request and its answer. Raises ServerRefused, Unreachable."""
        sent = await self._sealed(request) if isinstance(request, SendRoomEvent) else request
        answer = await self.server.perform(sent)
        return await self.keeper.run(
            lambda machine: machine.answered(request, answer, now_ms=self.now_ms())
        )

    # Within

    async def _ask(self, timeout_ms: int) -> dict[str, Any]:
        since = self._since or await self.keeper.note(_SINCE)
        return await self.server.sync(since, timeout_ms=timeout_ms, full=self._is_first)

    def _accept(self, machine: Machine, room_ids: Iterable[str]) -> None:
        """Those of the rooms that we were invited to."""
        for room_id in room_ids:
            invitation = self.rooms.invited.get(room_id)
            if invitation is not None:
                machine.bundles.accepted(room_id, invitation.sender, now_ms=self.now_ms())

    def _receive(self, machine: Machine, answer: dict[str, Any]) -> list[Notice]:
        """One step: what a sync says is known all at once, with its token, or not at all."""
        lists = answer.get("device_lists", {})
        self._accept(machine, answer.get("rooms", {}).get("join", {}))
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            for event in state_events(room):
                if event["type"] in ENCRYPTION_STATE:
                    machine.room_state(room_id, event["type"], event["content"])
            if somebody_left(room, full_state=self._is_first):
                machine.member_left(room_id)
        return machine.receive_sync(
            to_device=answer.get("to_device", {}).get("events", []),
            changed=lists.get("changed", []),
            left=lists.get("left", []),
            key_counts=answer.get("device_one_time_keys_count", {}),
            unused_fallbacks=answer.get("device_unused_fallback_key_types"),
            now_ms=self.now_ms(),
        )

    async def _know_senders(self, answer: Mapping[str, Any]) -> None:
        """Whoever wrote something encrypted: their devices say how far it can be trusted."""
        senders = {
            str(event.get("sender"))
            for room in answer.get("rooms", {}).get("join", {}).values()
            for event in room.get("timeline", {}).get("events", [])
            if event.get("type") == ENCRYPTED
        }
        if senders:
            await self.step(lambda machine: machine.track(senders))

    def _invitations(self, answer: Mapping[str, Any]) -> list[Happening]:
        invited = (self.rooms.invited[r] for r in answer.get("rooms", {}).get("invite", {}))
        return [Invited(one.room_id, one.sender, one.name) for one in invited]

    async def _said(self, event: dict[str, Any]) -> list[Happening]:
        """An event, and what it means for verifications."""
        said = await self._read(event)
        notices = await self.keeper.run(
            lambda machine: machine.verification.room_event(
                event["room_id"], said.event, now_ms=self.now_ms()
            )
        )
        return [said, *notices]

    async def _read(self, event: dict[str, Any]) -> Said:
        room_id = str(event.get("room_id"))
        if event.get("type") != ENCRYPTED or "state_key" in event:
            return Said(room_id, event)
        try:
            decrypted = await self.keeper.run(lambda machine: machine.decrypt(event))
        except MissingRoomKey as missing:
            await self._wait_for_key(event, missing)
            return Said(room_id, event, problem=str(missing))
        except Undecryptable as error:
            return Said(room_id, event, problem=str(error))
        inside = {**event, "type": decrypted.type, "content": decrypted.content}
        return Said(room_id, inside, decrypted)

    async def _wait_for_key(self, event: dict[str, Any], missing: MissingRoomKey) -> None:
        self._unread[str(event.get("event_id"))] = event
        if len(self._unread) > MAX_UNREAD:
            self._unread.popitem(last=False)
        await self.keeper.run(
            lambda machine: machine.ask_for_key(event, missing, now_ms=self.now_ms())
        )

    async def _read_again(self, notices: list[Notice]) -> list[Happening]:
        """Events whose keys came late."""
        arrived = {notice.session_id for notice in notices if isinstance(notice, RoomKeyArrived)}
        happenings: list[Happening] = []
        for event_id, event in list(self._unread.items()):
            if event["content"].get("session_id") in arrived:
                del self._unread[event_id]
                happenings += [h for h in await self._said(event) if _is_readable(h)]
        return happenings

    async def _learn_devices(self, members: list[str]) -> None:
        """Asks about each user once: a server that fails keeps nobody from writing to others."""
        await self.keeper.run(lambda machine: machine.track(members))
        left = set(members)
        while query := await self._query(left):
            await self.perform(query)
            left -= query.serials.keys()

    async def _query(self, user_ids: Collection[str]) -> QueryKeys | None:
        return await self.keeper.run(lambda machine: machine.query(sorted(user_ids)))

    async def _encrypted(
        self, room: Room, event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        members = await self.readers(room)
        await self._learn_devices(members)
        claim = await self.keeper.run(lambda m: m.claim(members, now_ms=self.now_ms()))
        if claim is not None:
            await self.perform(claim)
        encrypted = await self.keeper.run(
            lambda machine: machine.encrypt(
                room.room_id, members, event_type, content, now_ms=self.now_ms()
            )
        )
        await self._send_keys()
        return encrypted

    async def _send_keys(self) -> None:
        """What lies in the outbox for devices, before the message that they shall read."""
        waiting = await self.keeper.run(lambda machine: machine.outgoing(now_ms=self.now_ms()))
        for request in waiting:
            if isinstance(request, SendToDevice):
                await self.perform(request)

    async def _sealed(self, request: SendRoomEvent) -> SendRoomEvent:
        """A message of a verification, encrypted if everybody can read it then.
        Source: "Key verification framework": encryption must not hinder the verification.
        """
        room = self.rooms.joined.get(request.room_id)
        if room is None or not room.encrypted:
            return request
        members = await self.readers(room)
        await self._learn_devices(members)
        if not await self.keeper.run(lambda machine: machine.reaches_all(members)):
            return request
        content = await self._encrypted(room, request.event_type, request.content)
        return replace(request, event_type=ENCRYPTED, content=content)


def _needs_user(request: Request) -> bool:
    return isinstance(request, UploadCrossSigning)


def _is_readable(happening: Happening) -> bool:
    return not isinstance(happening, Said) or happening.problem is None
