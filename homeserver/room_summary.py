"""What somebody may learn of a room before he is in it, and the order of rooms of a space. Pure.

Source: C-S API v1.19 definitions/room_summary.yaml, public_rooms_chunk.yaml, "Spaces",
space_hierarchy.yaml.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from homeserver.client_event import JsonObject, stripped_event
from homeserver.events.content import history_visibility_of, join_rule_of
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomID

CREATE = "m.room.create"
CHILD = "m.space.child"
SPACE = "m.space"
SUMMARY_TYPES = (
    CREATE,
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.encryption",
)

Entries = Mapping[str, Event]
"""Current state with an empty state key, by type."""

_OPEN_JOIN_RULES = frozenset({"public", "knock", "knock_restricted"})
_RESTRICTED = frozenset({"restricted", "knock_restricted"})
_MEGOLM = "m.megolm.v1.aes-sha2"
# m.space.child: "Must consist of ASCII characters within the range \x20 (space) and \x7E (~)",
# and "Must not exceed 50 characters."
_ORDER = re.compile(r"[\x20-\x7e]{1,50}")


def room_summary(room: RoomRecord, entries: Entries, *, member_count: int) -> JsonObject:
    """A room as lists and previews show it."""
    summary: JsonObject = {
        "room_id": room.room_id,
        "room_version": room.version.name,
        "num_joined_members": member_count,
        "join_rule": join_rule_of(entries.get("m.room.join_rules")),
        "world_readable": is_world_readable(entries),
        "guest_can_join": _value(entries, "m.room.guest_access", "guest_access") == "can_join",
    }
    summary |= {key: value for key, value in _texts(entries).items() if value}
    allowed = allowed_rooms(entries)
    if allowed:
        summary["allowed_room_ids"] = allowed
    if _value(entries, "m.room.encryption", "algorithm") == _MEGOLM:
        summary["encryption"] = _MEGOLM
    return summary


def room_type(entries: Entries) -> str | None:
    return _text(entries, CREATE, "type")


def is_world_readable(entries: Entries) -> bool:
    return history_visibility_of(entries.get("m.room.history_visibility")) == "world_readable"


def is_open(entries: Entries) -> bool:
    """Whether everybody may know the room, whoever he is.

    Source: room_summary.yaml, when access without authentication may be allowed.
    """
    return join_rule_of(entries.get("m.room.join_rules")) in _OPEN_JOIN_RULES or is_world_readable(
        entries
    )


def may_know(entries: Entries, *, membership: str | None, joined: Collection[str]) -> bool:
    """Whether somebody may know the room. joined: the rooms that he is in, as far as they matter.

    Source: space_hierarchy.yaml, `rooms`; "The user has been banned from the room" is for `403`.
    """
    if membership in ("join", "invite"):
        return True
    if membership == "ban":
        return False
    return is_open(entries) or any(each in joined for each in allowed_rooms(entries))


def allowed_rooms(entries: Entries) -> list[RoomID]:
    """The rooms whose members may join. Source: "Restricted rooms", "Conditions"."""
    rules = entries.get("m.room.join_rules")
    if rules is None or join_rule_of(rules) not in _RESTRICTED:
        return []
    allow = rules.content.get("allow")
    found = (_allowed_room(each) for each in (allow if isinstance(allow, list) else ()))
    return list(dict.fromkeys(RoomID(room_id) for room_id in found if room_id is not None))


def topic_of(entries: Entries) -> str | None:
    """ "The plain text topic of the room": of `m.topic` if there is one, else `topic`."""
    blocks = _value(entries, "m.room.topic", "m.topic")
    texts = blocks.get("m.text") if isinstance(blocks, dict) else None
    if not isinstance(texts, list):
        return _text(entries, "m.room.topic", "topic")
    return next((body for each in texts if (body := _plain_body(each)) is not None), None)


def children_in_order(events: Sequence[Event], *, suggested_only: bool = False) -> list[Event]:
    """The valid children of a space. Source: "Ordering of children within a space"."""
    valid = [
        event
        for event in events
        if isinstance(event.content.get("via"), list)
        and (not suggested_only or event.content.get("suggested") is True)
    ]
    return sorted(valid, key=_place)


def stripped_child(event: Event) -> JsonObject:
    """ "represented as Stripped State Events with an added `origin_server_ts` key" """
    return {**stripped_event(event), "origin_server_ts": event.origin_server_ts}


def _place(child: Event) -> tuple[bool, str, int, str]:
    order = child.content.get("order")
    valid = order if isinstance(order, str) and _ORDER.fullmatch(order) else None
    return valid is None, valid or "", child.origin_server_ts, child.state_key or ""


def _texts(entries: Entries) -> dict[str, str | None]:
    alias = _text(entries, "m.room.canonical_alias", "alias")
    return {
        "name": _text(entries, "m.room.name", "name"),
        "topic": topic_of(entries),
        "avatar_url": _text(entries, "m.room.avatar", "url"),
        "canonical_alias": alias if alias is not None and alias.startswith("#") else None,
        "room_type": room_type(entries),
    }


def _plain_body(representation: Any) -> str | None:
    match representation:
        case {"body": str(body), **more} if more.get("mimetype", "text/plain") == "text/plain":
            return body
    return None


def _allowed_room(condition: Any) -> str | None:
    match condition:
        case {"type": "m.room_membership", "room_id": str(room_id)} if room_id.startswith("!"):
            return room_id
    return None


def _text(entries: Entries, event_type: str, key: str) -> str | None:
    value = _value(entries, event_type, key)
    return value if isinstance(value, str) else None


def _value(entries: Entries, event_type: str, key: str) -> Any:
    event = entries.get(event_type)
    return None if event is None else event.content.get(key)
