"""Syncing, wired: everything between the streams and `/sync`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.core import Core
from homeserver.identifiers import ServerName
from homeserver.room_views import RoomViews
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.sync.bodies import Bodies
from homeserver.sync.counts import NotificationCounts
from homeserver.sync.encryption_news import EncryptionSync
from homeserver.sync.filter_store import FilterStore
from homeserver.sync.inboxes import Inboxes
from homeserver.sync.journal import Journal, Memory, Tails
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.live import LiveAnswers, LiveSources
from homeserver.sync.loading import Inputs
from homeserver.sync.members import MemberEvents
from homeserver.sync.peeking import Peeking
from homeserver.sync.reading import Sources
from homeserver.sync.rosters import Rosters
from homeserver.sync.sliding.connections import Connections
from homeserver.sync.sliding.faces import Faces
from homeserver.sync.sliding.sync import SlidingSync
from homeserver.sync.summaries import Summaries
from homeserver.sync.sync import Sync
from homeserver.sync.waiting_room import WaitingRoom


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncing:
    """What the façade calls, and what runs behind it."""

    sync: Sync
    sliding_sync: SlidingSync
    peeking: Peeking
    filters: FilterStore
    connections: Connections
    waiting_room: WaitingRoom
    journal: Journal
    inboxes: Inboxes
    encryption: EncryptionSync

    def start(self) -> None:
        """Begins where the streams stand, so they must have been started."""
        self.journal.start()
        self.inboxes.start()

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled."""
        return self.journal.run, self.journal.follow_devices, self.connections.run

    def stop(self) -> None:
        """Lets all requests go that wait."""
        self.waiting_room.close()


def build_syncing(
    *,
    config: Config,
    core: Core,
    database: Database,
    bus: Bus,
    clock: Clock,
    room_views: RoomViews,
    counts: NotificationCounts,
    boot: str,
) -> Syncing:
    """Builds every object once, by name. boot: what no other process is called, in base 36."""
    streams = core.streams
    bodies, summaries = Bodies(database=database), Summaries(database=database)
    members = MemberEvents(database=database, bodies=bodies)
    memory = Memory(bodies=bodies, summaries=summaries, members=members)
    told = ToldMembers()
    rosters = Rosters(database=database, ignored=streams.ignored_users, presence=streams.presence)
    max_presence_members = config.presence.max_room_members
    journal = Journal(
        tails=Tails(
            events=streams.events,
            receipts=streams.receipts,
            account_data=streams.account_data,
            to_device=core.encryption.to_device_tail,
            device_lists=core.encryption.device_list_tail,
            typing=streams.typing,
            presence=streams.presence,
        ),
        memory=memory,
        rosters=rosters,
        database=database,
        server_name=ServerName(config.server.name),
        max_presence_members=max_presence_members,
        boot=boot,
    )
    sources = Sources(
        database=database,
        people=streams.people,
        bodies=bodies,
        summaries=summaries,
        told=told,
        client_events=room_views.client_events,
        typing=streams.typing,
        presence=streams.presence,
        max_presence_members=max_presence_members,
        boot=boot,
    )
    live = LiveAnswers(
        LiveSources(
            memory=memory,
            told=told,
            people=streams.people,
            typing=streams.typing,
            presence=streams.presence,
            counts=counts,
            device_lists=core.encryption.device_lists,
            max_presence_members=max_presence_members,
            clock=clock,
        )
    )
    waiting_room = WaitingRoom(rosters=rosters, clock=clock)
    waiting_room.listen(bus)
    inboxes = Inboxes(database=database, tail=core.encryption.to_device_tail)
    sync = Sync(
        journal=journal,
        waiting_room=waiting_room,
        inputs=Inputs(sources),
        live=live,
        inboxes=inboxes,
        stocks=core.encryption.stocks,
        counts=counts,
        presence=core.actions.presence,
        clock=clock,
    )
    connections = Connections(database=database, clock=clock)
    sliding_sync = SlidingSync(
        sources=sources,
        faces=Faces(),
        connections=connections,
        journal=journal,
        waiting_room=waiting_room,
        inboxes=inboxes,
        stocks=core.encryption.stocks,
        counts=counts,
        presence=core.actions.presence,
        clock=clock,
    )
    peeking = Peeking(
        access=room_views.access,
        pages=room_views.pages,
        reads=room_views.reads,
        events=streams.events,
        waiting_room=waiting_room,
    )
    return Syncing(
        sync=sync,
        sliding_sync=sliding_sync,
        peeking=peeking,
        connections=connections,
        waiting_room=waiting_room,
        filters=FilterStore(database=database),
        journal=journal,
        inboxes=inboxes,
        encryption=EncryptionSync(
            database=database, inboxes=inboxes, stocks=core.encryption.stocks
        ),
    )
