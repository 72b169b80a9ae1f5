"""The rules that everybody has: C-S API v1.19 "Predefined Rules", in the order of that section."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from homeserver.push_rules.rules import (
    CONTENT,
    OVERRIDE,
    ROOM,
    SENDER,
    THE_USER,
    UNDERRIDE,
    Action,
    Condition,
    PushRule,
)

MASTER = ".m.rule.master"
"""Checked before all others, also those that the user made."""

_NOTIFY: Action = "notify"
_HIGHLIGHT: Action = {"set_tweak": "highlight"}
_DEFAULT_SOUND: Action = {"set_tweak": "sound", "value": "default"}
_RING: Action = {"set_tweak": "sound", "value": "ring"}
_TWO_MEMBERS: Condition = {"kind": "room_member_count", "is": "2"}


def _match(key: str, pattern: str) -> Condition:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _rule(name: str, conditions: tuple[Condition, ...], *actions: Action, **more: Any) -> PushRule:
    return PushRule(f".m.rule.{name}", actions, conditions, **more)


PREDEFINED: Mapping[str, tuple[PushRule, ...]] = MappingProxyType(
    {
        OVERRIDE: (
            _rule("master", (), enabled=False),
            _rule("suppress_notices", (_match("content.msgtype", "m.notice"),)),
            _rule(
                "invite_for_me",
                (
                    _match("type", "m.room.member"),
                    _match("content.membership", "invite"),
                    _match("state_key", THE_USER),
                ),
                _NOTIFY,
                _DEFAULT_SOUND,
            ),
            _rule("member_event", (_match("type", "m.room.member"),)),
            _rule(
                "is_user_mention",
                (
                    {
                        "kind": "event_property_contains",
                        "key": r"content.m\.mentions.user_ids",
                        "value": THE_USER,
                    },
                ),
                _NOTIFY,
                _DEFAULT_SOUND,
                _HIGHLIGHT,
            ),
            _rule(
                "is_room_mention",
                (
                    {
                        "kind": "event_property_is",
                        "key": r"content.m\.mentions.room",
                        "value": True,
                    },
                    {"kind": "sender_notification_permission", "key": "room"},
                ),
                _NOTIFY,
                _HIGHLIGHT,
            ),
            _rule(
                "tombstone",
                (_match("type", "m.room.tombstone"), _match("state_key", "")),
                _NOTIFY,
                _HIGHLIGHT,
            ),
            _rule("reaction", (_match("type", "m.reaction"),)),
            _rule(
                "room.server_acl", (_match("type", "m.room.server_acl"), _match("state_key", ""))
            ),
            _rule(
                "suppress_edits",
                (
                    {
                        "kind": "event_property_is",
                        "key": r"content.m\.relates_to.rel_type",
                        "value": "m.replace",
                    },
                ),
            ),
        ),
        CONTENT: (),
        ROOM: (),
        SENDER: (),
        UNDERRIDE: (
            _rule("call", (_match("type", "m.call.invite"),), _NOTIFY, _RING),
            _rule(
                "encrypted_room_one_to_one",
                (_TWO_MEMBERS, _match("type", "m.room.encrypted")),
                _NOTIFY,
                _DEFAULT_SOUND,
            ),
            _rule(
                "room_one_to_one",
                (_TWO_MEMBERS, _match("type", "m.room.message")),
                _NOTIFY,
                _DEFAULT_SOUND,
            ),
            _rule("message", (_match("type", "m.room.message"),), _NOTIFY),
            _rule("encrypted", (_match("type", "m.room.encrypted"),), _NOTIFY),
        ),
    }
)
