"""Machines of several people, and a server that is nothing but values: what was uploaded, what
waits for whom. Nothing is asynchronous; time stands still unless it is moved.

    world = World()
    alice, bob = world.device("@alice:x", "A"), world.device("@bob:x", "B")
    room = world.room(alice, bob)
    event = alice.says(room, "hello")
    assert bob.reads(event) == "hello"
"""

import random
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from e2e.client.errors import MissingRoomKey
from e2e.client.inbound_groups import Decrypted
from e2e.client.key_sharing import Audience
from e2e.client.machine import Machine
from e2e.client.notices import Notice
from e2e.client.records import FETCHED
from e2e.client.requests import (
    ClaimKeys,
    CreateBackup,
    PutBackupKeys,
    QueryKeys,
    Request,
    SendRoomEvent,
    SendToDevice,
    UploadCrossSigning,
    UploadKeys,
    UploadSignatures,
)
from e2e.client.vault import Key, NotLoaded, Vault

T = TypeVar("T")

NOON_MS = 1_700_000_000_000
_MANY = 50


@dataclass
class Room:
    """Who is in it, and what was sent, encrypted or not."""

    room_id: str
    members: list[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class World:
    """The server."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS
        self.devices: dict[str, dict[str, Any]] = {}
        self.one_time: dict[tuple[str, str], dict[str, Any]] = {}
        self.fallback: dict[tuple[str, str], dict[str, Any]] = {}
        self.used_fallbacks: set[tuple[str, str]] = set()
        self.identities: dict[str, dict[str, Any]] = {}
        self.queues: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.changed: dict[tuple[str, str], set[str]] = {}
        self.backup: dict[str, Any] | None = None
        self.backup_rooms: dict[str, Any] = {}
        self.people: list[Person] = []
        self.rooms: list[Room] = []
        self.seen_txn_ids: set[str] = set()
        self.asked: list[Request] = []

    def device(self, user_id: str, device_id: str, audience: Audience = Audience.ALL) -> "Person":
        """A new device, which has uploaded its keys."""
        person = Person(self, user_id, device_id, audience)
        self.people.append(person)
        person.settles()
        return person

    def room(self, *members: "Person", encryption: Mapping[str, Any] | None = None) -> Room:
        """An encrypted room with these in it."""
        room = Room(f"!room{len(self.rooms)}:x", [])
        self.rooms.append(room)
        for person in members:
            self.joins(room, person)
        content = {"algorithm": "m.megolm.v1.aes-sha2", **(encryption or {})}
        self.set_state(room, "m.room.encryption", content)
        return room

    def joins(self, room: Room, person: "Person") -> None:
        if person.user_id not in room.members:
            room.members.append(person.user_id)
        for event_type, content in room.state.items():
            person.step(lambda m, t=event_type, c=content: m.room_state(room.room_id, t, c))
        self._tell_changed(person.user_id)

    def leaves(self, room: Room, user_id: str) -> None:
        room.members.remove(user_id)
        for person in self.in_room(room):
            person.step(lambda machine: machine.member_left(room.room_id))

    def set_state(self, room: Room, event_type: str, content: Mapping[str, Any]) -> None:
        room.state[event_type] = content
        for person in self.in_room(room):
            person.step(lambda machine: machine.room_state(room.room_id, event_type, content))

    def in_room(self, room: Room) -> list["Person"]:
        return [person for person in self.people if person.user_id in room.members]

    def logs_out(self, person: "Person") -> None:
        place = (person.user_id, person.device_id)
        self.people.remove(person)
        del self.devices[person.user_id][person.device_id]
        for stored in (self.one_time, self.fallback, self.queues):
            stored.pop(place, None)
        self._tell_changed(person.user_id)

    def answer(self, request: Request, by: "Person") -> dict[str, Any]:
        """What a homeserver would."""
        self.asked.append(request)
        handlers: dict[type, Callable[[Any, Person], dict[str, Any]]] = {
            UploadKeys: self._upload,
            QueryKeys: self._query,
            ClaimKeys: self._claim,
            SendToDevice: self._send,
            SendRoomEvent: self._send_room,
            UploadCrossSigning: self._cross_signing,
            UploadSignatures: self._signatures,
            CreateBackup: self._create_backup,
            PutBackupKeys: self._put_backup,
        }
        # Through the wire: what is not JSON would fail here.
        answer = handlers[type(request)](request, by)
        found: dict[str, Any] = orjson.loads(orjson.dumps(answer))
        return found

    def _upload(self, request: UploadKeys, by: "Person") -> dict[str, Any]:
        place = (by.user_id, by.device_id)
        body = deepcopy(dict(request.body))
        if "device_keys" in body:
            self.devices.setdefault(by.user_id, {})[by.device_id] = body["device_keys"]
            self._tell_changed(by.user_id)
        self.one_time.setdefault(place, {}).update(body.get("one_time_keys", {}))
        if "fallback_keys" in body:
            self.fallback[place] = body["fallback_keys"]
            self.used_fallbacks.discard(place)
        return {"one_time_key_counts": self.counts(place)}

    def counts(self, place: tuple[str, str]) -> dict[str, int]:
        return {"signed_curve25519": len(self.one_time.get(place, {}))}

    def _query(self, request: QueryKeys, by: "Person") -> dict[str, Any]:
        answer: dict[str, Any] = {"failures": {}, "device_keys": {}}
        for user_id in request.body["device_keys"]:
            answer["device_keys"][user_id] = self.devices.get(user_id, {})
            for usage, key in self.identities.get(user_id, {}).items():
                if usage != "user_signing_key" or user_id == by.user_id:
                    answer.setdefault(f"{usage}s", {})[user_id] = self._visible(key, user_id, by)
        return deepcopy(answer)

    def _visible(self, key: dict[str, Any], owner: str, by: "Person") -> dict[str, Any]:
        """Nobody sees the signatures of other users' user-signing keys."""
        signatures = key.get("signatures", {})
        allowed = {u: s for u, s in signatures.items() if u in (owner, by.user_id)}
        return {**key, "signatures": allowed}

    def _claim(self, request: ClaimKeys, by: "Person") -> dict[str, Any]:
        claimed: dict[str, Any] = {}
        for user_id, device_id in request.devices:
            place = (user_id, device_id)
            keys = self.one_time.get(place, {})
            if keys:
                key_id = next(iter(keys))
                found = {key_id: keys.pop(key_id)}
            else:
                found = self.fallback.get(place, {})
                self.used_fallbacks.add(place)
            if found:
                claimed.setdefault(user_id, {})[device_id] = found
        return {"failures": {}, "one_time_keys": claimed}

    def _send(self, request: SendToDevice, by: "Person") -> dict[str, Any]:
        if request.txn_id in self.seen_txn_ids:
            return {}
        self.seen_txn_ids.add(request.txn_id)
        for user_id, devices in request.messages.items():
            for device_id, content in devices.items():
                names = self.devices.get(user_id, {}) if device_id == "*" else [device_id]
                for name in names:
                    event = {"type": request.event_type, "sender": by.user_id, "content": content}
                    self.queues.setdefault((user_id, name), []).append(event)
        return {}

    def _send_room(self, request: SendRoomEvent, by: "Person") -> dict[str, Any]:
        room = next(room for room in self.rooms if room.room_id == request.room_id)
        return {"event_id": self.post(room, by, request.event_type, request.content)["event_id"]}

    def post(
        self, room: Room, by: "Person", event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        event = {
            "type": event_type,
            "content": dict(content),
            "sender": by.user_id,
            "room_id": room.room_id,
            "event_id": f"$event{len(room.events)}{room.room_id}",
            "origin_server_ts": self.now_ms,
        }
        room.events.append(event)
        for person in self.in_room(room):
            person.unread.append(event)
        return event

    def _cross_signing(self, request: UploadCrossSigning, by: "Person") -> dict[str, Any]:
        self.identities[by.user_id] = deepcopy(dict(request.body))
        self._tell_changed(by.user_id)
        return {}

    def _signatures(self, request: UploadSignatures, by: "Person") -> dict[str, Any]:
        for user_id, objects in request.body.items():
            for name, signed in objects.items():
                self._add_signatures(self._signable(user_id, name), signed)
            self._tell_changed(user_id)
        return {"failures": {}}

    def _signable(self, user_id: str, name: str) -> dict[str, Any]:
        if name in self.devices[user_id]:
            found: dict[str, Any] = self.devices[user_id][name]
            return found
        keys = self.identities[user_id].values()
        return next(key for key in keys if f"ed25519:{name}" in key["keys"])

    def _add_signatures(self, stored: dict[str, Any], signed: Mapping[str, Any]) -> None:
        for signer, signatures in signed["signatures"].items():
            stored.setdefault("signatures", {}).setdefault(signer, {}).update(signatures)

    def _create_backup(self, request: CreateBackup, by: "Person") -> dict[str, Any]:
        self.backup = {**request.body, "version": "1"}
        self.backup_rooms = {}
        return {"version": "1"}

    def _put_backup(self, request: PutBackupKeys, by: "Person") -> dict[str, Any]:
        for room_id, room in request.body["rooms"].items():
            sessions = self.backup_rooms.setdefault(room_id, {"sessions": {}})["sessions"]
            sessions.update(room["sessions"])
        return {"count": 1, "etag": "1"}

    def _tell_changed(self, user_id: str) -> None:
        for person in self.people:
            person.changed.add(user_id)


class Person:
    """A device: a machine on a vault, whose rows lie in a dictionary as in a store."""

    def __init__(
        self, world: World, user_id: str, device_id: str, audience: Audience = Audience.ALL
    ) -> None:
        self.world = world
        self.user_id = user_id
        self.device_id = device_id
        self.audience = audience
        self.rows: dict[Key, bytes] = {}
        self.random = random.Random(f"{user_id} {device_id}")
        self.changed: set[str] = set()
        self.unread: list[dict[str, Any]] = []
        self.notices: list[Notice] = []
        self.starts()
        self.step(lambda machine: machine.track([user_id]))

    def starts(self) -> None:
        """As after a crash: all that is known is what was stored."""
        eager = {key: row for key, row in self.rows.items() if key.kind not in FETCHED}
        self.vault = Vault(eager, fetched=FETCHED)
        Machine.prepare(self.vault, user_id=self.user_id, device_id=self.device_id)
        self._store()
        self.machine = Machine(
            vault=self.vault, entropy=self.random.randbytes, audience=self.audience
        )

    def step(self, action: Callable[[Machine], T]) -> T:
        """One step, stored."""
        for _ in range(_MANY):
            try:
                result = action(self.machine)
            except NotLoaded as need:
                self.vault.rollback()
                self.vault.learn({key: self.rows.get(key) for key in need.keys})
                continue
            except Exception:
                self.vault.rollback()
                raise
            self._store()
            return result
        raise AssertionError("the step needs ever more")

    def _store(self) -> None:
        for key, row in self.vault.changes().items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.vault.commit()

    def now(self) -> int:
        return self.world.now_ms

    def settles(self) -> None:
        """Sends everything that waits, until nothing does."""
        for _ in range(_MANY):
            requests = self.step(lambda machine: machine.outgoing(now_ms=self.now()))
            if not requests:
                return
            for request in requests:
                self.sends(request)
        raise AssertionError(f"{self.user_id} never settles: {requests}")

    def sends(self, request: Request) -> None:
        answer = self.world.answer(request, self)
        self.notices += self.step(
            lambda machine: machine.answered(request, answer, now_ms=self.now())
        )

    def syncs(self) -> list[Notice]:
        """Once; and sends what follows."""
        place = (self.user_id, self.device_id)
        to_device = self.world.queues.pop(place, [])
        changed, self.changed = self.changed, set()
        is_unused = place in self.world.fallback and place not in self.world.used_fallbacks
        before = len(self.notices)
        self.notices += self.step(
            lambda machine: machine.receive_sync(
                to_device=to_device,
                changed=changed,
                key_counts=self.world.counts(place),
                unused_fallbacks=["signed_curve25519"] if is_unused else [],
                now_ms=self.now(),
            )
        )
        self.settles()
        self._reads_verifications()
        return self.notices[before:]

    def _reads_verifications(self) -> None:
        unread, self.unread = self.unread, []
        for event in unread:
            self.notices += self.step(
                lambda machine, event=event: machine.verification.room_event(
                    event["room_id"], event, now_ms=self.now()
                )
            )
        self.settles()

    def shares(self, room: Room) -> None:
        """What comes before a message."""
        members = list(room.members)
        self.step(lambda machine: machine.track(members))
        self.syncs()
        claim = self.step(lambda machine: machine.claim(members, now_ms=self.now()))
        if claim is not None:
            self.sends(claim)

    def encrypts(self, room: Room, text: str) -> dict[str, Any]:
        content = {"msgtype": "m.text", "body": text}
        return self.step(
            lambda machine: machine.encrypt(
                room.room_id, room.members, "m.room.message", content, now_ms=self.now()
            )
        )

    def says(self, room: Room, text: str) -> dict[str, Any]:
        """The event in the room; the keys are delivered."""
        self.shares(room)
        content = self.encrypts(room, text)
        self.settles()
        return self.world.post(room, self, "m.room.encrypted", content)

    def decrypts(self, event: dict[str, Any]) -> Decrypted:
        return self.step(lambda machine: machine.decrypt(event))

    def reads(self, event: dict[str, Any]) -> str:
        """The text, after a sync."""
        self.syncs()
        return str(self.decrypts(event).content["body"])

    def lacks_key_of(self, event: dict[str, Any]) -> MissingRoomKey:
        """Why the event cannot be read."""
        self.syncs()
        try:
            self.decrypts(event)
        except MissingRoomKey as missing:
            return missing
        raise AssertionError("it can be read")

    def trusts(self, other: "Person") -> None:
        """Compared the keys of one device by hand."""
        self.step(lambda m: m.trust.mark_device(other.user_id, other.device_id, "verified"))

    def bootstraps(self) -> None:
        """A new identity, uploaded."""
        self.step(lambda machine: machine.identity.bootstrap())
        self.settles()
        self.syncs()


def all_sync(*people: Person, rounds: int = 6) -> None:
    """Until every message has gone back and forth."""
    for _ in range(rounds):
        for person in people:
            person.syncs()
