"""Changes of one membership, as the rules of rooms and their members' wishes have it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from homeserver.actions.lookups import (
    MEMBER,
    member_content,
    member_key,
    membership_in,
    require_member,
)
from homeserver.events.build import Draft
from homeserver.events.event import Event
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, StateKey, UserID
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.streams.people import Person

NOTHING: Mapping[str, Any] = MappingProxyType({})

Judge = Callable[[RoomHead, Event | None], bool]
"""Looks at the room and at the membership as it is. False: it is as wanted already. Raises Refused
for what the auth rules would not refuse by themselves."""

_OF_THE_SERVER = ("membership", "join_authorised_via_users_server")
"""What a client cannot say about a membership."""


class MemberEvents:
    """Puts membership events into rooms."""

    def __init__(self, *, writer: RoomWriter) -> None:
        self._writer = writer

    async def put(self, room: RoomRecord, draft: Draft, judge: Judge, *needs: StateKey) -> EventID:
        """The membership event that holds now, a new one or the one that was there.

        needs: what `judge` looks at besides the memberships of sender and target. Raises Refused.
        """
        found: list[EventID] = []
        assert draft.state_key is not None
        target = member_key(draft.state_key)

        def compose(head: RoomHead) -> Sequence[Draft]:
            current = head.event(target)
            if judge(head, current):
                return (draft,)
            assert current is not None
            found.append(current.event_id)
            return ()

        request = Append(compose=compose, needs=(member_key(draft.sender), target, *needs))
        stored = await self._writer.append(room, request)
        return stored[-1].event.event_id if stored else found[-1]


def member_draft(
    room: RoomRecord,
    sender: UserID,
    target: UserID,
    content: Mapping[str, Any],
    at_ms: int | None = None,
) -> Draft:
    """at_ms: when it shall have happened; None: now."""
    return Draft(
        room_id=room.room_id,
        sender=sender,
        type=MEMBER,
        state_key=target,
        content=content,
        origin_server_ts=at_ms,
    )


def content_of(
    person: Person | None, membership: str, extra: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The content of a membership. person: None for somebody who is not known here.

    extra: what a client wants in it; it may show another name than the profile.
    """
    profile = {} if person is None else member_content(person, membership)
    said = {key: value for key, value in extra.items() if key not in _OF_THE_SERVER}
    return {**profile, **said, "membership": membership}


def unless_same(content: Mapping[str, Any]) -> Judge:
    """Nothing is to be done where this is what the room has."""

    def judge(_head: RoomHead, current: Event | None) -> bool:
        return current is None or dict(current.content) != content

    return judge


def members_only(room: RoomRecord, by: Requester, judge: Judge) -> Judge:
    """Only members learn what the room says to what they want."""

    def judge_for_members(head: RoomHead, current: Event | None) -> bool:
        if membership_in(head, by.user_id) != "join":
            require_member(head, room, by)
        return judge(head, current)

    return judge_for_members
