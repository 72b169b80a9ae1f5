"""The redaction algorithm of every room version.

Source: Matrix v1.19 "Room Versions", section "Redactions" of each version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from homeserver.events import canonical_json
from homeserver.events.event import Event
from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion

_ALWAYS_KEPT = frozenset(
    {
        "event_id",
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "hashes",
        "signatures",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
    }
)
_KEPT_BEFORE_V11 = _ALWAYS_KEPT | {"prev_state", "origin", "membership"}

_CONTENT_KEPT_IN_V1 = {
    "m.room.member": frozenset({"membership"}),
    "m.room.create": frozenset({"creator"}),
    "m.room.join_rules": frozenset({"join_rule"}),
    "m.room.power_levels": frozenset(
        {
            "ban",
            "events",
            "events_default",
            "kick",
            "redact",
            "state_default",
            "users",
            "users_default",
        }
    ),
    "m.room.aliases": frozenset({"aliases"}),
    "m.room.history_visibility": frozenset({"history_visibility"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What survives in one room version."""

    top_level: frozenset[str]
    content: Mapping[str, frozenset[str]]
    """Keys of `content` by event type."""
    create_keeps_all: bool
    member_keeps_signed_invite: bool
    """`third_party_invite.signed` of a membership survives."""


def _rules_of(version: RoomVersion) -> _Rules:
    content = dict(_CONTENT_KEPT_IN_V1)
    if not version.aliases_have_own_rule:
        del content["m.room.aliases"]
    if version.restricted_joins:
        content["m.room.join_rules"] |= {"allow"}
    if version.redaction_keeps_join_authorised:
        content["m.room.member"] |= {"join_authorised_via_users_server"}
    if version.updated_redaction:
        content["m.room.power_levels"] |= {"invite"}
        content["m.room.redaction"] = frozenset({"redacts"})
    return _Rules(
        top_level=_ALWAYS_KEPT if version.updated_redaction else _KEPT_BEFORE_V11,
        content=content,
        create_keeps_all=version.updated_redaction,
        member_keeps_signed_invite=version.updated_redaction,
    )


_RULES = {version.name: _rules_of(version) for version in ROOM_VERSIONS.values()}


def redact(pdu: Mapping[str, Any], version: RoomVersion) -> dict[str, Any]:
    """The PDU with only what redaction keeps, as a new object. `hashes` and `signatures` stay."""
    top_level = _RULES[version.name].top_level
    redacted = {key: value for key, value in pdu.items() if key in top_level}
    redacted["content"] = redact_content(pdu["type"], pdu["content"], version)
    return redacted


def redact_content(
    event_type: str, content: Mapping[str, Any], version: RoomVersion
) -> dict[str, Any]:
    """What redaction leaves of an event's content, as a new object."""
    rules = _RULES[version.name]
    if event_type == "m.room.create" and rules.create_keeps_all:
        return dict(content)
    kept = rules.content.get(event_type)
    if kept is None:
        return {}
    redacted = {key: value for key, value in content.items() if key in kept}
    if event_type == "m.room.member" and rules.member_keeps_signed_invite:
        redacted |= _signed_invite(content)
    return redacted


def redact_event(event: Event) -> Event:
    """The same event, redacted: its ID, hashes and signatures stay what they were."""
    pdu = redact(canonical_json.decode(event.raw), event.version)
    return replace(
        event,
        content=pdu["content"],
        redacts=event.redacts if event.version.redacts_in_content else None,
        raw=canonical_json.compact(canonical_json.encode(pdu)),
    )


def _signed_invite(content: Mapping[str, Any]) -> dict[str, Any]:
    """Room v11 "Redactions": of `third_party_invite`, only the `signed` key is allowed."""
    invite = content.get("third_party_invite")
    if not isinstance(invite, dict):
        return {}
    return {"third_party_invite": {key: invite[key] for key in ("signed",) if key in invite}}
