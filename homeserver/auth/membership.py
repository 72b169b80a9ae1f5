"""The rules of m.room.member: who may join, invite, leave, kick, ban and knock.

Rule numbers are those of room version 12. Versions 6 to 11 call rule 5 their rule 4; versions
before 8 have no rule 5.2, so that join is 5.2 there, invite 5.3, and so on.
"""

from collections.abc import Callable

from homeserver.auth.auth_state import AuthState
from homeserver.auth.selection import join_authoriser
from homeserver.auth.third_party_invite import authorise_third_party_invite
from homeserver.auth.user_ids import is_user_id
from homeserver.auth.verdict import ACCEPTED, Accepted, Rejected, Rule
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion

_INVITED_OR_JOINED = ("invite", "join")


def authorise_membership(event: Event, room: AuthState) -> Accepted | Rejected:
    """Rule 5, without the server signature that 5.2 asks for: that is for the caller to check."""
    # 5.1
    if event.state_key is None or "membership" not in event.content:
        return Rejected(Rule.MEMBER_INCOMPLETE)
    # 5.2, since v8: nobody can sign for what is no user ID
    if event.version.restricted_joins and _names_no_authoriser(event):
        return Rejected(Rule.JOIN_AUTHORISER_SIGNATURE)
    return _rule_for(event)(event, event.state_key, room)


def _names_no_authoriser(event: Event) -> bool:
    if "join_authorised_via_users_server" not in event.content:
        return False
    authoriser = join_authoriser(event.content)
    return authoriser is None or not is_user_id(authoriser)


def _rule_for(event: Event) -> "MembershipRule":
    membership = event.content["membership"]
    if not isinstance(membership, str) or (membership == "knock" and not event.version.knocking):
        return _unknown
    return _RULES.get(membership, _unknown)


def _unknown(_event: Event, _target: str, _room: AuthState) -> Accepted | Rejected:
    """Rule 5.8."""
    return Rejected(Rule.MEMBERSHIP_UNKNOWN)


def _join(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.3."""
    # 5.3.1
    if event.prev_events == (room.create.event_id,) and target == _creator(room.create):
        return ACCEPTED
    # 5.3.2
    if event.sender != target:
        return Rejected(Rule.JOIN_OF_SOMEBODY_ELSE)
    membership = room.membership(target)
    # 5.3.3
    if membership == "ban":
        return Rejected(Rule.JOIN_BANNED)
    return _join_by_rule(event, membership, room)


def _creator(create: Event) -> object:
    """Before v11 what the content says, whatever its type; since then the sender."""
    return create.sender if create.version.implicit_creator else create.content.get("creator")


def _join_by_rule(event: Event, membership: str, room: AuthState) -> Accepted | Rejected:
    join_rule = room.join_rule
    # 5.3.4; `knock` since v7
    if join_rule == "invite" or (join_rule == "knock" and event.version.knocking):
        return ACCEPTED if membership in _INVITED_OR_JOINED else Rejected(Rule.JOIN_NOT_INVITED)
    # 5.3.5, since v8
    if _is_restricted(join_rule, event.version):
        # 5.3.5.1, 5.3.5.2, 5.3.5.3
        allowed = membership in _INVITED_OR_JOINED or _is_authorised_join(event, room)
        return ACCEPTED if allowed else Rejected(Rule.JOIN_AUTHORISER)
    # 5.3.6, 5.3.7
    return ACCEPTED if join_rule == "public" else Rejected(Rule.JOIN_RULE_FORBIDS)


def _is_restricted(join_rule: str, version: RoomVersion) -> bool:
    """`restricted` since v8, `knock_restricted` since v10."""
    return (join_rule == "restricted" and version.restricted_joins) or (
        join_rule == "knock_restricted" and version.knock_restricted
    )


def _is_authorised_join(event: Event, room: AuthState) -> bool:
    """Whether a joined member who may invite vouches for the join (5.3.5.2)."""
    authoriser = join_authoriser(event.content)
    return (
        authoriser is not None
        and room.is_joined(authoriser)
        and room.levels.user(authoriser) >= room.levels.invite
    )


def _invite(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.4."""
    # 5.4.1
    if "third_party_invite" in event.content:
        return authorise_third_party_invite(event, target, room)
    # 5.4.2
    if not room.is_joined(event.sender):
        return Rejected(Rule.INVITE_SENDER_NOT_JOINED)
    # 5.4.3
    if room.membership(target) in ("join", "ban"):
        return Rejected(Rule.INVITE_TARGET_JOINED_OR_BANNED)
    # 5.4.4, 5.4.5
    levels = room.levels
    return ACCEPTED if levels.user(event.sender) >= levels.invite else Rejected(Rule.INVITE_LEVEL)


def _leave(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.5."""
    membership = room.membership(target)
    # 5.5.1; a knock can be taken back since v7
    if event.sender == target:
        in_room = membership in ("invite", "join", "knock")
        return ACCEPTED if in_room else Rejected(Rule.LEAVE_NOT_IN_ROOM)
    # 5.5.2
    if not room.is_joined(event.sender):
        return Rejected(Rule.KICK_SENDER_NOT_JOINED)
    # 5.5.3
    if membership == "ban" and room.levels.user(event.sender) < room.levels.ban:
        return Rejected(Rule.UNBAN_LEVEL)
    # 5.5.4, 5.5.5
    allowed = _outranks(event.sender, target, room, room.levels.kick)
    return ACCEPTED if allowed else Rejected(Rule.KICK_LEVEL)


def _ban(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.6."""
    # 5.6.1
    if not room.is_joined(event.sender):
        return Rejected(Rule.BAN_SENDER_NOT_JOINED)
    # 5.6.2, 5.6.3
    allowed = _outranks(event.sender, target, room, room.levels.ban)
    return ACCEPTED if allowed else Rejected(Rule.BAN_LEVEL)


def _outranks(sender: str, target: str, room: AuthState, required: int) -> bool:
    level = room.levels.user(sender)
    return level >= required and room.levels.user(target) < level


def _knock(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.7, since v7."""
    # 5.7.1; `knock_restricted` since v10
    join_rule = room.join_rule
    if join_rule != "knock" and not (
        join_rule == "knock_restricted" and event.version.knock_restricted
    ):
        return Rejected(Rule.KNOCK_JOIN_RULE)
    # 5.7.2
    if event.sender != target:
        return Rejected(Rule.KNOCK_OF_SOMEBODY_ELSE)
    # 5.7.3, 5.7.4
    if room.membership(target) in ("ban", "invite", "join"):
        return Rejected(Rule.KNOCK_IN_ROOM_OR_BANNED)
    return ACCEPTED


MembershipRule = Callable[[Event, str, AuthState], Accepted | Rejected]

_RULES: dict[str, MembershipRule] = {
    "join": _join,
    "invite": _invite,
    "leave": _leave,
    "ban": _ban,
    "knock": _knock,
}
