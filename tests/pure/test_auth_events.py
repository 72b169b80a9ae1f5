"""Auth rules 2 and 3 (before v12: 2): the room ID and the auth events."""

from dataclasses import replace

from homeserver.auth.rules import Rule, authorise, authorise_by_auth_events, check_auth_events
from homeserver.auth.verdict import ACCEPTED, Need, Rejected
from homeserver.identifiers import EventID, RoomID
from tests.support.judging import chat
from tests.support.room_factory import ALICE, BOB, CHARLIE
from tests.support.versions import versions

NOBODY_REJECTED: frozenset[EventID] = frozenset()


def check(room, event, rejected=NOBODY_REJECTED, *, without=()):
    known = {name: each for name, each in room.events.items() if each not in without}
    return check_auth_events(event, known, rejected)


def ids(*events):
    return tuple(event.event_id for event in events)


@versions()
class TestAuthEvents:
    """Auth rule 3."""

    def test_the_auth_events_that_the_selection_names_are_accepted(self, version):
        room = chat(version, members=(BOB,))
        for event in [*room.events.values(), room.message(BOB, "hi"), room.ban(ALICE, BOB)]:
            assert check(room, event) == ACCEPTED

    def test_fewer_auth_events_are_accepted(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        create = () if version.room_id_is_create_hash else ids(room.create)
        assert check(room, replace(message, auth_events=create)) == ACCEPTED

    def test_3_1_two_entries_for_one_place_in_the_state_are_rejected(self, version):
        room = chat(version, members=(BOB,))
        first = room.state["m.room.power_levels", ""]
        second = room.power_levels(ALICE, dict(first.content))
        message = room.message(BOB, "hi")
        doubled = replace(message, auth_events=(*message.auth_events, first.event_id))
        assert second.event_id in message.auth_events
        assert check(room, doubled) == Rejected(Rule.AUTH_EVENTS_DUPLICATE)

    def test_3_1_one_entry_twice_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        doubled = replace(message, auth_events=(*message.auth_events, message.auth_events[0]))
        assert check(room, doubled) == Rejected(Rule.AUTH_EVENTS_DUPLICATE)

    def test_3_2_a_superfluous_entry_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        topic, message = room.topic(ALICE, "all"), room.message(BOB, "hi")
        for other in (
            topic,
            room.state["m.room.join_rules", ""],
            room.state["m.room.member", ALICE],
        ):
            more = replace(message, auth_events=(*message.auth_events, other.event_id))
            assert check(room, more) == Rejected(Rule.AUTH_EVENTS_SUPERFLUOUS)

    def test_3_2_an_entry_that_is_no_state_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        first, second = room.message(BOB, "one"), room.message(BOB, "two")
        more = replace(second, auth_events=(*second.auth_events, first.event_id))
        assert check(room, more) == Rejected(Rule.AUTH_EVENTS_SUPERFLUOUS)

    def test_3_3_a_rejected_entry_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        rejected = frozenset(ids(room.state["m.room.member", BOB]))
        assert check(room, message, rejected) == Rejected(Rule.AUTH_EVENTS_REJECTED)

    def test_3_3_a_rejected_entry_need_not_be_at_hand(self, version):
        room = chat(version, members=(BOB,))
        message, join = room.message(BOB, "hi"), room.state["m.room.member", BOB]
        verdict = check(room, message, frozenset(ids(join)), without=(join,))
        assert verdict == Rejected(Rule.AUTH_EVENTS_REJECTED)

    def test_3_3_other_rejected_events_do_not_matter(self, version):
        room = chat(version, members=(BOB,))
        topic, message = room.topic(BOB, "mine"), room.message(BOB, "hi")
        assert check(room, message, frozenset(ids(topic))) == ACCEPTED

    def test_3_5_an_entry_of_another_room_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        message, join = room.message(BOB, "hi"), room.state["m.room.member", BOB]
        room.events[join.event_id] = replace(join, room_id=RoomID("!other:one.example"))
        assert check(room, message) == Rejected(Rule.AUTH_EVENTS_OTHER_ROOM)

    def test_events_that_are_not_at_hand_are_asked_for(self, version):
        room = chat(version, members=(BOB,))
        message, join = room.message(BOB, "hi"), room.state["m.room.member", BOB]
        assert check(room, message, without=(join,)) == Need(frozenset(ids(join)))


class TestCreateAmongAuthEvents:
    """Auth rules 2.4 (until v11), 2 and 3.2 (v12)."""

    @versions(1, 11)
    def test_auth_events_without_create_are_rejected(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        rest = tuple(each for each in message.auth_events if each != room.create.event_id)
        verdict = check(room, replace(message, auth_events=rest))
        assert verdict == Rejected(Rule.AUTH_EVENTS_WITHOUT_CREATE)

    @versions(12)
    def test_create_among_the_auth_events_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        more = replace(message, auth_events=(*message.auth_events, room.create.event_id))
        assert check(room, more) == Rejected(Rule.AUTH_EVENTS_SUPERFLUOUS)

    @versions(12)
    def test_the_create_event_that_the_room_id_names_is_asked_for(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        assert check(room, message, without=(room.create,)) == Need(frozenset(ids(room.create)))

    @versions(12)
    def test_a_room_whose_create_event_was_rejected_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        message = room.message(BOB, "hi")
        verdict = check(room, message, frozenset(ids(room.create)), without=(room.create,))
        assert verdict == Rejected(Rule.ROOM_ID_NOT_A_CREATE_EVENT)

    @versions(12)
    def test_a_room_id_that_names_another_event_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        topic = room.topic(ALICE, "a room of its own")
        message = replace(room.message(BOB, "hi"), room_id=RoomID("!" + topic.event_id[1:]))
        assert check(room, message) == Rejected(Rule.ROOM_ID_NOT_A_CREATE_EVENT)

    @versions(12)
    def test_state_of_another_room_is_rejected(self, version):
        room, other = chat(version, members=(BOB,)), chat(version, create={"type": "other"})
        message = room.message(BOB, "hi")
        verdict = authorise(message, {**room.state, other.create.key: other.create})
        assert verdict == Rejected(Rule.ROOM_ID_NOT_A_CREATE_EVENT)

    @versions(1, 11)
    def test_state_without_create_is_rejected(self, version):
        message = chat(version, members=(BOB,)).message(BOB, "hi")
        assert authorise(message, {}) == Rejected(Rule.AUTH_EVENTS_WITHOUT_CREATE)

    @versions(12)
    def test_state_without_create_has_no_room(self, version):
        message = chat(version, members=(BOB,)).message(BOB, "hi")
        assert authorise(message, {}) == Rejected(Rule.ROOM_ID_NOT_A_CREATE_EVENT)


@versions()
class TestAuthoriseByAuthEvents:
    """Server-server API, "Checks performed on receipt of a PDU", check 4."""

    def test_every_event_of_an_honest_room_is_accepted(self, version):
        room = chat(version, members=(BOB, CHARLIE))
        room.kick(ALICE, BOB)
        for event in room.events.values():
            assert authorise_by_auth_events(event, room.events, NOBODY_REJECTED) == ACCEPTED

    def test_what_the_auth_events_forbid_is_rejected(self, version):
        room = chat(version, members=(BOB,))
        topic = room.topic(BOB, "mine")
        verdict = authorise_by_auth_events(topic, room.events, NOBODY_REJECTED)
        assert verdict == Rejected(Rule.EVENT_LEVEL)

    def test_only_the_named_auth_events_count_as_state(self, version):
        room = chat(version, members=(BOB,))
        left = room.leave(BOB)
        message = room.message(BOB, "still here")
        verdict = authorise_by_auth_events(message, room.events, NOBODY_REJECTED)
        assert left.event_id in message.auth_events
        assert verdict == Rejected(Rule.SENDER_NOT_JOINED)

    def test_wrong_auth_events_are_rejected_and_missing_ones_asked_for(self, version):
        room = chat(version, members=(BOB,))
        message, join = room.message(BOB, "hi"), room.state["m.room.member", BOB]
        rejected = authorise_by_auth_events(message, room.events, frozenset(ids(join)))
        assert rejected == Rejected(Rule.AUTH_EVENTS_REJECTED)
        del room.events[join.event_id]
        needed = authorise_by_auth_events(message, room.events, NOBODY_REJECTED)
        assert needed == Need(frozenset(ids(join)))
