"""Making rooms as Matrix clients do: nobody but the creator is in them before he joins.

Source: C-S API v1.19 `createRoom`.
"""

from collections.abc import Sequence

from homeserver.actions.aliases import Aliases
from homeserver.actions.contents import check_content, check_state_key
from homeserver.actions.inviting import Inviting
from homeserver.actions.lookups import MEMBER
from homeserver.actions.presets import RoomPlan, create_draft, first_drafts
from homeserver.actions.standing import require_active
from homeserver.errors import (
    InvalidInput,
    InvalidRoomState,
    InviteBlocked,
    UnsupportedRoomVersion,
)
from homeserver.events.build import Draft
from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomAlias, RoomID
from homeserver.requester import Requester
from homeserver.rooms.batch import AlsoWrite
from homeserver.rooms.refusal import RuleBroken
from homeserver.rooms.writer import RoomWriter
from homeserver.streams.people import People, Person

MAX_INITIAL_STATE = 200


class CreateByPreset:
    """Rooms with the state and the invitations that a client asks for."""

    def __init__(
        self,
        *,
        writer: RoomWriter,
        people: People,
        inviting: Inviting,
        aliases: Aliases,
        default_version: str,
        max_invites: int,
    ) -> None:
        self._writer = writer
        self._people = people
        self._inviting = inviting
        self._aliases = aliases
        self._default_version = default_version
        self._max_invites = max_invites

    async def create(self, by: Requester, plan: RoomPlan) -> RoomRecord:
        """Makes the room in one transaction, or not at all.

        Raises UnsupportedRoomVersion, InvalidInput, InvalidContent, InvalidRoomState, NotFound for
        an unknown user, InviteBlocked if nobody of the invited wants to be, AliasTaken, TooLarge.
        """
        require_active(by)
        version = self._version(plan)
        self._check(plan)
        alias = None if plan.alias_name is None else self._aliases.named(plan.alias_name)
        if alias is not None:
            self._aliases.check_free_for(by, alias)
        creator = await self._people.get(by.user_nid)
        assert creator is not None
        invited = await self._invited(by, plan)
        return await self._make(by, plan, version, creator, invited, alias)

    async def _make(
        self,
        by: Requester,
        plan: RoomPlan,
        version: RoomVersion,
        creator: Person,
        invited: Sequence[Person],
        alias: RoomAlias | None,
    ) -> RoomRecord:
        def compose(room_id: RoomID) -> Sequence[Draft]:
            return [*first_drafts(plan, room_id, creator, invited, version, alias)]

        def also(room: RoomRecord) -> AlsoWrite:
            return self._aliases.claim(alias, room, by)

        try:
            return await self._writer.create_room(
                kind=plan.kind,
                version=version,
                published=plan.listed,
                create=create_draft(plan, creator, invited, version),
                compose=compose,
                also=None if alias is None else also,
            )
        except RuleBroken as error:
            raise InvalidRoomState(f"A room cannot begin like this: {error}") from error

    def _version(self, plan: RoomPlan) -> RoomVersion:
        name = self._default_version if plan.version is None else plan.version
        version = ROOM_VERSIONS.get(name)
        if version is None:
            raise UnsupportedRoomVersion(f"This server knows no room version {name!r}.")
        return version

    def _check(self, plan: RoomPlan) -> None:
        if len(plan.invited) > self._max_invites:
            raise InvalidInput(
                f"A room begins with at most {self._max_invites} invitations.", field="invite"
            )
        if len(plan.initial_state) > MAX_INITIAL_STATE:
            raise InvalidInput(
                f"A room begins with at most {MAX_INITIAL_STATE} events.", field="initial_state"
            )
        room_type = plan.creation_content.get("type", "")
        if not isinstance(room_type, str):
            raise InvalidInput("The type of a room is text.", field="creation_content.type")
        for content in (plan.creation_content, plan.levels, {"": [plan.name, plan.topic]}):
            check_content(content)
        for event in plan.initial_state:
            check_content(event.content)
            check_state_key(*event.key)
            if event.type == MEMBER:
                raise InvalidRoomState("Who is in a room is not said by its initial state.")

    async def _invited(self, by: Requester, plan: RoomPlan) -> list[Person]:
        """Whoever wants to be; the others are left out."""
        others = [user_id for user_id in dict.fromkeys(plan.invited) if user_id != by.user_id]
        if not others:
            return []
        people = await self._inviting.people(others)
        blocked = await self._inviting.blocked(people)
        willing = [person for person in people if person.user_nid not in blocked]
        if not willing:
            raise InviteBlocked("Nobody of those whom you invite wants invitations.")
        return willing
