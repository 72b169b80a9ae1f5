"""The reads of rooms as the Matrix client-server API has them, wired."""

from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.core import Streams
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.views.client_events import ClientEvents
from homeserver.views.event_search import EventSearch
from homeserver.views.page_cache import PageCache
from homeserver.views.readable_rooms import ReadableRooms
from homeserver.views.related_events import RelatedEvents
from homeserver.views.room_access import RoomAccess
from homeserver.views.room_pages import RoomPages
from homeserver.views.room_reads import RoomReads
from homeserver.views.room_summaries import RoomSummaries
from homeserver.views.user_directory import UserDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomViews:
    """Whatever one may read of rooms. client_events: how all of them show events."""

    client_events: ClientEvents
    access: RoomAccess
    reads: RoomReads
    pages: RoomPages
    related: RelatedEvents
    summaries: RoomSummaries
    search: EventSearch
    directory: UserDirectory


def build_room_views(
    *,
    database: Database,
    streams: Streams,
    server_name: ServerName,
    searchable: bool,
    clock: Clock,
) -> RoomViews:
    """Builds every object once, by name. searchable: whether there is a search index."""
    client_events = ClientEvents(
        ignored=streams.ignored_users, erased=streams.erased_users, clock=clock
    )
    access = RoomAccess(
        rooms=streams.rooms,
        readable=ReadableRooms(tail=streams.events, server_name=server_name),
    )
    return RoomViews(
        client_events=client_events,
        access=access,
        reads=RoomReads(database=database, access=access, client_events=client_events),
        pages=RoomPages(
            database=database,
            access=access,
            client_events=client_events,
            cache=PageCache(tail=streams.events),
        ),
        related=RelatedEvents(database=database, access=access, client_events=client_events),
        summaries=RoomSummaries(database=database),
        search=EventSearch(database=database, client_events=client_events, enabled=searchable),
        directory=UserDirectory(database=database),
    )
