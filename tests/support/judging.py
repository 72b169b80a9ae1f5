"""Asking the auth rules about events of a test room."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from homeserver.auth.rules import authorise
from homeserver.auth.verdict import Accepted, Rejected
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import EventID, UserID
from tests.support.room_factory import ALICE, RoomFactory


def judge(room: RoomFactory, event: Event) -> Accepted | Rejected:
    """The verdict on an event of the room by the state before it."""
    return authorise(event, room.state_before(event))


def chat(
    version: RoomVersion,
    *,
    members: tuple[UserID, ...] = (),
    users: Mapping[UserID, int] | None = None,
    levels: Mapping[str, Any] | None = None,
    join_rule: str = "public",
    create: Mapping[str, Any] | None = None,
) -> RoomFactory:
    """Alice's room; she has level 100 or, since v12, every power. users: levels of others."""
    creator = {} if version.privileged_creators else {ALICE: 100}
    return RoomFactory.public_chat(
        version,
        members=members,
        join_rule=join_rule,
        power_levels={"users": {**creator, **(users or {})}, **(levels or {})},
        create_content=create or {},
    )


def odd(
    room: RoomFactory,
    sender: UserID,
    event_type: str,
    content: Mapping[str, Any],
    state_key: str | None = None,
) -> Event:
    """An unsigned event after the last one, whose content may be what nobody can sign."""
    event = replace(
        room.last,
        event_id=EventID(f"$odd{len(room.events)}:one.example"),
        sender=sender,
        type=event_type,
        content=content,
        state_key=state_key,
        prev_events=room.extremities,
        redacts=None,
        raw=b"{}",
    )
    return room.append(event)
