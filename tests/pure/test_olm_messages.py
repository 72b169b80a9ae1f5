"""Machines that write to each other in rooms, over a server that is only values."""

import pytest

from e2e.client.errors import Forged, MissingRoomKey, NotEncrypted, Replayed
from e2e.client.notices import RoomKeyArrived, RoomKeyWithheld, ToDeviceRefused
from e2e.client.records import InboundGroup, LocalTrust, OlmPeer, Outgoing
from e2e.client.requests import ClaimKeys, SendToDevice
from e2e.client.trust import Trust
from tests.support.olm_world import Person, Room, World

DAY_MS = 24 * 3_600_000


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


class TestMessages:
    """C-S API v1.19, "m.megolm.v1.aes-sha2"."""

    def test_the_first_message_is_read(self, alice, bob, room):
        assert bob.reads(alice.says(room, "hello")) == "hello"

    def test_both_ways(self, alice, bob, room):
        bob.reads(alice.says(room, "hello"))
        assert alice.reads(bob.says(room, "hello yourself")) == "hello yourself"

    def test_the_sender_reads_its_own_message(self, alice, room):
        assert alice.reads(alice.says(room, "to myself")) == "to myself"

    def test_one_session_serves_many_messages(self, world, alice, bob, room):
        first = alice.says(room, "one")
        claims = sum(isinstance(request, ClaimKeys) for request in world.asked)
        sent = sum(isinstance(request, SendToDevice) for request in world.asked)
        second = alice.says(room, "two")
        assert second["content"]["session_id"] == first["content"]["session_id"]
        assert sum(isinstance(request, ClaimKeys) for request in world.asked) == claims
        assert sum(isinstance(request, SendToDevice) for request in world.asked) == sent
        assert [bob.reads(first), bob.reads(second)] == ["one", "two"]

    def test_a_relation_is_seen_by_the_server_and_by_the_reader(self, alice, bob, room):
        alice.shares(room)
        relation = {"rel_type": "m.thread", "event_id": "$root"}
        content = alice.step(
            lambda machine: machine.encrypt(
                room.room_id,
                room.members,
                "m.room.message",
                {"body": "x", "m.relates_to": relation},
                now_ms=0,
            )
        )
        assert content["m.relates_to"] == relation

    def test_a_room_without_encryption_takes_no_ciphertext(self, alice, room):
        with pytest.raises(NotEncrypted):
            alice.step(lambda m: m.encrypt("!plain:x", [], "m.room.message", {}, now_ms=0))

    def test_encryption_cannot_be_turned_off(self, world, alice, bob, room):
        world.set_state(room, "m.room.encryption", {})
        assert bob.reads(alice.says(room, "still secret")) == "still secret"

    def test_a_message_of_a_device_that_nobody_signed_says_so(self, alice, bob, room):
        event = alice.says(room, "hello")
        bob.shares(room)
        origin = bob.decrypts(event).origin
        assert (origin.device_id, origin.trust) == ("ALICE", Trust.UNSIGNED)

    def test_a_device_that_logged_out_gets_no_more_keys(self, world, alice, bob, room):
        bob_too = world.device("@bob:x", "BOB2")
        first = alice.says(room, "for both")
        assert bob_too.reads(first) == "for both"
        world.logs_out(bob_too)
        second = alice.says(room, "for one")
        assert second["content"]["session_id"] != first["content"]["session_id"]
        assert bob.reads(second) == "for one"


class TestRotation:
    """The four reasons to end a session."""

    def sessions(self, *events) -> int:
        return len({event["content"]["session_id"] for event in events})

    def test_after_so_many_messages(self, world, alice, bob):
        room = world.room(alice, bob, encryption={"rotation_period_msgs": 2})
        events = [alice.says(room, text) for text in "abc"]
        assert events[0]["content"]["session_id"] == events[1]["content"]["session_id"]
        assert self.sessions(*events) == 2
        assert [bob.reads(event) for event in events] == ["a", "b", "c"]

    def test_after_a_while(self, world, alice, bob, room):
        first = alice.says(room, "today")
        world.now_ms += 8 * DAY_MS
        assert self.sessions(first, alice.says(room, "next week")) == 2

    def test_a_period_that_is_no_number_is_the_default(self, world, alice, bob):
        room = world.room(alice, bob, encryption={"rotation_period_msgs": "2"})
        assert self.sessions(*[alice.says(room, text) for text in "abcd"]) == 1

    def test_when_somebody_leaves(self, world, alice, bob, room):
        charlie = world.device("@charlie:x", "CHARLIE")
        world.joins(room, charlie)
        first = alice.says(room, "for three")
        world.leaves(room, "@charlie:x")
        second = alice.says(room, "for two")
        assert self.sessions(first, second) == 2
        assert bob.reads(second) == "for two"
        assert charlie.reads(first) == "for three"
        assert charlie.lacks_key_of(second).withheld is None

    def test_when_the_history_becomes_visible(self, world, alice, bob, room):
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
        first = alice.says(room, "hidden")
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "invited"})
        second = alice.says(room, "hidden, too")
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "shared"})
        third = alice.says(room, "shown")
        assert self.sessions(first, second) == 1
        assert self.sessions(second, third) == 2
        bob.syncs()
        shareable = [
            bob.step(lambda m, e=e: m._parts.inbound.get(e["content"]["session_id"])).shared_history
            for e in (first, third)
        ]
        assert shareable == [False, True]


class TestLateJoiner:
    def test_reads_from_then_on_only(self, world, alice, bob, room):
        before = alice.says(room, "before")
        charlie = world.device("@charlie:x", "CHARLIE")
        world.joins(room, charlie)
        after = alice.says(room, "after")
        assert before["content"]["session_id"] == after["content"]["session_id"]
        assert charlie.reads(after) == "after"
        charlie.lacks_key_of(before)


class TestWithheld:
    def test_a_blocked_device_is_told(self, world, alice, bob, room):
        alice.says(room, "for everybody")
        bob_too = world.device("@bob:x", "BOB2")
        alice.syncs()
        alice.shares(room)
        alice.step(lambda m: m.trust.mark_device("@bob:x", "BOB2", LocalTrust.BLOCKED))
        event = alice.says(room, "not for that one")
        assert bob.reads(event) == "not for that one"
        assert bob_too.lacks_key_of(event).withheld == "m.blacklisted"

    def test_blocking_a_device_ends_the_session_that_it_has(self, alice, bob, room):
        first = alice.says(room, "for Bob")
        alice.step(lambda m: m.trust.mark_device("@bob:x", "BOB", LocalTrust.BLOCKED))
        second = alice.says(room, "not for Bob")
        assert bob.reads(first) == "for Bob"
        assert bob.lacks_key_of(second).withheld == "m.blacklisted"

    def test_it_is_told_once_a_session(self, world, alice, bob, room):
        alice.shares(room)
        alice.step(lambda m: m.trust.mark_device("@bob:x", "BOB", LocalTrust.BLOCKED))
        alice.says(room, "one")
        sent = sum(isinstance(request, SendToDevice) for request in world.asked)
        alice.says(room, "two")
        assert sum(isinstance(request, SendToDevice) for request in world.asked) == sent

    def test_a_device_without_keys_is_told_that_there_is_no_session(self, world, alice, bob, room):
        world.one_time[bob.user_id, bob.device_id].clear()
        world.fallback.clear()
        event = alice.says(room, "nobody hears")
        notices = bob.syncs()
        assert RoomKeyWithheld("@alice:x", None, None, "m.no_olm") in notices
        with pytest.raises(MissingRoomKey):
            bob.decrypts(event)

    def test_which_begins_a_session_then_and_gets_the_next_message(self, world, alice, bob, room):
        world.one_time[bob.user_id, bob.device_id].clear()
        world.fallback.clear()
        bob.step(lambda m: m.track(["@alice:x"]))
        bob.settles()
        alice.says(room, "nobody hears")
        bob.syncs()
        alice.syncs()
        assert bob.reads(alice.says(room, "now you do")) == "now you do"


class TestForgery:
    def test_a_place_in_a_session_is_for_one_event(self, world, alice, bob, room):
        event = alice.says(room, "pay 10")
        assert bob.reads(event) == "pay 10"
        assert bob.reads(event) == "pay 10"
        with pytest.raises(Replayed):
            bob.decrypts({**event, "event_id": "$again"})

    def test_the_room_is_inside(self, alice, bob, room):
        event = alice.says(room, "here")
        bob.syncs()
        with pytest.raises(Forged):
            bob.decrypts({**event, "room_id": "!elsewhere:x"})

    def test_nobody_else_sends_with_the_session(self, alice, bob, room):
        event = alice.says(room, "I am Alice")
        bob.syncs()
        with pytest.raises(Forged):
            bob.decrypts({**event, "sender": "@mallory:x"})

    def test_a_room_key_of_somebody_elses_device_does_not_pass(self, world, alice, bob, room):
        """Mallory knows Alice's session and sends it on as if it were hers."""
        mallory = world.device("@mallory:x", "MALLORY")
        world.joins(room, mallory)
        event = alice.says(room, "mine")
        assert mallory.reads(event) == "mine"
        stolen = {**event, "sender": "@mallory:x", "event_id": "$stolen"}
        bob.syncs()
        with pytest.raises(Forged):
            bob.decrypts(stolen)

    def test_a_to_device_message_under_another_name_is_refused(self, world, alice, bob, room):
        alice.shares(room)
        alice.encrypts(room, "x")
        alice.settles()
        queue = world.queues["@bob:x", "BOB"]
        queue[:] = [{**event, "sender": "@mallory:x"} for event in queue]
        notices = bob.syncs()
        assert not any(isinstance(notice, RoomKeyArrived) for notice in notices)
        assert any(isinstance(notice, ToDeviceRefused) for notice in notices)

    def test_a_room_key_outside_of_olm_is_ignored(self, world, alice, bob, room):
        content = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": room.room_id}
        event = {"type": "m.room_key", "sender": "@alice:x", "content": content}
        world.queues["@bob:x", "BOB"] = [event]
        assert bob.syncs() == []

    def test_one_bad_message_does_not_stop_the_others(self, world, alice, bob, room):
        event = alice.says(room, "heard")
        bad = [
            {"type": "m.room.encrypted", "sender": "@alice:x", "content": content}
            for content in (
                {},
                {"algorithm": "m.olm.v1.curve25519-aes-sha2"},
                {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "x", "ciphertext": {}},
                {
                    "algorithm": "m.olm.v1.curve25519-aes-sha2",
                    "sender_key": "x",
                    "ciphertext": {bob.machine.device.curve25519: {"type": 0, "body": "AAAA"}},
                },
            )
        ]
        queue = world.queues["@bob:x", "BOB"]
        queue[:] = [*bad, None, {"type": 1}, *queue]
        assert bob.reads(event) == "heard"


class TestKeys:
    """C-S API v1.19, "One-time and fallback keys", "Uploading keys"."""

    def test_half_of_what_fits_is_uploaded(self, world, alice):
        assert len(world.one_time["@alice:x", "ALICE"]) == 50

    def test_claimed_ones_are_replaced(self, world, alice, bob, room):
        alice.says(room, "hello")
        assert len(world.one_time["@bob:x", "BOB"]) == 49
        bob.syncs()
        assert len(world.one_time["@bob:x", "BOB"]) == 50

    def test_the_fallback_key_serves_when_all_are_claimed_and_is_replaced(
        self, world, alice, bob, room
    ):
        world.one_time["@bob:x", "BOB"].clear()
        before = world.fallback["@bob:x", "BOB"]
        assert bob.reads(alice.says(room, "hello")) == "hello"
        assert world.fallback["@bob:x", "BOB"] != before

    def test_the_fallback_key_before_still_serves_for_an_hour(self, world, alice, bob, room):
        charlie = world.device("@charlie:x", "CHARLIE")
        world.joins(room, charlie)
        world.one_time["@bob:x", "BOB"].clear()
        alice.shares(room)
        charlie.shares(room)
        bob.syncs()
        assert bob.reads(alice.says(room, "with the old one")) == "with the old one"
        world.now_ms += 2 * 3_600_000
        bob.syncs()
        charlie.says(room, "too late")
        assert any(isinstance(notice, ToDeviceRefused) for notice in bob.syncs())

    def test_an_upload_whose_answer_was_lost_is_repeated(self, world):
        person = Person(world, "@zoe:x", "ZOE")
        first = person.step(lambda m: m.outgoing(now_ms=0))[0]
        world.answer(first, person)
        person.starts()
        again = person.step(lambda m: m.outgoing(now_ms=0))[0]
        assert again == first

    def test_a_one_time_key_that_its_device_did_not_sign_is_not_used(self, world, alice, bob, room):
        for key in world.one_time["@bob:x", "BOB"].values():
            key["key"] = alice.machine.device.curve25519
        alice.says(room, "hello")
        assert alice.vault.get(OlmPeer, bob.machine.device.curve25519).sessions == ()

    def test_device_keys_that_are_not_signed_are_not_used(self, world, alice, bob, room):
        bobs = world.devices["@bob:x"]["BOB"]
        bobs["keys"]["curve25519:BOB"] = alice.machine.device.curve25519
        alice.shares(room)
        assert alice.machine.tracking.device("@bob:x", "BOB") is None

    def test_the_keys_of_a_device_never_change(self, world, alice, bob, room):
        alice.shares(room)
        known = alice.machine.tracking.device("@bob:x", "BOB")
        impostor = World().device("@bob:x", "BOB")
        world.devices["@bob:x"]["BOB"] = impostor.world.devices["@bob:x"]["BOB"]
        alice.changed.add("@bob:x")
        alice.syncs()
        assert alice.machine.tracking.device("@bob:x", "BOB") == known

    def test_a_change_during_a_query_is_asked_about_again(self, world, alice, bob):
        alice.step(lambda m: m.track(["@bob:x"]))
        query = alice.step(lambda m: m.query(["@bob:x"]))
        answer = world.answer(query, alice)
        alice.step(lambda m: m.tracking.changed(["@bob:x"]))
        alice.step(lambda m: m.answered(query, answer, now_ms=0))
        assert alice.step(lambda m: m.query(["@bob:x"])) is not None

    def test_users_of_servers_that_failed_are_asked_about_again(self, alice):
        alice.step(lambda m: m.track(["@far:away"]))
        query = alice.step(lambda m: m.query(["@far:away"]))
        answer = {"failures": {"away": {}}, "device_keys": {}}
        alice.step(lambda m: m.answered(query, answer, now_ms=0))
        assert alice.step(lambda m: m.query(["@far:away"])) is not None


class TestRecovery:
    """C-S API v1.19, "Recovering from undecryptable messages"."""

    def breaks(self, person: Person, other: Person) -> None:
        """A restored copy of old files: the sessions are gone."""
        key = other.machine.device.curve25519
        person.step(lambda m: person.vault.delete(OlmPeer, key))

    def test_a_broken_session_is_replaced_within_two_syncs(self, world, alice, bob, room):
        bob.reads(alice.says(room, "fine"))
        alice.reads(bob.says(room, "fine"))
        bob.reads(alice.says(room, "still"))
        self.breaks(bob, alice)
        world.joins(room, world.device("@charlie:x", "CHARLIE"))
        world.leaves(room, "@charlie:x")
        lost = alice.says(room, "lost")
        bob.lacks_key_of(lost)
        alice.syncs()
        world.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
        assert bob.reads(alice.says(room, "found")) == "found"

    def test_not_more_than_once_an_hour(self, world, alice, bob, room):
        bob.reads(alice.says(room, "fine"))
        alice.reads(bob.says(room, "fine"))
        key = alice.machine.device.curve25519
        bad = {"type": "m.room.encrypted", "sender": "@alice:x"}
        ciphertext = {bob.machine.device.curve25519: {"type": 1, "body": "AwoAAAA"}}
        bad["content"] = {
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": key,
            "ciphertext": ciphertext,
        }
        claims = []
        for _ in range(3):
            world.queues["@bob:x", "BOB"] = [bad]
            bob.syncs()
            claims.append(sum(isinstance(request, ClaimKeys) for request in world.asked))
        assert claims[0] == claims[1] == claims[2]
        world.now_ms += 3_600_000
        world.queues["@bob:x", "BOB"] = [bad]
        bob.syncs()
        assert sum(isinstance(request, ClaimKeys) for request in world.asked) == claims[0] + 1


class TestCrash:
    """What was stored is all that is left."""

    def test_between_storing_and_sending_nothing_is_lost(self, world, alice, bob, room):
        alice.shares(room)
        content = alice.encrypts(room, "hello")
        alice.starts()
        alice.settles()
        event = world.post(room, alice, "m.room.encrypted", content)
        assert bob.reads(event) == "hello"

    def test_no_place_in_a_session_is_used_twice(self, alice, bob, room):
        alice.shares(room)
        alice.encrypts(room, "never sent")
        alice.starts()
        event = alice.says(room, "sent")
        bob.syncs()
        assert bob.decrypts(event).message_index == 1

    def test_what_was_sent_but_not_answered_is_taken_once(self, world, alice, bob, room):
        alice.shares(room)
        alice.encrypts(room, "hello")
        request = alice.step(lambda m: m.outgoing(now_ms=alice.now()))[0]
        world.answer(request, alice)
        alice.starts()
        alice.settles()
        assert len(world.queues["@bob:x", "BOB"]) == 1
        assert not list(alice.vault.all(Outgoing))

    def test_a_step_that_fails_leaves_nothing(self, alice, bob, room):
        alice.shares(room)
        before = dict(alice.rows)

        def failing(machine):
            machine.encrypt(room.room_id, room.members, "m.room.message", {}, now_ms=0)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            alice.step(failing)
        assert alice.vault.changes() == {}
        assert alice.rows == before

    def test_sessions_are_read_again_after_a_restart(self, alice, bob, room):
        event = alice.says(room, "hello")
        bob.syncs()
        bob.starts()
        assert bob.decrypts(event).content["body"] == "hello"
        session_id = event["content"]["session_id"]
        assert any(key.kind == InboundGroup.KIND and key.name == session_id for key in bob.rows)
