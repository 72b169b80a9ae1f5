"""What the pure core answers when asked whether an event may be, and the rules it can break."""

from dataclasses import dataclass
from enum import StrEnum

from homeserver.identifiers import EventID


class Rule(StrEnum):
    """The authorisation rules that reject, one member each.

    Stored with a rejected or soft-failed event, so a value never changes its meaning. The
    numbers are those of room version 12; `rules.py` says how other versions number them.
    """

    # 1: m.room.create
    CREATE_HAS_PREV_EVENTS = "create-has-prev-events"
    CREATE_ROOM_ID_DOMAIN = "create-room-id-domain"
    CREATE_HAS_ROOM_ID = "create-has-room-id"
    CREATE_UNKNOWN_ROOM_VERSION = "create-unknown-room-version"
    CREATE_WITHOUT_CREATOR = "create-without-creator"
    CREATE_ADDITIONAL_CREATORS = "create-additional-creators"
    # 2 and 3: the room and the auth events
    ROOM_ID_NOT_A_CREATE_EVENT = "room-id-not-a-create-event"
    AUTH_EVENTS_DUPLICATE = "auth-events-duplicate"
    AUTH_EVENTS_SUPERFLUOUS = "auth-events-superfluous"
    AUTH_EVENTS_REJECTED = "auth-events-rejected"
    AUTH_EVENTS_WITHOUT_CREATE = "auth-events-without-create"
    AUTH_EVENTS_OTHER_ROOM = "auth-events-other-room"
    # 4: m.federate
    ROOM_NOT_FEDERATED = "room-not-federated"
    # 4 of room versions 1 to 5: m.room.aliases
    ALIASES_WITHOUT_STATE_KEY = "aliases-without-state-key"
    ALIASES_OTHER_DOMAIN = "aliases-other-domain"
    # 5: m.room.member
    MEMBER_INCOMPLETE = "member-incomplete"
    JOIN_AUTHORISER_SIGNATURE = "join-authoriser-signature"
    JOIN_OF_SOMEBODY_ELSE = "join-of-somebody-else"
    JOIN_BANNED = "join-banned"
    JOIN_NOT_INVITED = "join-not-invited"
    JOIN_AUTHORISER = "join-authoriser"
    JOIN_RULE_FORBIDS = "join-rule-forbids"
    THIRD_PARTY_INVITE_BANNED = "third-party-invite-banned"
    THIRD_PARTY_INVITE_WITHOUT_SIGNED = "third-party-invite-without-signed"
    THIRD_PARTY_INVITE_INCOMPLETE = "third-party-invite-incomplete"
    THIRD_PARTY_INVITE_OTHER_USER = "third-party-invite-other-user"
    THIRD_PARTY_INVITE_UNKNOWN_TOKEN = "third-party-invite-unknown-token"  # noqa: S105
    THIRD_PARTY_INVITE_OTHER_SENDER = "third-party-invite-other-sender"
    THIRD_PARTY_INVITE_SIGNATURE = "third-party-invite-signature"
    INVITE_SENDER_NOT_JOINED = "invite-sender-not-joined"
    INVITE_TARGET_JOINED_OR_BANNED = "invite-target-joined-or-banned"
    INVITE_LEVEL = "invite-level"
    LEAVE_NOT_IN_ROOM = "leave-not-in-room"
    KICK_SENDER_NOT_JOINED = "kick-sender-not-joined"
    UNBAN_LEVEL = "unban-level"
    KICK_LEVEL = "kick-level"
    BAN_SENDER_NOT_JOINED = "ban-sender-not-joined"
    BAN_LEVEL = "ban-level"
    KNOCK_JOIN_RULE = "knock-join-rule"
    KNOCK_OF_SOMEBODY_ELSE = "knock-of-somebody-else"
    KNOCK_IN_ROOM_OR_BANNED = "knock-in-room-or-banned"
    MEMBERSHIP_UNKNOWN = "membership-unknown"
    # 6 to 9: every other event
    SENDER_NOT_JOINED = "sender-not-joined"
    THIRD_PARTY_INVITE_LEVEL = "third-party-invite-level"
    EVENT_LEVEL = "event-level"
    STATE_KEY_OF_ANOTHER_USER = "state-key-of-another-user"
    # 10: m.room.power_levels
    POWER_LEVELS_NOT_INTEGER = "power-levels-not-integer"
    POWER_LEVELS_MAP_NOT_INTEGERS = "power-levels-map-not-integers"
    POWER_LEVELS_USERS_INVALID = "power-levels-users-invalid"
    POWER_LEVELS_LIST_CREATOR = "power-levels-list-creator"
    POWER_LEVELS_CHANGE_ABOVE_SENDER = "power-levels-change-above-sender"
    POWER_LEVELS_SET_ABOVE_SENDER = "power-levels-set-above-sender"
    POWER_LEVELS_CHANGE_EVENT_ABOVE_SENDER = "power-levels-change-event-above-sender"
    POWER_LEVELS_SET_EVENT_ABOVE_SENDER = "power-levels-set-event-above-sender"
    POWER_LEVELS_CHANGE_USER_NOT_BELOW_SENDER = "power-levels-change-user-not-below-sender"
    POWER_LEVELS_SET_USER_ABOVE_SENDER = "power-levels-set-user-above-sender"
    # 11 of room versions 1 and 2: m.room.redaction
    REDACTION_LEVEL = "redaction-level"


@dataclass(frozen=True, slots=True)
class Accepted:
    """All rules allow the event."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """`rule` forbids the event, by its auth events or by the state before it."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class SoftFailed:
    """The event stands in the room's graph, but `rule` forbids it by the current state.

    Source: server-server API, "Soft failure".
    """

    rule: Rule


@dataclass(frozen=True, slots=True)
class Need:
    """No answer without these events: load or fetch them and ask again."""

    event_ids: frozenset[EventID]


Verdict = Accepted | SoftFailed | Rejected | Need

ACCEPTED = Accepted()
