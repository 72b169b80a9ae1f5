"""Cross-signing, verification, and what devices of one user share."""

from typing import Any

import nio
import pytest
import vodozemac
from nio.crypto import OlmDevice
from nio.crypto import sas as nio_sas
from olm.sas import Sas as OlmSas

from e2e.client.errors import (
    BadKeys,
    BadSecret,
    IdentitiesChanged,
    MissingRoomKey,
    VerificationImpossible,
)
from e2e.client.key_sharing import Audience
from e2e.client.notices import (
    BundleArrived,
    IdentityChanged,
    RoomKeyArrived,
    SecretArrived,
    VerificationChanged,
)
from e2e.client.primitives import x25519_public
from e2e.client.records import KeyRequest, LocalTrust, Source
from e2e.client.trust import Trust
from e2e.client.verification import qr, sas
from e2e.client.verification.dialects import METHODS, Dialect
from e2e.client.verification.emoji import EMOJI
from e2e.client.verification.flow import Flow, State
from homeserver.events import base64
from tests.support.olm_world import NOON_MS, Person, Room, World, all_sync


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


def flow_of(person: Person, other: str) -> Flow:
    return next(f for _, f in person.vault.all(Flow) if f.other_user == other)


def trust(person: Person, other: Person) -> Trust:
    device = person.machine.tracking.device(other.user_id, other.device_id)
    return person.machine.trust.of_device(device)


def ready(asker: Person, answerer: Person, room: Room | None = None) -> tuple[str, str]:
    """A verification that both want. Returns the flow's names on both sides."""
    for one, other in ((asker, answerer), (answerer, asker)):
        one.step(lambda m, user_id=other.user_id: m.track([user_id]))
        one.syncs()
    if room is None:
        asker.step(lambda m: m.verification.request(answerer.user_id, now_ms=asker.now()))
    else:
        asker.step(lambda m: m.verification.request_in_room(room.room_id, answerer.user_id))
    all_sync(asker, answerer, rounds=2)
    flow = flow_of(answerer, asker.user_id)
    answerer.step(lambda m: m.verification.accept(flow))
    answerer.settles()
    all_sync(asker, answerer, rounds=2)
    return (answerer.user_id, flow.flow_id), (asker.user_id, flow.flow_id)


def compare(asker: Person, answerer: Person, room: Room | None = None) -> tuple[Flow, Flow]:
    """Short strings on both sides."""
    asks, answers = ready(asker, answerer, room)
    asker.step(lambda m: m.verification.start_sas(m.verification.get(*asks)))
    asker.settles()
    all_sync(answerer, asker)
    return asker.machine.verification.get(*asks), answerer.machine.verification.get(*answers)


def verify(asker: Person, answerer: Person, room: Room | None = None) -> None:
    ours, theirs = compare(asker, answerer, room)
    asker.step(lambda m: m.verification.confirm(ours, now_ms=asker.now()))
    answerer.step(lambda m: m.verification.confirm(theirs, now_ms=answerer.now()))
    for person in (asker, answerer):
        person.settles()
    all_sync(asker, answerer)


class TestCrossSigning:
    def test_a_new_identity_signs_its_device(self, world, alice, bob, room):
        alice.bootstraps()
        bob.shares(room)
        assert trust(bob, alice) is Trust.CROSS_SIGNED
        assert alice.machine.identity.is_complete()
        assert alice.machine.trust.is_verified("@alice:x")

    def test_a_new_device_is_not_signed(self, world, alice, bob, room):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        bob.shares(room)
        assert trust(bob, new) is Trust.UNSIGNED

    def test_by_default_only_signed_devices_get_keys(self, world, alice, room):
        careful = world.device("@careful:x", "CAREFUL", Audience.CROSS_SIGNED)
        world.joins(room, careful)
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        event = careful.says(room, "for signed devices")
        assert alice.reads(event) == "for signed devices"
        assert new.lacks_key_of(event).withheld == "m.unverified"

    def test_a_replaced_identity_stops_messages_until_it_is_seen(self, world, alice, bob, room):
        alice.bootstraps()
        bob.says(room, "fine")
        alice.bootstraps()
        with pytest.raises(IdentitiesChanged) as changed:
            bob.says(room, "to whom?")
        assert changed.value.user_ids == ["@alice:x"]
        assert IdentityChanged("@alice:x", was_verified=False) in bob.notices
        assert trust(bob, alice) is Trust.CHANGED
        bob.step(lambda m: m.trust.acknowledge("@alice:x"))
        assert alice.reads(bob.says(room, "to you")) == "to you"

    def test_a_subordinate_key_that_the_master_did_not_sign_signs_nothing(
        self, world, alice, bob, room
    ):
        alice.bootstraps()
        key = world.identities["@alice:x"]["self_signing_key"]
        key["signatures"] = {}
        bob.shares(room)
        assert trust(bob, alice) is Trust.UNSIGNED

    def test_a_server_cannot_take_an_identity_away(self, world, alice, bob, room):
        alice.bootstraps()
        bob.shares(room)
        del world.identities["@alice:x"]
        bob.changed.add("@alice:x")
        bob.shares(room)
        assert trust(bob, alice) is Trust.CROSS_SIGNED

    def test_a_device_that_is_named_like_the_master_key_is_refused(self, world, alice, bob, room):
        alice.bootstraps()
        (name,) = world.identities["@alice:x"]["master_key"]["keys"].values()
        world.device("@alice:x", name)
        bob.shares(room)
        assert bob.machine.tracking.device("@alice:x", name) is None

    def test_private_keys_that_do_not_fit_are_refused(self, world, alice):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        new.syncs()
        wrong = base64.encode(bytes(32))
        with pytest.raises(BadSecret):
            new.step(lambda m: m.identity.import_secret("m.cross_signing.master", wrong))
        right = alice.machine.identity.secret("m.cross_signing.master")
        new.step(lambda m: m.identity.import_secret("m.cross_signing.master", right))
        assert new.machine.trust.is_verified("@alice:x")


class TestShortStrings:
    """ "SAS HKDF calculation", "MAC calculation", against other libraries."""

    STARTER = ("@alice:x", "ALICE")
    ACCEPTER = ("@bob:x", "BOB")

    def test_the_table_has_all_numbers(self):
        assert len(EMOJI) == 64
        assert len(set(EMOJI)) == 64

    def test_as_vodozemac_computes_them(self):
        theirs = vodozemac.Sas()
        private = bytes(range(32))
        public = base64.encode(sas_public(private))
        their_public = theirs.public_key.to_base64()
        established = theirs.diffie_hellman(vodozemac.Curve25519PublicKey.from_base64(public))
        secret = sas.shared_secret(private, their_public)
        ours = sas.short_strings(
            secret,
            starter=sas.Party(*self.STARTER, public),
            accepter=sas.Party(*self.ACCEPTER, their_public),
            transaction_id="T",
        )
        info = f"MATRIX_KEY_VERIFICATION_SAS|@alice:x|ALICE|{public}|@bob:x|BOB|{their_public}|T"
        found = established.bytes(info)
        assert ours.decimals == tuple(found.decimals)
        assert ours.emoji == tuple(EMOJI[index] for index in found.emoji_indices)
        macs = sas.Macs(
            secret, sender=self.STARTER, receiver=self.ACCEPTER, transaction_id="T"
        ).make({"ed25519:ALICE": "key"})
        mac_info = "MATRIX_KEY_VERIFICATION_MAC@alice:xALICE@bob:xBOBT"
        assert macs["mac"]["ed25519:ALICE"] == established.calculate_mac(
            "key", f"{mac_info}ed25519:ALICE"
        )
        assert macs["keys"] == established.calculate_mac("ed25519:ALICE", f"{mac_info}KEY_IDS")

    def test_as_libolm_computes_macs(self):
        theirs = OlmSas()
        private = bytes(range(32))
        theirs.set_their_pubkey(base64.encode(sas_public(private)))
        secret = sas.shared_secret(private, theirs.pubkey)
        macs = sas.Macs(
            secret, sender=self.STARTER, receiver=self.ACCEPTER, transaction_id="T"
        ).make({"ed25519:ALICE": "key"})
        info = "MATRIX_KEY_VERIFICATION_MAC@alice:xALICE@bob:xBOBTed25519:ALICE"
        assert macs["mac"]["ed25519:ALICE"] == theirs.calculate_mac_fixed_base64("key", info)

    def test_as_libolm_once_wrote_macs(self):
        theirs = OlmSas()
        private = bytes(range(32))
        theirs.set_their_pubkey(base64.encode(sas_public(private)))
        macs = sas.Macs(
            sas.shared_secret(private, theirs.pubkey),
            sender=self.STARTER,
            receiver=self.ACCEPTER,
            transaction_id="T",
            dialect=Dialect.LIBOLM,
        ).make({"ed25519:ALICE": "key"})
        info = "MATRIX_KEY_VERIFICATION_MAC@alice:xALICE@bob:xBOBTed25519:ALICE"
        assert macs["mac"]["ed25519:ALICE"] == theirs.calculate_mac("key", info)

    def test_keys_that_were_added_on_the_way_are_noticed(self):
        macs = sas.Macs(bytes(32), sender=self.STARTER, receiver=self.ACCEPTER, transaction_id="T")
        content = macs.make({"ed25519:A": "a"})
        assert macs.check(content, {"ed25519:A": "a"}) == {"ed25519:A"}
        content["mac"]["ed25519:B"] = content["mac"]["ed25519:A"]
        with pytest.raises(BadKeys):
            macs.check(content, {"ed25519:A": "a"})


def sas_public(private: bytes) -> bytes:
    return x25519_public(private)


def start_of(flow: Flow, **change: Any) -> dict[str, Any]:
    """Alice's, of SAS."""
    content = {
        "from_device": "ALICE",
        "transaction_id": flow.flow_id,
        "method": "m.sas.v1",
        "key_agreement_protocols": ["curve25519-hkdf-sha256"],
        "hashes": ["sha256"],
        "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
        "short_authentication_string": ["decimal"],
        **change,
    }
    return {"type": "m.key.verification.start", "sender": "@alice:x", "content": content}


def tell(world: World, person: Person, step: str, message: nio.ToDeviceMessage) -> None:
    """A message of nio's, which is Alice's."""
    event = {
        "type": f"m.key.verification.{step}",
        "sender": "@alice:x",
        "content": message.content,
    }
    world.queues.setdefault((person.user_id, person.device_id), []).append(event)


def told(world: World, person: Person, kind: Any) -> Any:
    """The next message that waits for a device, as nio reads it."""
    return kind.from_dict(world.queues[person.user_id, person.device_id].pop(0))


class TestSas:
    """ "Short Authentication String (SAS) verification"."""

    def test_both_sides_show_the_same(self, alice, bob):
        ours, theirs = compare(alice, bob)
        strings = alice.machine.verification.short_strings(ours)
        assert strings == bob.machine.verification.short_strings(theirs)
        assert (len(strings.emoji), len(strings.decimals)) == (7, 3)

    def test_devices_of_users_without_identities_are_verified(self, alice, bob):
        verify(alice, bob)
        assert trust(alice, bob) is trust(bob, alice) is Trust.VERIFIED
        assert flow_of(alice, "@bob:x").state is flow_of(bob, "@alice:x").state is State.DONE

    def test_users_with_identities_sign_each_other(self, world, alice, bob, room):
        alice.bootstraps()
        bob.bootstraps()
        verify(alice, bob)
        assert alice.machine.trust.is_verified("@bob:x")
        bob_too = world.device("@bob:x", "BOB2")
        bob_too.syncs()
        secret = bob.machine.identity.secret
        for name in ("m.cross_signing.master", "m.cross_signing.self_signing"):
            bob_too.step(lambda m, n=name: m.identity.import_secret(n, secret(n)))
        bob_too.step(lambda m: m.identity.sign_own_device("BOB2"))
        bob_too.settles()
        alice.shares(room)
        assert trust(alice, bob_too) is Trust.VERIFIED

    def test_another_device_of_the_same_user_learns_it_from_the_signature(self, world, alice, bob):
        alice.bootstraps()
        bob.bootstraps()
        verify(alice, bob)
        new = world.device("@alice:x", "ALICE2")
        verify(alice, new)
        new.step(lambda m: m.track(["@bob:x"]))
        new.syncs()
        assert new.machine.trust.is_verified("@bob:x")

    def test_in_a_room(self, alice, bob, room):
        alice.bootstraps()
        bob.bootstraps()
        verify(alice, bob, room)
        assert alice.machine.trust.is_verified("@bob:x")
        assert bob.machine.trust.is_verified("@alice:x")
        sent = {event["type"] for event in room.events}
        assert "m.key.verification.done" in sent
        relation = {"rel_type": "m.reference", "event_id": room.events[0]["event_id"]}
        assert all(event["content"]["m.relates_to"] == relation for event in room.events[1:])

    def test_a_mismatch_cancels_and_verifies_nothing(self, alice, bob):
        ours, _ = compare(alice, bob)
        alice.step(lambda m: m.verification.reject(ours))
        alice.settles()
        all_sync(bob, alice)
        theirs = flow_of(bob, "@alice:x")
        assert (theirs.state, theirs.code) == (State.CANCELLED, "m.mismatched_sas")
        assert trust(alice, bob) is trust(bob, alice) is Trust.UNSIGNED
        with pytest.raises(VerificationImpossible):
            bob.step(lambda m: m.verification.confirm(theirs, now_ms=0))

    def test_a_man_in_the_middle_who_changes_the_key_is_caught(self, world, alice, bob):
        """The commitment covers the key that is shown later."""
        asks, _ = ready(alice, bob)
        alice.step(lambda m: m.verification.start_sas(m.verification.get(*asks)))
        alice.settles()
        bob.syncs()
        alice.syncs()
        bob.syncs()
        for event in world.queues["@alice:x", "ALICE"]:
            if event["type"] == "m.key.verification.key":
                event["content"]["key"] = base64.encode(sas_public(b"m" * 32))
        alice.syncs()
        assert flow_of(alice, "@bob:x").code == "m.mismatched_commitment"

    def test_changed_macs_verify_nothing(self, world, alice, bob):
        ours, _ = compare(alice, bob)
        alice.step(lambda m: m.verification.confirm(ours, now_ms=0))
        alice.settles()
        for event in world.queues["@bob:x", "BOB"]:
            event["content"]["mac"] = dict.fromkeys(event["content"]["mac"], "AAAA")
        bob.syncs()
        assert flow_of(bob, "@alice:x").code == "m.key_mismatch"

    def test_keys_that_change_during_the_verification_are_not_trusted(self, world, alice, bob):
        alice.bootstraps()
        bob.bootstraps()
        ours, theirs = compare(alice, bob)
        bob.step(lambda m: m.identity.bootstrap())
        bob.settles()
        bob.step(lambda m: m.verification.confirm(theirs, now_ms=0))
        alice.step(lambda m: m.verification.confirm(ours, now_ms=0))
        all_sync(alice, bob)
        assert not alice.machine.trust.is_verified("@bob:x")

    def test_when_both_start_the_smaller_user_wins(self, alice, bob):
        asks, answers = ready(alice, bob)
        alice.step(lambda m: m.verification.start_sas(m.verification.get(*asks)))
        bob.step(lambda m: m.verification.start_sas(m.verification.get(*answers)))
        alice.settles()
        bob.settles()
        all_sync(alice, bob)
        ours, theirs = flow_of(alice, "@bob:x"), flow_of(bob, "@alice:x")
        assert (ours.sas.we_started, theirs.sas.we_started) == (True, False)
        assert alice.machine.verification.short_strings(
            ours
        ) == bob.machine.verification.short_strings(theirs)

    def test_other_devices_hear_that_one_has_accepted(self, world, alice, bob):
        bob_too = world.device("@bob:x", "BOB2")
        alice.step(lambda m: m.track(["@bob:x"]))
        alice.syncs()
        alice.step(lambda m: m.verification.request("@bob:x", now_ms=alice.now()))
        alice.settles()
        all_sync(bob, bob_too)
        flow = flow_of(bob, "@alice:x")
        bob.step(lambda m: m.verification.accept(flow))
        bob.settles()
        all_sync(alice, bob_too)
        assert flow_of(bob_too, "@alice:x").code == "m.accepted"
        assert flow_of(alice, "@bob:x").other_device == "BOB"

    def test_it_is_given_up_after_ten_minutes(self, world, alice, bob):
        compare(alice, bob)
        world.now_ms += 600_000
        alice.syncs()
        assert not list(alice.vault.all(Flow))
        queue = world.queues["@bob:x", "BOB"]
        assert [event["content"].get("code") for event in queue] == ["m.timeout"]

    def test_a_request_from_long_ago_is_ignored(self, world, alice, bob):
        alice.step(lambda m: m.track(["@bob:x"]))
        alice.syncs()
        alice.step(lambda m: m.verification.request("@bob:x", now_ms=alice.now()))
        alice.settles()
        world.now_ms += 600_000
        bob.syncs()
        assert not list(bob.vault.all(Flow))

    def test_a_start_without_a_request_is_answered(self, world, alice, bob):
        for one, other in ((alice, "@bob:x"), (bob, "@alice:x")):
            one.step(lambda m, user_id=other: m.track([user_id]))
            one.syncs()
        content = {
            "from_device": "ALICE",
            "transaction_id": "T",
            "method": "m.sas.v1",
            "key_agreement_protocols": ["curve25519-hkdf-sha256"],
            "hashes": ["sha256"],
            "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
            "short_authentication_string": ["decimal"],
        }
        start = {"type": "m.key.verification.start", "sender": "@alice:x", "content": content}
        world.queues["@bob:x", "BOB"] = [start]
        assert VerificationChanged("@alice:x", "T") in bob.syncs()
        (accept,) = world.queues["@alice:x", "ALICE"]
        assert accept["type"] == "m.key.verification.accept"
        assert accept["content"]["commitment"] == sas.commitment(
            flow_of(bob, "@alice:x").sas.public, content
        )

    @pytest.mark.parametrize(
        ("macs", "chosen"),
        [
            (["hkdf-hmac-sha256", "hkdf-hmac-sha256.v2"], "hkdf-hmac-sha256.v2"),
            (["hkdf-hmac-sha256", "hmac-sha256"], "hkdf-hmac-sha256"),
        ],
    )
    def test_the_older_mac_is_for_those_who_have_no_other(self, world, alice, bob, macs, chosen):
        ready(alice, bob)
        flow = flow_of(bob, "@alice:x")
        world.queues["@bob:x", "BOB"] = [start_of(flow, message_authentication_codes=macs)]
        bob.syncs()
        accept = world.queues["@alice:x", "ALICE"][-1]["content"]
        assert accept["message_authentication_code"] == chosen
        assert len(accept["commitment"]) == 43

    @pytest.mark.parametrize("alice_starts", [True, False])
    def test_matrix_nio_is_answered_as_it_writes(self, world, alice, bob, alice_starts):
        """Its class, as it is."""
        their_device = OlmDevice("@bob:x", "BOB", {"ed25519": bob.machine.device.ed25519})
        sas_of_nio = ("@alice:x", "ALICE", alice.machine.device.ed25519, their_device)
        bob.step(lambda m: m.track(["@alice:x"]))
        bob.syncs()
        if alice_starts:
            theirs = nio_sas.Sas(*sas_of_nio)
            tell(world, bob, "start", theirs.start_verification())
            bob.syncs()
            theirs.receive_accept_event(told(world, alice, nio.KeyVerificationAccept))
            tell(world, bob, "key", theirs.share_key())
            bob.syncs()
            theirs.receive_key_event(told(world, alice, nio.KeyVerificationKey))
        else:
            bob.step(lambda m: m.verification.start_at_once("@alice:x", "ALICE", now_ms=NOON_MS))
            bob.settles()
            start = told(world, alice, nio.KeyVerificationStart)
            theirs = nio_sas.Sas.from_key_verification_start(*sas_of_nio, start)
            tell(world, bob, "accept", theirs.accept_verification())
            bob.syncs()
            theirs.receive_key_event(told(world, alice, nio.KeyVerificationKey))
            tell(world, bob, "key", theirs.share_key())
            bob.syncs()
        flow = flow_of(bob, "@alice:x")
        shown = bob.step(lambda m: m.verification.short_strings(flow))
        assert (shown.emoji, shown.decimals) == ((), tuple(theirs.get_decimals()))
        bob.step(lambda m: m.verification.confirm(flow, now_ms=NOON_MS))
        bob.settles()
        theirs.accept_sas()
        theirs.receive_mac_event(told(world, alice, nio.KeyVerificationMac))
        assert theirs.verified
        tell(world, bob, "mac", theirs.get_mac())
        bob.syncs()
        assert flow_of(bob, "@alice:x").state is State.DONE

    @pytest.mark.parametrize("dialect", Dialect)
    def test_a_key_that_was_not_committed_to_is_refused(self, world, alice, bob, dialect):
        ready(alice, bob)
        flow = alice.step(lambda m: m.verification.start_sas(flow_of(alice, "@bob:x")))
        alice.settles()
        other_key = base64.encode(bytes(range(1, 33)))
        content = {
            "key_agreement_protocol": "curve25519-hkdf-sha256",
            "hash": "sha256",
            "message_authentication_code": METHODS[dialect],
            "short_authentication_string": ["decimal"],
            "commitment": sas.commitment(other_key, flow.sas.start, dialect),
            "transaction_id": flow.flow_id,
        }
        accept = {"type": "m.key.verification.accept", "sender": "@bob:x", "content": content}
        shown = {"key": base64.encode(bytes(range(2, 34))), "transaction_id": flow.flow_id}
        key = {"type": "m.key.verification.key", "sender": "@bob:x", "content": shown}
        world.queues["@alice:x", "ALICE"] = [accept, key]
        alice.syncs()
        assert flow_of(alice, "@bob:x").code == "m.mismatched_commitment"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"hashes": ["md5"]}, "m.unknown_method"),
            ({"message_authentication_codes": ["hmac-sha256"]}, "m.unknown_method"),
            ({"message_authentication_codes": "hkdf-hmac-sha256.v2"}, "m.unknown_method"),
            ({"method": "m.smoke.v1"}, "m.unknown_method"),
            ({"hashes": None}, "m.invalid_message"),
        ],
    )
    def test_a_start_that_is_of_no_use_is_cancelled(self, world, alice, bob, change, code):
        ready(alice, bob)
        flow = flow_of(bob, "@alice:x")
        world.queues["@bob:x", "BOB"] = [start_of(flow, **change)]
        bob.syncs()
        assert flow_of(bob, "@alice:x").code == code

    def test_a_message_out_of_sequence_is_cancelled(self, world, alice, bob):
        ready(alice, bob)
        flow = flow_of(bob, "@alice:x")
        content = {"transaction_id": flow.flow_id, "mac": {}, "keys": ""}
        event = {"type": "m.key.verification.mac", "sender": "@alice:x", "content": content}
        world.queues["@bob:x", "BOB"] = [event]
        bob.syncs()
        assert flow_of(bob, "@alice:x").code == "m.unexpected_message"

    def test_it_survives_a_restart(self, alice, bob):
        ours, theirs = compare(alice, bob)
        alice.starts()
        again = alice.machine.verification.get("@bob:x", ours.flow_id)
        assert alice.machine.verification.short_strings(
            again
        ) == bob.machine.verification.short_strings(theirs)


class TestQrCodes:
    """ "QR codes"."""

    def test_the_specs_example(self):
        code = qr.Code(
            qr.Mode.ANOTHER_USER,
            "!ABCD",
            base64.encode(bytes(range(32))),
            base64.encode(bytes(range(16, 48))),
            bytes(range(0x20, 0x28)),
        )
        raw = code.encode()
        assert raw.startswith(bytes.fromhex("4d 41 54 52 49 58 02 00 00 05 21 41 42 43 44"))
        assert raw.endswith(bytes.fromhex("20 21 22 23 24 25 26 27"))
        assert qr.decode(raw) == code

    @pytest.mark.parametrize("cut", [0, 3, 7, 9, 20, 60, 79])
    def test_what_is_cut_off_is_refused(self, cut):
        key = base64.encode(bytes(32))
        raw = qr.Code(qr.Mode.ANOTHER_USER, "!ABCD", key, key, b"secret").encode()
        with pytest.raises(BadKeys):
            qr.decode(raw[:cut])

    def shown(self, shower: Person, name: tuple[str, str]) -> bytes:
        return shower.step(lambda m: m.verification.show_qr(m.verification.get(*name)))

    def scanned(self, scanner: Person, name: tuple[str, str], raw: bytes) -> Flow:
        flow = scanner.step(lambda m: m.verification.scan_qr(m.verification.get(*name), raw))
        scanner.settles()
        return flow

    def confirmed(self, shower: Person, name: tuple[str, str]) -> Flow:
        shower.syncs()
        return shower.step(
            lambda m: m.verification.confirm(m.verification.get(*name), now_ms=shower.now())
        )

    def test_one_scan_verifies_both(self, alice, bob):
        alice.bootstraps()
        bob.bootstraps()
        asks, answers = ready(alice, bob)
        raw = self.shown(bob, answers)
        assert self.scanned(alice, asks, raw).state is State.CONFIRMED
        assert alice.machine.trust.is_verified("@bob:x")
        assert not bob.machine.trust.is_verified("@alice:x")
        assert self.confirmed(bob, answers).state is State.DONE
        assert bob.machine.trust.is_verified("@alice:x")
        all_sync(bob, alice, rounds=2)
        assert flow_of(alice, "@bob:x").state is State.DONE

    def test_a_code_with_other_keys_cancels(self, alice, bob):
        alice.bootstraps()
        bob.bootstraps()
        asks, answers = ready(alice, bob)
        code = qr.decode(self.shown(bob, answers))
        wrong = qr.Code(
            code.mode, code.flow_id, code.first_key, base64.encode(bytes(32)), code.secret
        )
        assert self.scanned(alice, asks, wrong.encode()).code == "m.key_mismatch"
        bob.syncs()
        assert flow_of(bob, "@alice:x").state is State.CANCELLED

    def test_a_wrong_secret_cancels(self, world, alice, bob):
        alice.bootstraps()
        bob.bootstraps()
        asks, answers = ready(alice, bob)
        code = qr.decode(self.shown(bob, answers))
        guess = qr.Code(code.mode, code.flow_id, code.first_key, code.second_key, b"guessing")
        self.scanned(alice, asks, guess.encode())
        bob.syncs()
        assert flow_of(bob, "@alice:x").code == "m.key_mismatch"
        assert not bob.machine.trust.is_verified("@alice:x")

    @pytest.mark.parametrize("new_shows", [True, False])
    def test_a_new_device_of_ones_own(self, world, alice, new_shows):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        asks, answers = ready(new, alice)
        if new_shows:
            raw = self.shown(new, asks)
            self.scanned(alice, answers, raw)
            self.confirmed(new, asks)
        else:
            raw = self.shown(alice, answers)
            self.scanned(new, asks, raw)
            self.confirmed(alice, answers)
        all_sync(alice, new)
        assert qr.decode(raw).mode == (
            qr.Mode.SELF_NOT_TRUSTING if new_shows else qr.Mode.SELF_TRUSTING
        )
        assert new.machine.trust.is_verified("@alice:x")
        assert trust(alice, new) is Trust.VERIFIED

    def test_without_an_identity_there_is_nothing_to_show(self, alice, bob):
        _, answers = ready(alice, bob)
        with pytest.raises(VerificationImpossible):
            self.shown(bob, answers)


class TestOwnDevices:
    """Self-verification, secrets and room keys between devices of one user."""

    def test_a_verified_device_gets_all_secrets(self, world, alice):
        alice.bootstraps()
        private = alice.step(lambda m: m.backup.create())
        alice.settles()
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        assert new.machine.identity.is_complete()
        assert {n.name for n in new.notices if isinstance(n, SecretArrived)} == {
            "m.cross_signing.master",
            "m.cross_signing.self_signing",
            "m.cross_signing.user_signing",
            "m.megolm_backup.v1",
        }
        assert trust(alice, new) is Trust.VERIFIED
        description = {**world.backup, "version": "1"}
        new.step(lambda m: m.backup.adopt(description, private))

    def test_an_unverified_device_gets_none(self, world, alice):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        new.syncs()
        new.step(lambda m: m.secrets.ask("m.cross_signing.master", now_ms=0))
        new.settles()
        all_sync(alice, new)
        assert new.machine.identity.secret("m.cross_signing.master") is None

    def test_a_secret_that_was_not_asked_for_is_refused(self, world, alice):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        before = new.machine.identity.secrets
        device = alice.machine.tracking.device("@alice:x", "ALICE2")
        content = {"request_id": "unknown", "secret": base64.encode(bytes(32))}
        alice.step(
            lambda m: m._parts.outbox.send(
                "m.room.encrypted",
                {
                    "@alice:x": {
                        "ALICE2": m._parts.olm_events.encrypt(device, "m.secret.send", content)
                    }
                },
            )
        )
        alice.settles()
        new.syncs()
        assert new.machine.identity.secrets == before

    def test_a_room_key_is_forwarded_to_a_verified_device(self, world, alice, bob, room):
        alice.bootstraps()
        event = bob.says(room, "old news")
        assert alice.reads(event) == "old news"
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        missing = new.lacks_key_of(event)
        new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        new.settles()
        all_sync(alice, new)
        assert new.reads(event) == "old news"
        origin = new.decrypts(event).origin
        assert (origin.source, origin.trust) == (Source.FORWARDED, None)
        assert not list(new.vault.all(KeyRequest))

    def test_not_to_one_that_is_not_verified(self, world, alice, bob, room):
        event = bob.says(room, "old news")
        alice.reads(event)
        new = world.device("@alice:x", "ALICE2")
        missing = new.lacks_key_of(event)
        new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        new.settles()
        all_sync(alice, new)
        new.lacks_key_of(event)

    def test_not_to_other_users(self, world, alice, bob, room):
        event = bob.says(room, "old news")
        alice.reads(event)
        mallory = world.device("@mallory:x", "MALLORY")
        content = {
            "action": "request",
            "request_id": "1",
            "requesting_device_id": "MALLORY",
            "body": {"room_id": room.room_id, "session_id": event["content"]["session_id"]},
        }
        request = {"type": "m.room_key_request", "sender": "@mallory:x", "content": content}
        world.queues["@alice:x", "ALICE"] = [request]
        alice.syncs()
        assert world.queues.get((mallory.user_id, mallory.device_id), []) == []

    def test_a_device_without_the_key_says_so(self, world, alice, bob, room):
        alice.bootstraps()
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        event = {"content": {"sender_key": "x"}}
        missing = MissingRoomKey(room.room_id, "no such session")
        new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        new.settles()
        all_sync(alice, new)
        withheld = [event for event in new.notices if getattr(event, "code", "") == "m.unavailable"]
        assert len(withheld) == 1

    def test_what_was_asked_for_before_the_device_was_verified_is_asked_for_again(
        self, world, alice, bob, room
    ):
        event = bob.says(room, "hello")
        alice.reads(event)
        new = world.device("@alice:x", "ALICE2")
        missing = new.lacks_key_of(event)
        new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        new.settles()
        alice.syncs()
        verify(alice, new)
        all_sync(alice, new)
        assert new.reads(event) == "hello"

    def test_it_can_be_asked_for_again_after_one_device_refused(self, world, alice, bob, room):
        event = bob.says(room, "hello")
        new = world.device("@alice:x", "ALICE2")
        verify(alice, new)
        missing = new.lacks_key_of(event)
        assert new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        assert not new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))
        new.settles()
        session_id = event["content"]["session_id"]
        alice.step(
            lambda m: m._parts.sharing.tell_withheld(
                m.tracking.device("@alice:x", "ALICE2"), room.room_id, session_id, "m.unavailable"
            )
        )
        alice.settles()
        new.syncs()
        assert new.step(lambda m: m.ask_for_key(event, missing, now_ms=new.now()))

    def test_a_forwarded_key_that_nobody_asked_for_is_refused(self, world, alice, bob, room):
        alice.bootstraps()
        event = bob.says(room, "old news")
        alice.reads(event)
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        device = alice.machine.tracking.device("@alice:x", "ALICE2")
        session_id = event["content"]["session_id"]

        def forward(machine):
            group = machine._parts.inbound.get(session_id)
            machine._parts.requests._forward(device, group)

        alice.step(forward)
        alice.settles()
        new.lacks_key_of(event)


class TestBackup:
    def restored(self, world: World, private: bytes) -> Person:
        new = world.device("@alice:x", "ALICE2")
        new.syncs()
        new.step(lambda m: m.backup.adopt(world.backup, private))
        counts = new.step(lambda m: m.backup.restore({"rooms": world.backup_rooms}, private))
        assert counts[1] == 0
        return new

    def test_a_new_device_reads_what_was_said_before(self, world, alice, bob, room):
        alice.bootstraps()
        first = bob.says(room, "before the backup")
        alice.reads(first)
        private = alice.step(lambda m: m.backup.create())
        alice.settles()
        second = bob.says(room, "after it")
        alice.reads(second)
        new = self.restored(world, private)
        assert [new.reads(first), new.reads(second)] == ["before the backup", "after it"]
        assert new.decrypts(first).origin.source is Source.BACKUP

    def test_it_holds_everything_that_was_known_before(self, world, alice, bob, room):
        events = [alice.says(room, "mine"), bob.says(room, "his")]
        alice.reads(events[1])
        alice.step(lambda m: m.backup.create())
        alice.settles()
        sessions = world.backup_rooms[room.room_id]["sessions"]
        assert set(sessions) == {event["content"]["session_id"] for event in events}

    def test_a_wrong_key_is_refused(self, world, alice):
        alice.step(lambda m: m.backup.create())
        alice.settles()
        with pytest.raises(BadSecret):
            alice.step(lambda m: m.backup.adopt(world.backup, bytes(32)))

    def test_a_backup_that_nobody_signed_is_refused(self, world, alice, bob):
        bob.step(lambda m: m.backup.create())
        bob.settles()
        with pytest.raises(BadKeys):
            alice.step(lambda m: m.backup.adopt(world.backup))

    def test_one_that_our_identity_signed_is_used(self, world, alice):
        alice.bootstraps()
        alice.step(lambda m: m.backup.create())
        alice.settles()
        new = world.device("@alice:x", "ALICE2")
        verify(new, alice)
        new.step(lambda m: m.backup.adopt(world.backup))
        assert new.machine.backup.current.version == "1"

    def test_a_damaged_session_does_not_stop_the_others(self, world, alice, bob, room):
        alice.reads(bob.says(room, "hello"))
        alice.says(room, "hello")
        private = alice.step(lambda m: m.backup.create())
        alice.settles()
        sessions = world.backup_rooms[room.room_id]["sessions"]
        next(iter(sessions.values()))["session_data"]["mac"] = "AAAA"
        new = world.device("@alice:x", "ALICE2")
        counts = new.step(lambda m: m.backup.restore({"rooms": world.backup_rooms}, private))
        assert counts == (1, 1)


class TestSharedHistory:
    """ "Sharing keys between users"."""

    def invited(self, world: World, alice: Person, room: Room) -> Person:
        charlie = world.device("@charlie:x", "CHARLIE")
        charlie.bootstraps()
        for one, other in ((alice, "@charlie:x"), (charlie, "@alice:x")):
            one.step(lambda m, user_id=other: m.track([user_id]))
            one.syncs()
        claim = alice.step(lambda m: m.bundles.claim("@charlie:x"))
        alice.sends(claim)
        return charlie

    def test_the_invited_read_what_was_shareable(self, world, alice, bob, room):
        alice.bootstraps()
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
        hidden = alice.says(room, "hidden")
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "shared"})
        shown = alice.says(room, "shown")
        charlie = self.invited(world, alice, room)
        bundle = alice.step(lambda m: m.bundles.build(room.room_id))
        assert [one["code"] for one in bundle["withheld"]] == ["m.history_not_shared"]
        file = {"url": "mxc://x/y"}
        assert alice.step(lambda m: m.bundles.share("@charlie:x", room.room_id, file)) == 1
        alice.settles()
        assert BundleArrived(room.room_id, "@alice:x") in charlie.syncs()
        waiting = charlie.machine.bundles.waiting(room.room_id, "@alice:x", now_ms=charlie.now())
        assert waiting.file == file
        notices = charlie.step(lambda m: m.bundles.take(waiting, bundle))
        assert len([n for n in notices if isinstance(n, RoomKeyArrived)]) == 1
        assert charlie.reads(shown) == "shown"
        charlie.lacks_key_of(hidden)
        origin = charlie.decrypts(shown).origin
        assert (origin.source, origin.shared_by) == (Source.BUNDLE, "@alice:x")

    def test_keys_of_other_rooms_are_ignored(self, world, alice, bob, room):
        alice.bootstraps()
        alice.says(room, "hello")
        charlie = self.invited(world, alice, room)
        bundle = alice.step(lambda m: m.bundles.build(room.room_id))
        alice.step(lambda m: m.bundles.share("@charlie:x", "!other:x", {"url": "mxc://x/y"}))
        alice.settles()
        charlie.syncs()
        waiting = charlie.machine.bundles.waiting("!other:x", "@alice:x", now_ms=charlie.now())
        assert charlie.step(lambda m: m.bundles.take(waiting, bundle)) == []

    def test_devices_that_are_not_signed_get_none(self, world, alice, bob, room):
        charlie = self.invited(world, alice, room)
        world.device("@charlie:x", "CHARLIE2")
        alice.syncs()
        sent = alice.step(lambda m: m.bundles.share("@charlie:x", room.room_id, {}))
        assert sent == 1
        del charlie

    def test_what_a_stranger_shares_waits_until_we_join_and_know_them(
        self, world, alice, bob, room
    ):
        alice.bootstraps()
        alice.says(room, "hello")
        charlie = world.device("@charlie:x", "CHARLIE")
        charlie.bootstraps()
        alice.step(lambda m: m.track(["@charlie:x"]))
        alice.syncs()
        alice.sends(alice.step(lambda m: m.bundles.claim("@charlie:x")))
        alice.step(lambda m: m.bundles.share("@charlie:x", room.room_id, {"url": "mxc://x/y"}))
        alice.settles()
        assert BundleArrived(room.room_id, "@alice:x") in charlie.syncs()
        assert charlie.step(lambda m: m.bundles.due(now_ms=charlie.now())) == []
        charlie.step(lambda m: m.bundles.accepted(room.room_id, "@bob:x", now_ms=charlie.now()))
        assert charlie.step(lambda m: m.bundles.due(now_ms=charlie.now())) == []
        charlie.step(lambda m: m.bundles.accepted(room.room_id, "@alice:x", now_ms=charlie.now()))
        charlie.starts()
        (due,) = charlie.step(lambda m: m.bundles.due(now_ms=charlie.now()))
        assert due.file == {"url": "mxc://x/y"}
        world.now_ms += 24 * 3_600_000
        assert charlie.step(lambda m: m.bundles.due(now_ms=charlie.now())) == []

    def test_what_an_unsigned_device_shares_is_refused(self, world, alice, bob, room):
        alice.bootstraps()
        alice.says(room, "hello")
        unsigned = world.device("@alice:x", "ALICE2")
        charlie = self.invited(world, unsigned, room)
        unsigned.step(lambda m: m.bundles.share("@charlie:x", room.room_id, {"url": "mxc://x/y"}))
        unsigned.settles()
        assert not [n for n in charlie.syncs() if isinstance(n, BundleArrived)]

    def test_after_a_day_it_is_too_late(self, world, alice, bob, room):
        alice.bootstraps()
        charlie = self.invited(world, alice, room)
        alice.step(lambda m: m.bundles.share("@charlie:x", room.room_id, {"url": "x"}))
        alice.settles()
        charlie.syncs()
        world.now_ms += 24 * 3_600_000
        assert (
            charlie.machine.bundles.waiting(room.room_id, "@alice:x", now_ms=charlie.now()) is None
        )


class TestFiles:
    def test_exported_room_keys_are_read_by_another_device(self, world, alice, bob, room):
        event = bob.says(room, "exported")
        alice.reads(event)
        sessions = alice.step(lambda m: m.export_room_keys([room.room_id]))
        new = world.device("@alice:x", "ALICE2")
        assert new.step(lambda m: m.import_room_keys([*sessions, {}])) == 1
        assert new.reads(event) == "exported"

    def test_an_earlier_ratchet_of_the_same_session_keeps_whose_it_is(
        self, world, alice, bob, room
    ):
        alice.says(room, "first")
        charlie = world.device("@charlie:x", "CHARLIE")
        world.joins(room, charlie)
        first = room.events[0]
        second = alice.says(room, "second")
        assert charlie.reads(second) == "second"
        sessions = alice.step(lambda m: m.export_room_keys([room.room_id]))
        assert charlie.step(lambda m: m.import_room_keys(sessions)) == 1
        assert charlie.reads(first) == "first"
        assert charlie.decrypts(first).origin.source is Source.DIRECT

    def test_a_session_under_another_id_is_refused(self, alice, bob, room):
        alice.says(room, "x")
        sessions = alice.step(lambda m: m.export_room_keys([room.room_id]))
        wrong = [{**sessions[0], "session_id": "another"}]
        assert bob.step(lambda m: m.import_room_keys(wrong)) == 0


class TestAudience:
    def test_verified_only(self, world, alice, bob, room):
        careful = world.device("@careful:x", "CAREFUL", Audience.VERIFIED)
        world.joins(room, careful)
        careful.shares(room)
        careful.step(lambda m: m.trust.mark_device("@bob:x", "BOB", LocalTrust.VERIFIED))
        event = careful.says(room, "for Bob")
        assert bob.reads(event) == "for Bob"
        assert alice.lacks_key_of(event).withheld == "m.unverified"
