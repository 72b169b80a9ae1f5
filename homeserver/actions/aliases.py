"""Names of rooms: local aliases.

Source: C-S API v1.19 "Room aliases".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from homeserver.actions.lookups import (
    CREATE,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_key,
    require_member,
)
from homeserver.actions.members import Members
from homeserver.actions.standing import require_active
from homeserver.application_services import ApplicationServices
from homeserver.errors import (
    AliasTaken,
    BadAlias,
    InvalidInput,
    NameReserved,
    NotAllowed,
    NotFound,
    TooLarge,
)
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import RoomAlias, ServerName, parse_room_alias, server_of
from homeserver.requester import Requester
from homeserver.rooms.batch import AlsoWrite
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import aliases
from homeserver.storage.database import Connection, Database
from homeserver.streams.room_records import RoomRecords

CANONICAL = "m.room.canonical_alias"
MAX_OF_ONE_ROOM = 200


class Aliases:
    """Giving rooms names, taking them away, and finding rooms by them."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        members: Members,
        rooms: RoomRecords,
        application_services: ApplicationServices,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._members = members
        self._rooms = rooms
        self._application_services = application_services
        self._server_name = server_name

    def local(self, text: str) -> RoomAlias:
        """`name` or `#name:server` as an alias of this server. Raises InvalidInput."""
        alias = parse_room_alias(text if text.startswith("#") else f"#{text}:{self._server_name}")
        if server_of(alias) != self._server_name:
            raise InvalidInput(f"Aliases of this server end in :{self._server_name}.")
        return alias

    def named(self, name: str) -> RoomAlias:
        """The alias of this server with a name, which has no sigil. Raises InvalidInput."""
        if not name or ":" in name or any(character.isspace() for character in name):
            raise InvalidInput(f"{name!r} cannot be the name of a room alias.", field="alias")
        return parse_room_alias(f"#{name}:{self._server_name}")

    def check_free_for(self, by: Requester, alias: RoomAlias) -> None:
        """Raises NameReserved for what an application service keeps for itself."""
        service = self._application_services.reserving_alias(alias)
        if service is not None and service.id != by.appservice:
            raise NameReserved(f"The alias {alias} is reserved for an application service.")

    async def resolve(self, text: str) -> RoomRecord:
        """Raises NotFound for a name that no room has, InvalidInput for what is no name."""
        alias = parse_room_alias(text if text.startswith("#") else f"#{text}:{self._server_name}")
        async with self._database.connection() as db:
            room_nid = await aliases.room_of(db, alias)
        room = None if room_nid is None else await self._rooms.by_nid(room_nid)
        if room is None or room.deleted_at is not None:
            raise NotFound(f"No room is called {text}.", kind="alias")
        return room

    async def add(self, by: Requester, room_uuid: UUID, text: str) -> RoomAlias:
        """Gives a room a further name. Raises AliasTaken, NameReserved, TooLarge."""
        require_active(by)
        alias = self.local(text)
        self.check_free_for(by, alias)
        room = await self._lookups.room(room_uuid)
        await self._members.require(by, room)
        async with self._database.transaction() as db:
            if len(await aliases.of_room(db, room.room_nid)) >= MAX_OF_ONE_ROOM:
                raise TooLarge(f"A room has at most {MAX_OF_ONE_ROOM} names.")
            await self.claim(alias, room, by)(db)
        return alias

    async def remove(self, by: Requester, text: str) -> None:
        """Takes a name away, also where the room shows it. For its creator and room admins.

        Who may not change what the room shows can take his alias away nevertheless.
        """
        require_active(by)
        room = await self.resolve(text)
        alias = self.local(text)

        async def delete(db: Connection) -> None:
            await aliases.delete(db, alias)

        await self._check_may_remove(by, room, alias)
        try:
            removed = await self._remove_shown(by, room, alias, delete)
        except NotAllowed:
            removed = False
        if not removed:
            async with self._database.transaction() as db:
                await delete(db)

    def claim(self, alias: RoomAlias | None, room: RoomRecord, by: Requester) -> AlsoWrite:
        """The row of an alias, for the transaction that makes the room. Raises AliasTaken there."""

        async def write(db: Connection) -> None:
            if alias is not None and not await aliases.insert(
                db, alias, room.room_nid, by.user_nid
            ):
                raise AliasTaken(f"The name {alias} is taken.")

        return write

    async def check_shown(self, by: Requester, room_uuid: UUID, content: Mapping[str, Any]) -> None:
        """Names that a room is to show, and does not show yet: they must lead to it.

        Raises InvalidInput for what is no alias, BadAlias, NotFound for a room one is not in.
        """
        room = await self._lookups.room(room_uuid)
        shown: set[str] = set()

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            current = head.event((CANONICAL, ""))
            shown.update(() if current is None else _readable_names(current.content))
            return ()

        needs = (member_key(by.user_id), (CANONICAL, ""))
        await self._writer.append(room, Append(compose=compose, needs=needs))
        fresh = [parse_room_alias(name) for name in _names(content) if name not in shown]
        async with self._database.connection() as db:
            leading = await aliases.of_room_among(db, room.room_nid, fresh)
        for alias in fresh:
            if alias not in leading:
                raise BadAlias(f"The alias {alias} does not point to this room.")

    async def _check_may_remove(self, by: Requester, room: RoomRecord, alias: RoomAlias) -> None:
        async with self._database.connection() as db:
            if await aliases.creator_of(db, alias) == by.user_nid or by.is_admin:
                return

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            levels = levels_of(head)
            if levels.user(by.user_id) < levels.required_for(CANONICAL, is_state=True):
                raise NotAllowed("Only a room's admins and whoever made a name can remove it.")
            return ()

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
        await self._writer.append(room, Append(compose=compose, needs=needs))

    async def _remove_shown(
        self, by: Requester, room: RoomRecord, alias: RoomAlias, delete: AlsoWrite
    ) -> bool:
        """Where the room shows the alias, both go in one transaction; False: it does not."""

        def compose(head: RoomHead) -> Sequence[Draft]:
            shown = head.event((CANONICAL, ""))
            if shown is None or alias not in _readable_names(shown.content):
                return ()
            content = _without(shown.content, alias)
            return (
                Draft(
                    room_id=room.room_id,
                    sender=by.user_id,
                    type=CANONICAL,
                    state_key="",
                    content=content,
                ),
            )

        request = Append(compose=compose, needs=((CANONICAL, ""),), also=delete)
        return bool(await self._writer.append(room, request))


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    """`alias` and `alt_aliases` of m.room.canonical_alias. Raises InvalidInput."""
    alias, alternatives = content.get("alias"), content.get("alt_aliases", [])
    if not isinstance(alias, str | None) or not isinstance(alternatives, list):
        raise InvalidInput("alias is a room alias, alt_aliases is a list of them.", field="alias")
    if alias:
        yield alias
    for name in alternatives:
        if not isinstance(name, str):
            raise InvalidInput("alt_aliases is a list of room aliases.", field="alt_aliases")
        yield name


def _without(content: Mapping[str, Any], alias: RoomAlias) -> dict[str, Any]:
    """What a room shows, but for one name. Names that can be read."""
    left = {key: value for key, value in content.items() if (key, value) != ("alias", alias)}
    if "alt_aliases" in left:
        left["alt_aliases"] = [name for name in left["alt_aliases"] if name != alias]
    return left


def _readable_names(content: Mapping[str, Any]) -> list[str]:
    """Those that a room shows now, whoever wrote them."""
    try:
        return [*_names(content)]
    except InvalidInput:
        return []
