"""The published room directory (list_public_rooms.yaml)."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from clientapi.matrix.endpoint import Auth, Body, Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.listing import Listing
from homeserver.identifiers import ServerName, native_uuid
from homeserver.requester import Requester
from homeserver.views.directory import (
    DEFAULT_PAGE,
    Directory,
    DirectoryEntry,
    DirectoryPage,
    DirectorySearch,
)


class ServerQuery(Query):
    """Whose directory is asked for."""

    server: str | None = None


class PageQuery(ServerQuery):
    """The query of `getPublicRooms`."""

    limit: int = Field(default=DEFAULT_PAGE, ge=0)
    since: str | None = None


class Filter(Body):
    """What the rooms must be like."""

    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class Search(Body):
    """The body of `queryPublicRooms`."""

    limit: int | None = Field(default=None, ge=0)
    since: str | None = None
    filter: Filter = Filter()
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


class Visibility(Body):
    """The body of `setRoomVisibilityOnDirectory`."""

    visibility: Literal["public", "private"] = "public"


class PublicRooms:
    """Endpoints of list_public_rooms.yaml."""

    def __init__(self, *, directory: Directory, listing: Listing, server_name: ServerName) -> None:
        self._directory = directory
        self._listing = listing
        self._server_name = server_name

    async def get_room_visibility_on_directory(
        self, call: Call[NoQuery, NoBody], _by: Requester | None
    ) -> Json:
        published = await self._directory.is_published(native_uuid(call.room_id))
        return {"visibility": "public" if published else "private"}

    async def set_room_visibility_on_directory(
        self, call: Call[NoQuery, Visibility], by: Requester
    ) -> Json:
        published = call.body.visibility == "public"
        await self._listing.publish(by, native_uuid(call.room_id), published=published)
        return {}

    async def get_public_rooms(self, call: Call[PageQuery, NoBody], _by: Requester | None) -> Json:
        self._check_server(call.query)
        wanted = DirectorySearch(
            limit=call.query.limit or DEFAULT_PAGE, since=call.query.since or None
        )
        return _page(await self._directory.search(wanted))

    async def query_public_rooms(self, call: Call[ServerQuery, Search], _by: Requester) -> Json:
        self._check_server(call.query)
        body = call.body
        wanted = DirectorySearch(
            limit=body.limit or DEFAULT_PAGE,
            since=body.since or None,
            term=body.filter.generic_search_term or "",
            room_types=body.filter.room_types,
            network=None if body.include_all_networks else body.third_party_instance_id,
            all_networks=body.include_all_networks,
        )
        return _page(await self._directory.search(wanted))

    def _check_server(self, query: ServerQuery) -> None:
        if query.server not in (None, "", self._server_name):
            raise MatrixError(404, "M_NOT_FOUND", "This server asks no others for their rooms.")


def _page(page: DirectoryPage) -> Json:
    answer: Json = {
        "chunk": [_room(entry) for entry in page.entries],
        "total_room_count_estimate": page.total,
        "next_batch": page.next_batch,
        "prev_batch": page.prev_batch,
    }
    return _without_none(answer)


def _room(entry: DirectoryEntry) -> Json:
    look = entry.look
    return _without_none(
        {
            "room_id": entry.room_id,
            "num_joined_members": entry.members,
            "name": look.name,
            "topic": look.topic,
            "canonical_alias": look.canonical_alias,
            "avatar_url": look.avatar_url,
            "join_rule": look.join_rule,
            "room_type": look.room_type,
            "world_readable": look.world_readable,
            "guest_can_join": look.guest_can_join,
        }
    )


def _without_none(answer: dict[str, Any]) -> Json:
    return {key: value for key, value in answer.items() if value is not None}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = PublicRooms(
        directory=services.directory, listing=services.listing, server_name=services.server_name
    )
    path = "v3/directory/list/room/{roomId}"
    yield Route(
        method="GET",
        path=path,
        run=endpoints.get_room_visibility_on_directory,
        auth=Auth.OPTIONAL,
        guests=True,
    )
    yield Route(
        method="PUT", path=path, run=endpoints.set_room_visibility_on_directory, body=Visibility
    )
    yield Route(
        method="GET",
        path="v3/publicRooms",
        run=endpoints.get_public_rooms,
        query=PageQuery,
        auth=Auth.OPTIONAL,
        guests=True,
    )
    # Guests may read the same without a search, as everybody may.
    yield Route(
        method="POST",
        path="v3/publicRooms",
        run=endpoints.query_public_rooms,
        query=ServerQuery,
        body=Search,
        guests=True,
    )
