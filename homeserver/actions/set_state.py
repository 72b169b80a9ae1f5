"""State events of any type, as Matrix clients set them.

Source: C-S API v1.19 `setRoomStateWithKey`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.actions.aliases import CANONICAL, Aliases
from homeserver.actions.contents import check_content, check_state_key
from homeserver.actions.inviting import Inviting
from homeserver.actions.joining import Joining
from homeserver.actions.leaving import Leaving
from homeserver.actions.lookups import (
    CREATE,
    MEMBER,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_key,
    require_member,
)
from homeserver.actions.moderation import Moderation
from homeserver.actions.standing import require_active
from homeserver.errors import InvalidContent, NotAllowed
from homeserver.events.build import Draft
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid, parse_user_id
from homeserver.requester import Requester
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter


class SetState:
    """Changes of rooms' state."""

    def __init__(
        self,
        *,
        writer: RoomWriter,
        lookups: Lookups,
        aliases: Aliases,
        joining: Joining,
        inviting: Inviting,
        leaving: Leaving,
        moderation: Moderation,
    ) -> None:
        self._writer = writer
        self._lookups = lookups
        self._aliases = aliases
        self._joining = joining
        self._inviting = inviting
        self._leaving = leaving
        self._moderation = moderation

    async def set(
        self,
        by: Requester,
        room_id: RoomID,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        *,
        at_ms: int | None = None,
    ) -> EventID:
        """The event; what the sender has set already stays, and its event is returned.

        at_ms: when it shall have happened. Raises NotFound, NotAllowed, InvalidContent, BadAlias.
        """
        check_content(content)
        check_state_key(event_type, state_key)
        if event_type == MEMBER:
            target = parse_user_id(state_key)
            return await self._set_member(by, room_id, target, content, at_ms=at_ms)
        if event_type == CANONICAL and state_key == "":
            await self._aliases.check_shown(by, native_uuid(room_id), content)
        require_active(by)
        draft = Draft(
            room_id=room_id,
            sender=by.user_id,
            type=event_type,
            state_key=state_key,
            content=content,
            origin_server_ts=at_ms,
        )
        return await self._append(by, room_id, draft)

    async def _append(self, by: Requester, room_id: RoomID, draft: Draft) -> EventID:
        room = await self._lookups.room(native_uuid(room_id))
        assert draft.state_key is not None
        key = draft.type, draft.state_key
        found: list[EventID] = []

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            current = head.event(key)
            if current is None or not _says_it_already(head, key[0], draft, by):
                return (draft,)
            found.append(current.event_id)
            return ()

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS, key)
        stored = await self._writer.append(room, Append(compose=compose, needs=needs))
        return stored[-1].event.event_id if stored else found[-1]

    async def _set_member(
        self,
        by: Requester,
        room_id: RoomID,
        target: UserID,
        content: Mapping[str, Any],
        *,
        at_ms: int | None,
    ) -> EventID:
        """What the endpoints for memberships do, with further content."""
        room, itself = native_uuid(room_id), target == by.user_id
        match content.get("membership"):
            case "join" | "knock" if not itself:
                raise NotAllowed("Nobody can join a room for somebody else.")
            case "join":
                return (await self._joining.join(by, room, content, anew=True, at_ms=at_ms))[1]
            case "knock":
                return (await self._joining.knock(by, room, content, at_ms=at_ms))[1]
            case "invite":
                return await self._inviting.invite(by, room, target, content, at_ms=at_ms)
            case "leave" if itself:
                return await self._leaving.leave(by, room, content, at_ms=at_ms)
            case "leave":
                return await self._moderation.remove(by, room, target, content, at_ms=at_ms)
            case "ban":
                return await self._moderation.ban(by, room, target, content, at_ms=at_ms)
            case _:
                raise InvalidContent(
                    "membership is join, invite, knock, leave or ban.", field="membership"
                )


def _says_it_already(head: RoomHead, event_type: str, draft: Draft, by: Requester) -> bool:
    """Whether the sender, who may say it now, said it before and nobody anything else since."""
    assert draft.state_key is not None
    current = head.event((event_type, draft.state_key))
    if current is None or current.sender != by.user_id or dict(current.content) != draft.content:
        return False
    levels = levels_of(head)
    return levels.user(by.user_id) >= levels.required_for(event_type, is_state=True)
