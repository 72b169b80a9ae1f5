"""The authorisation rules of room versions 1 to 12.

Source: Matrix v1.19 "Room Versions", "Authorisation rules" of each version. Comments give the
rule's number in room version 12. In other versions it is:

    what                        v1 to v5    v6 to v11    v12
    m.room.create                  1            1          1
    room ID is a create event      -            -          2
    auth events                    2            2          3
    m.federate                     3            3          4
    m.room.aliases                 4            -          -
    m.room.member                  5            4          5
    sender is joined               6            5          6
    m.room.third_party_invite      7            6          7
    required power level           8            7          8
    state key of another user      9            8          9
    m.room.power_levels           10            9         10
    m.room.redaction (v1, v2)     11            -          -

An event is judged three times, each time by other state: `authorise_by_auth_events`, then
`authorise` with the state before it, then `authorise` with the room's current state.
"""

from collections.abc import Mapping, Set

from homeserver.auth.auth_state import AuthState
from homeserver.auth.membership import authorise_membership
from homeserver.auth.power_levels import authorise_power_levels
from homeserver.auth.selection import CREATE, MEMBER, THIRD_PARTY_INVITE, auth_types
from homeserver.auth.user_ids import is_user_id
from homeserver.auth.verdict import ACCEPTED, Accepted, Need, Rejected, Rule
from homeserver.events.event import Event
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.identifiers import EventID, StateKey, server_of

__all__ = [
    "Rule",
    "authorise",
    "authorise_by_auth_events",
    "authorise_create",
    "check_auth_events",
]


def authorise(event: Event, state: Mapping[StateKey, Event]) -> Accepted | Rejected:
    """Judge an event by a room's state, of which it reads `selection.needed_types` only.

    Of rule 5.2, that the authorising user's server has signed the event, it checks only that
    there is such a user; signatures are for the caller.
    """
    if event.type == "m.room.create":
        return authorise_create(event)
    create = state.get(CREATE)
    if create is None:
        return Rejected(_without_create(event))
    # 2, since v12
    if event.version.room_id_is_create_hash and create.event_id != _create_id(event):
        return Rejected(Rule.ROOM_ID_NOT_A_CREATE_EVENT)
    # 4
    if _is_kept_out(event, create):
        return Rejected(Rule.ROOM_NOT_FEDERATED)
    return _authorise_by_type(event, AuthState(state, create))


def authorise_create(event: Event) -> Accepted | Rejected:
    """Rule 1, for an m.room.create event."""
    broken = _broken_create_place(event) or _broken_create_content(event)
    return ACCEPTED if broken is None else Rejected(broken)


def authorise_by_auth_events(
    event: Event, auth_events: Mapping[EventID, Event], rejected: Set[EventID]
) -> Accepted | Rejected | Need:
    """Judge an event by its auth events: they must be the right ones, and they must allow it.

    Arguments as for `check_auth_events`.
    Source: server-server API, "Checks performed on receipt of a PDU", check 4.
    """
    verdict = check_auth_events(event, auth_events, rejected)
    if verdict != ACCEPTED or event.type == "m.room.create":
        return verdict
    event_ids = list(event.auth_events)
    if event.version.room_id_is_create_hash:
        event_ids.append(_create_id(event))
    return authorise(event, {auth_events[each].key: auth_events[each] for each in event_ids})


def check_auth_events(
    event: Event, auth_events: Mapping[EventID, Event], rejected: Set[EventID]
) -> Accepted | Rejected | Need:
    """Whether the event names the right auth events (for m.room.create: rule 1 instead).

    auth_events: what it names and, since v12, its room's create event; more does not matter.
    rejected: those of them that were rejected, whose events may be left out.
    Need names those that are in neither.
    """
    if event.type == "m.room.create":
        return authorise_create(event)
    # Before 3.1 because it needs no events: no others are fetched for an event that has failed.
    broken = _broken_standing(event, rejected)
    if broken is not None:
        return Rejected(broken)
    missing = _named_events(event) - auth_events.keys()
    if missing:
        return Need(missing)
    broken = _broken_room(event, auth_events) or _broken_selection(event, auth_events)
    return ACCEPTED if broken is None else Rejected(broken)


def _broken_create_place(event: Event) -> Rule | None:
    # 1.1
    if event.prev_events:
        return Rule.CREATE_HAS_PREV_EVENTS
    if event.version.room_id_is_create_hash:
        # 1.2, since v12: `Event.room_id` is derived only where the PDU has none
        return None if event.event_id == _create_id(event) else Rule.CREATE_HAS_ROOM_ID
    # 1.2, until v11
    if server_of(event.room_id) != server_of(event.sender):
        return Rule.CREATE_ROOM_ID_DOMAIN
    return None


def _broken_create_content(event: Event) -> Rule | None:
    content, version = event.content, event.version
    # 1.3
    if "room_version" in content and not _is_recognised(content["room_version"]):
        return Rule.CREATE_UNKNOWN_ROOM_VERSION
    # 1.4, until v10
    if not version.implicit_creator and "creator" not in content:
        return Rule.CREATE_WITHOUT_CREATOR
    # 1.4, since v12
    if version.privileged_creators and "additional_creators" in content:
        creators = content["additional_creators"]
        if not isinstance(creators, list) or not all(map(is_user_id, creators)):
            return Rule.CREATE_ADDITIONAL_CREATORS
    return None


def _is_recognised(name: object) -> bool:
    return isinstance(name, str) and name in ROOM_VERSIONS


def _create_id(event: Event) -> EventID:
    """The create event that a room ID of v12 names: the same hash after another sigil."""
    return EventID("$" + event.room_id[1:])


def _without_create(event: Event) -> Rule:
    if event.version.room_id_is_create_hash:
        return Rule.ROOM_ID_NOT_A_CREATE_EVENT
    return Rule.AUTH_EVENTS_WITHOUT_CREATE


def _named_events(event: Event) -> frozenset[EventID]:
    """The auth events, those that the room ID implies included."""
    if event.version.room_id_is_create_hash:
        return frozenset((*event.auth_events, _create_id(event)))
    return frozenset(event.auth_events)


def _broken_standing(event: Event, rejected: Set[EventID]) -> Rule | None:
    # 2, since v12
    if event.version.room_id_is_create_hash and _create_id(event) in rejected:
        return Rule.ROOM_ID_NOT_A_CREATE_EVENT
    # 3.3
    return None if rejected.isdisjoint(event.auth_events) else Rule.AUTH_EVENTS_REJECTED


def _broken_room(event: Event, auth_events: Mapping[EventID, Event]) -> Rule | None:
    # 2, since v12
    if not event.version.room_id_is_create_hash:
        return None
    create = auth_events[_create_id(event)]
    is_create = (create.type, create.state_key) == CREATE
    return None if is_create else Rule.ROOM_ID_NOT_A_CREATE_EVENT


def _broken_selection(event: Event, auth_events: Mapping[EventID, Event]) -> Rule | None:
    named = [auth_events[event_id] for event_id in event.auth_events]
    keys = [(each.type, each.state_key) for each in named]
    selected = auth_types(event.type, event.sender, event.state_key, event.content, event.version)
    # 3.1
    if len(set(keys)) < len(keys):
        return Rule.AUTH_EVENTS_DUPLICATE
    # 3.2
    if not set(keys).issubset(selected):
        return Rule.AUTH_EVENTS_SUPERFLUOUS
    # 2.4, until v11
    if CREATE in selected and CREATE not in keys:
        return Rule.AUTH_EVENTS_WITHOUT_CREATE
    # 3.5
    if any(each.room_id != event.room_id for each in named):
        return Rule.AUTH_EVENTS_OTHER_ROOM
    return None


def _is_kept_out(event: Event, create: Event) -> bool:
    """Rule 4."""
    return create.content.get("m.federate") is False and (
        server_of(event.sender) != server_of(create.sender)
    )


def _authorise_by_type(event: Event, room: AuthState) -> Accepted | Rejected:
    """Rules 5 to 7, and those that follow for all other types."""
    if event.type == MEMBER:
        return authorise_membership(event, room)
    # 4, until v5
    if event.type == "m.room.aliases" and event.version.aliases_have_own_rule:
        return _authorise_aliases(event)
    # 6
    if not room.is_joined(event.sender):
        return Rejected(Rule.SENDER_NOT_JOINED)
    # 7.1
    if event.type == THIRD_PARTY_INVITE:
        allowed = room.levels.user(event.sender) >= room.levels.invite
        return ACCEPTED if allowed else Rejected(Rule.THIRD_PARTY_INVITE_LEVEL)
    return _authorise_by_level(event, room)


def _authorise_aliases(event: Event) -> Accepted | Rejected:
    """Rule 4 of room versions 1 to 5."""
    # 4.1
    if event.state_key is None:
        return Rejected(Rule.ALIASES_WITHOUT_STATE_KEY)
    # 4.2
    if server_of(event.sender) != event.state_key:
        return Rejected(Rule.ALIASES_OTHER_DOMAIN)
    # 4.3
    return ACCEPTED


def _authorise_by_level(event: Event, room: AuthState) -> Accepted | Rejected:
    """Rules 8 to 11."""
    levels = room.levels
    # 8
    if levels.user(event.sender) < levels.required_for(event.type, is_state=event.is_state):
        return Rejected(Rule.EVENT_LEVEL)
    # 9
    if event.state_key is not None and _is_anothers(event.state_key, event.sender):
        return Rejected(Rule.STATE_KEY_OF_ANOTHER_USER)
    # 10
    if event.type == "m.room.power_levels":
        return authorise_power_levels(event, room)
    # 11 of v1 and v2
    if event.type == "m.room.redaction" and event.version.redaction_needs_level:
        return _authorise_redaction(event, room)
    # 11
    return ACCEPTED


def _is_anothers(state_key: str, sender: str) -> bool:
    return state_key.startswith("@") and state_key != sender


def _authorise_redaction(event: Event, room: AuthState) -> Accepted | Rejected:
    """Rule 11 of room versions 1 and 2."""
    levels = room.levels
    # 11.1
    if levels.user(event.sender) >= levels.redact:
        return ACCEPTED
    # 11.2
    if event.redacts is not None and server_of(event.redacts) == server_of(event.event_id):
        return ACCEPTED
    # 11.3
    return Rejected(Rule.REDACTION_LEVEL)
