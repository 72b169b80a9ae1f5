"""Syncing, wired: everything between the streams and `/sync`."""

from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.core import Core
from homeserver.identifiers import ServerName
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.sync.bodies import Bodies
from homeserver.sync.counts import NotificationCounts
from homeserver.sync.filter_store import FilterStore
from homeserver.sync.journal import Journal, Memory, Tails
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.live import LiveAnswers, LiveSources
from homeserver.sync.loading import Inputs, Sources
from homeserver.sync.members import MemberEvents
from homeserver.sync.rosters import Rosters
from homeserver.sync.summaries import Summaries
from homeserver.sync.sync import Sync
from homeserver.views.client_events import ClientEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncing:
    """What the façade calls, and what runs behind it. inputs: for other forms of sync, too."""

    sync: Sync
    filters: FilterStore
    journal: Journal
    rosters: Rosters
    inputs: Inputs

    def start(self) -> None:
        """Begins where the streams stand, so they must have been started."""
        self.journal.start()

    async def run(self) -> None:
        """Until cancelled."""
        await self.journal.run()

    def stop(self) -> None:
        """Lets all requests go that wait."""
        self.sync.stop()


def build_syncing(
    *,
    config: Config,
    core: Core,
    database: Database,
    bus: Bus,
    clock: Clock,
    client_events: ClientEvents,
    counts: NotificationCounts,
    boot: str,
) -> Syncing:
    """Builds every object once, by name. boot: what no other process is called, in base 36."""
    streams = core.streams
    bodies, summaries = Bodies(database=database), Summaries(database=database)
    members = MemberEvents(database=database, bodies=bodies)
    memory = Memory(bodies=bodies, summaries=summaries, members=members)
    told = ToldMembers()
    rosters = Rosters(database=database, ignored=streams.ignored_users)
    max_presence_members = config.presence.max_room_members
    journal = Journal(
        tails=Tails(
            events=streams.events,
            receipts=streams.receipts,
            account_data=streams.account_data,
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
    inputs = Inputs(
        Sources(
            database=database,
            people=streams.people,
            bodies=bodies,
            summaries=summaries,
            told=told,
            client_events=client_events,
            typing=streams.typing,
            presence=streams.presence,
            max_presence_members=max_presence_members,
            boot=boot,
        )
    )
    live = LiveAnswers(
        LiveSources(
            memory=memory,
            told=told,
            people=streams.people,
            typing=streams.typing,
            presence=streams.presence,
            counts=counts,
            max_presence_members=max_presence_members,
            clock=clock,
        )
    )
    sync = Sync(
        journal=journal,
        rosters=rosters,
        inputs=inputs,
        live=live,
        counts=counts,
        presence=core.actions.presence,
        presence_stream=streams.presence,
        clock=clock,
    )
    sync.listen(bus)
    return Syncing(
        sync=sync,
        filters=FilterStore(database=database),
        journal=journal,
        rosters=rosters,
        inputs=inputs,
    )
