"""What holds of the auth rules for any event: they always answer, and power never grows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.auth.rules import authorise, check_auth_events
from homeserver.auth.selection import needed_types
from homeserver.auth.verdict import ACCEPTED, Accepted, Need, Rejected
from homeserver.events.content import PowerLevels
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import EventID, UserID
from tests.support.json_values import json_values
from tests.support.judging import chat, odd
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import ALL

PEOPLE = (ALICE, BOB, CHARLIE, DORA)
LEVELS = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")
TYPES = (
    "m.room.create",
    "m.room.member",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.third_party_invite",
    "m.room.aliases",
    "m.room.redaction",
    "m.room.message",
)

level_values = st.one_of(st.integers(-3, 110), st.sampled_from(["50", "x", 1.5, None, True]))
level_maps = st.dictionaries(st.sampled_from([*PEOPLE, *TYPES, "@x", ""]), level_values)
memberships = st.sampled_from(["join", "invite", "leave", "ban", "knock", "x", 5])
join_rules = st.sampled_from(["public", "invite", "knock", "restricted", "knock_restricted", 5])
signed_parts = st.fixed_dictionaries(
    {}, optional={"mxid": st.sampled_from(PEOPLE), "token": st.just("t"), "signatures": json_values}
)
typical = {
    "membership": memberships,
    "join_authorised_via_users_server": st.sampled_from(PEOPLE),
    "third_party_invite": st.fixed_dictionaries({}, optional={"signed": signed_parts}),
    "join_rule": join_rules,
    "creator": st.sampled_from(PEOPLE),
    "additional_creators": st.lists(st.sampled_from(PEOPLE)),
    "room_version": st.sampled_from(["1", "12", "x"]),
    "m.federate": st.booleans(),
    "public_key": st.text(max_size=50),
    "public_keys": json_values,
    "users": level_maps,
    "events": level_maps,
    "notifications": level_maps,
    **dict.fromkeys(LEVELS, level_values),
}
odd_contents = st.fixed_dictionaries(
    {}, optional={key: values | json_values for key, values in typical.items()}
)
"""Contents with every key that any rule reads, of the right type or of any other."""


def random_event(draw, room: RoomFactory, event_type: str, state_keys) -> Event:
    sender = draw(st.sampled_from(PEOPLE))
    state_key = draw(state_keys)
    event = odd(room.fork(), sender, event_type, draw(odd_contents), state_key)
    redacts = st.sampled_from([None, EventID("$x"), EventID("$x:two.example")])
    return replace(event, redacts=draw(redacts), auth_events=draw(random_ids(room)))


def random_ids(room: RoomFactory):
    return st.lists(st.sampled_from([*room.events, "$unknown"]), max_size=5).map(tuple)


@st.composite
def odd_rooms(draw) -> tuple[RoomFactory, Event]:
    """A room in whose state anything may stand, and an event about which anything may be odd."""
    room = chat(draw(st.sampled_from(ALL)), members=(BOB,))
    for event_type in TYPES[:5]:
        is_token = event_type == "m.room.third_party_invite"
        state_key = "t" if is_token else draw(st.sampled_from(["", *PEOPLE]))
        odd(room, ALICE, event_type, draw(odd_contents), state_key)
    state_keys = st.sampled_from([None, "", "two.example", "@x", *PEOPLE])
    return room, random_event(draw, room, draw(st.sampled_from(TYPES)), state_keys)


class TestAnyContent:
    """The rules reject what they cannot read; they never fail."""

    @settings(deadline=None, max_examples=150)
    @given(odd_rooms())
    def test_there_is_always_a_verdict(self, room_and_event):
        room, event = room_and_event
        assert isinstance(authorise(event, room.state), Accepted | Rejected)
        verdict = check_auth_events(event, room.events, frozenset())
        assert isinstance(verdict, Accepted | Rejected | Need)

    @settings(deadline=None, max_examples=150)
    @given(odd_rooms())
    def test_the_verdict_needs_only_the_state_that_is_called_needed(self, room_and_event):
        room, event = room_and_event
        keys = needed_types(event.type, event.sender, event.state_key, event.content, event.version)
        needed = {key: room.state[key] for key in keys if key in room.state}
        assert authorise(event, needed) == authorise(event, room.state)


integers = st.integers(0, 5)
entry_maps = st.dictionaries(st.sampled_from(["a", "b", "c"]), integers)
user_maps = st.dictionaries(st.sampled_from([BOB, CHARLIE, DORA]), integers)
power_levels = st.fixed_dictionaries(
    {"users": user_maps, "events": entry_maps},
    optional={"notifications": entry_maps, **dict.fromkeys(LEVELS, integers)},
)


def entries(content: Mapping[str, Any], version: RoomVersion) -> dict[tuple[str, str], int]:
    """Every level that the rules compare, by where it stands."""
    maps = ("users", "events", *(("notifications",) if int(version.name) >= 6 else ()))
    found = {("", name): content[name] for name in LEVELS if name in content}
    return found | {
        (name, key): level for name in maps for key, level in content.get(name, {}).items()
    }


def power_is_kept(before, after, sender: UserID, level: float) -> bool:
    """The oracle: whoever changes levels is above or at what they take away and give."""
    for place in before.keys() | after.keys():
        if before.get(place) == after.get(place):
            continue
        is_other_user = place[0] == "users" and place[1] != sender
        limit = level - 1 if is_other_user else level
        if before.get(place, -1) > limit or after.get(place, -1) > level:
            return False
    return True


@st.composite
def changes_of_power(draw):
    """A room with levels, and an event that everybody may send to change them."""
    for_everybody = {"m.room.power_levels": 0}
    before, after = draw(power_levels), draw(power_levels)
    before["events"] |= for_everybody
    after["events"] |= for_everybody
    version = draw(st.sampled_from(ALL))
    room = RoomFactory.public_chat(version, members=(BOB, CHARLIE, DORA), power_levels=before)
    sender = draw(st.sampled_from([BOB, CHARLIE, DORA]))
    return room, room.power_levels(sender, after)


class TestPower:
    """Auth rule 10 against what it is for."""

    @settings(deadline=None, max_examples=300)
    @given(changes_of_power())
    def test_the_rules_agree_with_the_oracle(self, room_and_event):
        room, event = room_and_event
        state = room.state_before(event)
        current = state["m.room.power_levels", ""]
        level = PowerLevels.of(current, room.create).user(event.sender)
        kept = power_is_kept(
            entries(current.content, event.version),
            entries(event.content, event.version),
            event.sender,
            level,
        )
        assert (authorise(event, state) == ACCEPTED) == kept

    @settings(deadline=None, max_examples=300)
    @given(changes_of_power())
    def test_nobody_rises_above_the_sender_and_no_equal_is_touched(self, room_and_event):
        room, event = room_and_event
        state = room.state_before(event)
        before = PowerLevels.of(state["m.room.power_levels", ""], room.create)
        after = PowerLevels.of(event, room.create)
        if authorise(event, state) != ACCEPTED:
            return
        sender_level = before.user(event.sender)
        listed_before, listed_after = before.content["users"], event.content["users"]
        for user in {*PEOPLE} - {event.sender}:
            if listed_before.get(user, -1) >= sender_level:
                assert listed_after.get(user) == listed_before[user]
            # Who is taken off the list has the default, which may have been higher all along.
            if user in listed_after or after.named("users_default") <= sender_level:
                assert after.user(user) <= max(before.user(user), sender_level)
