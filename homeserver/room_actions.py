"""The writes about rooms as the Matrix client-server API has them, wired."""

from dataclasses import dataclass

from homeserver.actions.aliases import Aliases
from homeserver.actions.create_by_preset import CreateByPreset
from homeserver.actions.inviting import Inviting
from homeserver.actions.joining import Joining
from homeserver.actions.leaving import Leaving
from homeserver.actions.listing import Listing
from homeserver.actions.lookups import Lookups
from homeserver.actions.member_events import MemberEvents
from homeserver.actions.members import Members
from homeserver.actions.moderation import Moderation
from homeserver.actions.redacting import Redacting
from homeserver.actions.reporting import Reporting
from homeserver.actions.set_state import SetState
from homeserver.actions.succession import Succession
from homeserver.actions.transactions import Transactions
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.identifiers import ServerName
from homeserver.rooms.writer import RoomWriter
from homeserver.storage.database import Database
from homeserver.streams.bus import Bus
from homeserver.streams.people import People


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomActions:
    """Whatever one may do to a room or in it."""

    create: CreateByPreset
    joining: Joining
    inviting: Inviting
    leaving: Leaving
    moderation: Moderation
    set_state: SetState
    redacting: Redacting
    listing: Listing
    reporting: Reporting


def build_room_actions(
    *,
    config: Config,
    server_name: ServerName,
    database: Database,
    writer: RoomWriter,
    lookups: Lookups,
    members: Members,
    transactions: Transactions,
    people: People,
    aliases: Aliases,
    succession: Succession,
    bus: Bus,
    clock: Clock,
) -> RoomActions:
    """Builds every object once, by name."""
    member_events = MemberEvents(writer=writer)
    joining = Joining(
        database=database,
        member_events=member_events,
        lookups=lookups,
        people=people,
        succession=succession,
        server_name=server_name,
    )
    inviting = Inviting(
        database=database, member_events=member_events, lookups=lookups, server_name=server_name
    )
    leaving = Leaving(
        database=database, member_events=member_events, lookups=lookups, people=people
    )
    moderation = Moderation(member_events=member_events, lookups=lookups, people=people)
    return RoomActions(
        create=CreateByPreset(
            writer=writer,
            people=people,
            inviting=inviting,
            aliases=aliases,
            default_version=config.rooms.default_version,
            max_invites=config.rooms.max_initial_invites,
        ),
        joining=joining,
        inviting=inviting,
        leaving=leaving,
        moderation=moderation,
        set_state=SetState(
            writer=writer,
            lookups=lookups,
            aliases=aliases,
            joining=joining,
            inviting=inviting,
            leaving=leaving,
            moderation=moderation,
        ),
        redacting=Redacting(
            database=database,
            writer=writer,
            lookups=lookups,
            members=members,
            transactions=transactions,
            server_name=server_name,
        ),
        listing=Listing(database=database, writer=writer, lookups=lookups, bus=bus),
        reporting=Reporting(database=database, lookups=lookups, clock=clock),
    )
