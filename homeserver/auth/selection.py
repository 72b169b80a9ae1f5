"""Which entries of a room's state decide about an event.

Source: server-server API v1.19, "Auth events selection".
"""

from collections.abc import Mapping
from typing import Any

from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import StateKey

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")

MEMBER = "m.room.member"
THIRD_PARTY_INVITE = "m.room.third_party_invite"

_MEMBERSHIPS_UNDER_JOIN_RULES = frozenset(("join", "invite", "knock"))


def auth_types(
    event_type: str,
    sender: str,
    state_key: str | None,
    content: Mapping[str, Any],
    version: RoomVersion,
) -> list[StateKey]:
    """The state entries that stand in `auth_events`, as far as the room has them; no duplicates."""
    if event_type == "m.room.create":
        return []
    # Room v12: m.room.create MUST NOT be selected, the room ID implies it.
    selected = [POWER_LEVELS] if version.room_id_is_create_hash else [CREATE, POWER_LEVELS]
    selected.append((MEMBER, sender))
    if event_type == MEMBER:
        selected.extend(_for_membership(sender, state_key, content, version))
    return selected


def needed_types(
    event_type: str,
    sender: str,
    state_key: str | None,
    content: Mapping[str, Any],
    version: RoomVersion,
) -> list[StateKey]:
    """All state entries that `rules.authorise` looks at: `auth_types` and always m.room.create."""
    return with_create(auth_types(event_type, sender, state_key, content, version), event_type)


def with_create(selected: list[StateKey], event_type: str) -> list[StateKey]:
    """`needed_types` of an event whose `auth_types` are known."""
    if event_type == "m.room.create" or CREATE in selected:
        return selected
    return [*selected, CREATE]


def third_party_token(content: Mapping[str, Any]) -> str | None:
    """`third_party_invite.signed.token` of a membership's content, if it is a string."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, Mapping) else None
    token = signed.get("token") if isinstance(signed, Mapping) else None
    return token if isinstance(token, str) else None


def join_authoriser(content: Mapping[str, Any]) -> str | None:
    """`join_authorised_via_users_server` of a membership's content, if it is a string."""
    authoriser = content.get("join_authorised_via_users_server")
    return authoriser if isinstance(authoriser, str) else None


def _for_membership(
    sender: str, state_key: str | None, content: Mapping[str, Any], version: RoomVersion
) -> list[StateKey]:
    membership = content.get("membership")
    members = [state_key]
    others: list[StateKey] = []
    if isinstance(membership, str) and membership in _MEMBERSHIPS_UNDER_JOIN_RULES:
        others.append(JOIN_RULES)
    if membership == "invite" and (token := third_party_token(content)) is not None:
        others.append((THIRD_PARTY_INVITE, token))
    if membership == "join" and version.restricted_joins:
        members.append(join_authoriser(content))
    wanted = dict.fromkeys(user for user in members if user is not None and user != sender)
    return [(MEMBER, user) for user in wanted] + others
