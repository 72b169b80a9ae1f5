"""What servers and strangers send may be anything: a machine refuses it, and goes on working."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from e2e.client import attachments, key_export, recovery_key
from e2e.client.errors import CryptoError
from e2e.client.requests import ClaimKeys, QueryKeys
from e2e.client.verification import qr
from tests.support.olm_world import Person, Room, World

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    "\0",
    "ed25519:",
    "=" * 50,
    [],
    [[]],
    [None, 1, {}],
    {},
    {"": {}},
    {"ed25519:X": 5},
    {"key": None, "signatures": []},
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON value, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def spoiled(value: Any, junk: Any) -> Iterator[Any]:
    """The value with one place replaced, for each of its places."""
    for at in range(len(list(places(value)))):
        copy = deepcopy(value)
        container, key = list(places(copy))[at]
        container[key] = deepcopy(junk)
        yield copy


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Person:
    return world.device("@alice:x", "ALICE")


@pytest.fixture
def bob(world: World) -> Person:
    return world.device("@bob:x", "BOB")


@pytest.fixture
def room(world: World, alice: Person, bob: Person) -> Room:
    return world.room(alice, bob)


def receives(person: Person, event: Any) -> None:
    person.step(lambda m: m.receive_sync(to_device=[event], now_ms=person.now()))


@pytest.mark.parametrize("junk", JUNK, ids=repr)
class TestBadInput:
    def test_answers_about_keys(self, world, alice, bob, room, junk):
        bob.bootstraps()
        alice.step(lambda m: m.track(["@bob:x"]))
        query = QueryKeys({"@bob:x": alice.machine.tracking.user("@bob:x").serial})
        answer = world.answer(query, alice)
        rows = dict(alice.rows)
        for bad in spoiled(answer, junk):
            alice.rows = dict(rows)
            alice.starts()
            alice.step(lambda m, bad=bad: m.answered(query, bad, now_ms=0))

    def test_claimed_keys(self, world, alice, bob, room, junk):
        alice.shares(room)
        claim = ClaimKeys((("@bob:x", "BOB"),))
        answer = world.answer(claim, alice)
        for bad in spoiled(answer, junk):
            alice.step(lambda m, bad=bad: m.answered(claim, bad, now_ms=0))

    def test_encrypted_to_device_messages(self, world, alice, bob, room, junk):
        alice.shares(room)
        alice.encrypts(room, "x")
        alice.settles()
        (event,) = world.queues["@bob:x", "BOB"]
        for bad in spoiled(event, junk):
            receives(bob, bad)

    def test_what_is_inside_of_them(self, world, alice, bob, room, junk):
        """Of a device that is allowed to talk to us, and means no good."""
        alice.shares(room)
        device = alice.machine.tracking.device("@bob:x", "BOB")
        contents = {
            "m.room_key": {
                "algorithm": "m.megolm.v1.aes-sha2",
                "room_id": room.room_id,
                "session_id": "x",
                "session_key": "x",
                "shared_history": True,
            },
            "m.forwarded_room_key": {"room_id": "x", "session_id": "x", "sender_key": "x"},
            "m.secret.send": {"request_id": "x", "secret": "x"},
            "m.room_key_bundle": {"room_id": "x", "file": {}},
        }
        for event_type, content in contents.items():
            for bad in spoiled(content, junk):
                encrypted = alice.step(
                    lambda m, t=event_type, c=bad: m._parts.olm_events.encrypt(device, t, c)
                )
                receives(
                    bob, {"type": "m.room.encrypted", "sender": "@alice:x", "content": encrypted}
                )

    def test_plain_to_device_messages(self, world, alice, bob, room, junk):
        bob.step(lambda m: m.track(["@alice:x"]))
        bob.syncs()
        now_ms = bob.now()
        events = {
            "m.room_key_request": {
                "action": "request",
                "requesting_device_id": "ALICE",
                "request_id": "x",
                "body": {"room_id": "x", "session_id": "x"},
            },
            "m.secret.request": {
                "action": "request",
                "requesting_device_id": "ALICE",
                "request_id": "x",
                "name": "x",
            },
            "m.room_key.withheld": {
                "algorithm": "m.megolm.v1.aes-sha2",
                "code": "m.no_olm",
                "sender_key": "x",
                "room_id": "x",
                "session_id": "x",
            },
            "m.key.verification.request": {
                "transaction_id": "x",
                "from_device": "ALICE",
                "methods": ["m.sas.v1"],
                "timestamp": now_ms,
            },
            "m.key.verification.start": {
                "transaction_id": "y",
                "from_device": "ALICE",
                "method": "m.sas.v1",
                "key_agreement_protocols": ["curve25519-hkdf-sha256"],
                "hashes": ["sha256"],
                "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
                "short_authentication_string": ["decimal"],
            },
            "m.key.verification.key": {"transaction_id": "y", "key": "x"},
            "m.key.verification.mac": {"transaction_id": "y", "mac": {}, "keys": "x"},
        }
        for event_type, content in events.items():
            event = {"type": event_type, "sender": "@alice:x", "content": content}
            for bad in (*spoiled(event, junk), event):
                receives(bob, bad)

    def test_room_events(self, alice, bob, room, junk):
        event = alice.says(room, "x")
        bob.syncs()
        for bad in spoiled(event, junk):
            try:
                bob.decrypts(bad)
            except CryptoError:
                continue
        request = {
            "type": "m.room.message",
            "sender": "@alice:x",
            "event_id": "$x",
            "origin_server_ts": bob.now(),
            "content": {
                "msgtype": "m.key.verification.request",
                "to": "@bob:x",
                "from_device": "ALICE",
                "methods": ["m.sas.v1"],
            },
        }
        for bad in spoiled(request, junk):
            bob.step(
                lambda m, bad=bad: m.verification.room_event(room.room_id, bad, now_ms=bob.now())
            )

    def test_backups_and_exports(self, world, alice, bob, room, junk):
        alice.says(room, "x")
        private = alice.step(lambda m: m.backup.create())
        alice.settles()
        answer = {"rooms": world.backup_rooms}
        for bad in spoiled(answer, junk):
            bob.step(lambda m, bad=bad: m.backup.restore(bad, private))
        for bad in spoiled(world.backup, junk):
            with pytest.raises(CryptoError):
                bob.step(lambda m, bad=bad: m.backup.adopt(bad))
        sessions = alice.step(lambda m: m.export_room_keys([room.room_id]))
        for bad in spoiled(sessions, junk):
            bob.step(lambda m, bad=bad: m.import_room_keys(bad))

    def test_room_state(self, alice, room, junk):
        for name in ("algorithm", "rotation_period_ms", "rotation_period_msgs"):
            content = {"algorithm": "m.megolm.v1.aes-sha2", name: junk}
            alice.step(lambda m, c=content: m.room_state("!r:x", "m.room.encryption", c))
        visibility = {"history_visibility": junk}
        alice.step(lambda m: m.room_state("!r:x", "m.room.history_visibility", visibility))

    def test_descriptions_of_files(self, junk):
        _, encryption = attachments.encrypt(b"x", random.Random(1).randbytes)
        for bad in spoiled(encryption.file("mxc://x/y"), junk):
            try:
                attachments.Decryption(bad)
            except CryptoError:
                continue


class TestBadBytes:
    def test_text_and_bytes_of_any_kind(self):
        chance = random.Random(3)
        for _ in range(500):
            raw = chance.randbytes(chance.randrange(120))
            for read, value in (
                (recovery_key.decode, raw.decode("latin-1")),
                (lambda text: key_export.decrypt(text, "x"), raw.decode("latin-1")),
                (qr.decode, b"MATRIX\x02" + raw),
            ):
                try:
                    read(value)
                except CryptoError:
                    continue
