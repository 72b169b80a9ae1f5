"""The room engine, wired: everything between the database and the façades."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_bytes

from homeserver.actions.account_data import AccountData
from homeserver.actions.aliases import Aliases
from homeserver.actions.attachments import Attachments
from homeserver.actions.create_room import CreateRoom
from homeserver.actions.lookups import Lookups
from homeserver.actions.members import Members
from homeserver.actions.membership import Membership
from homeserver.actions.presence import Presence
from homeserver.actions.receipts import Receipts
from homeserver.actions.room_settings import RoomSettings
from homeserver.actions.send import Send
from homeserver.actions.send_event import SendEvent
from homeserver.actions.succession import Succession
from homeserver.actions.tags import Tags
from homeserver.actions.transactions import Transactions
from homeserver.actions.typing import Typing
from homeserver.application_services import ApplicationServices
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.delivery.departures import Departures
from homeserver.delivery.follower import Follower
from homeserver.delivery.guest_departures import GuestDepartures
from homeserver.delivery.media_references import media_references_follower
from homeserver.delivery.profiles import Profiles
from homeserver.delivery.retention import Retention
from homeserver.delivery.search_index import search_index
from homeserver.encryption import Encryption, build_encryption
from homeserver.events.signing import SigningKey
from homeserver.identifiers import ServerName
from homeserver.metrics import Metrics
from homeserver.notifications import Notifications, build_notifications
from homeserver.room_actions import RoomActions, build_room_actions
from homeserver.rooms.admitter import Admitter
from homeserver.rooms.committer import Committer
from homeserver.rooms.heads import Heads
from homeserver.rooms.nids import EventNids
from homeserver.rooms.preparing import Preparing
from homeserver.rooms.writer import RoomWriter, new_event_id
from homeserver.storage.database import Database
from homeserver.streams.account_data import (
    AccountDataTail,
    AccountDataWriter,
    account_data_tail,
)
from homeserver.streams.account_settings import IgnoredUsers, InvitePermissions
from homeserver.streams.bus import Bus
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.peers import Peers
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream
from homeserver.streams.receipts import ReceiptTail, ReceiptWriter, receipt_tail
from homeserver.streams.room_records import RoomRecords
from homeserver.streams.sharing import PresenceSharing, TypingSharing
from homeserver.streams.tail import EventTail, event_tail
from homeserver.streams.typing import TypingStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What changes, and what is kept in memory about it."""

    people: People
    rooms: RoomRecords
    events: EventTail
    receipts: ReceiptTail
    receipt_writer: ReceiptWriter
    account_data: AccountDataTail
    account_data_writer: AccountDataWriter
    ignored_users: IgnoredUsers
    invite_permissions: InvitePermissions
    erased_users: ErasedUsers
    peers: Peers
    typing: TypingStream
    presence: PresenceStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Rooms: writing them, and admitting what others wrote."""

    heads: Heads
    committer: Committer
    writer: RoomWriter
    admitter: Admitter


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Every write about rooms that a façade may ask for."""

    send: Send
    send_event: SendEvent
    create_room: CreateRoom
    membership: Membership
    room_settings: RoomSettings
    aliases: Aliases
    rooms: RoomActions
    account_data: AccountData
    tags: Tags
    receipts: Receipts
    typing: Typing
    presence: Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What follows from events and accounts. search_index: None where search is switched off."""

    departures: Departures
    guest_departures: GuestDepartures
    profiles: Profiles
    retention: Retention
    search_index: Follower | None
    media_references: Follower


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The engine with its streams and actions. `background`: tasks for as long as it is used."""

    streams: Streams
    engine: Engine
    actions: Actions
    delivery: Delivery
    notifications: Notifications
    encryption: Encryption

    async def start(self) -> None:
        """The tails begin where the database stands. Raises Unavailable."""
        await self.streams.events.start()
        self.notifications.judgements.start()
        await self.streams.receipts.start()
        await self.streams.account_data.start()
        await self.streams.erased_users.refresh()
        await self.encryption.start()
        await self.streams.presence.start()

    async def drain(self) -> None:
        """Everything that was asked for is committed."""
        await self.engine.committer.drained()
        await self.streams.presence.save()
        self.streams.peers.leave()

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled."""
        streams, search_index = self.streams, self.delivery.search_index
        return (
            *(() if search_index is None else (search_index.run,)),
            self.delivery.media_references.run,
            self.delivery.departures.run,
            self.delivery.guest_departures.run,
            self.delivery.profiles.run,
            self.delivery.retention.run,
            self.engine.committer.run,
            *self.notifications.background(),
            *self.encryption.background(),
            streams.events.run,
            streams.receipts.run,
            streams.receipt_writer.run,
            streams.account_data.run,
            streams.account_data_writer.run,
            streams.erased_users.run,
            streams.peers.listen,
            streams.peers.run,
            streams.typing.run,
            streams.presence.run,
        )


def build_core(
    *,
    config: Config,
    server_name: ServerName,
    application_services: ApplicationServices,
    key: SigningKey,
    database: Database,
    bus: Bus,
    metrics: Metrics,
    clock: Clock,
) -> Core:
    """Builds every object once, by name."""
    streams = _build_streams(config=config, database=database, bus=bus, clock=clock)
    notifications = build_notifications(
        database=database,
        people=streams.people,
        events=streams.events,
        receipts=streams.receipts,
        account_data=streams.account_data,
        account_data_writer=streams.account_data_writer,
        ignored_users=streams.ignored_users,
        erased_users=streams.erased_users,
        clock=clock,
    )
    engine = _build_engine(
        server_name=server_name,
        key=key,
        database=database,
        bus=bus,
        streams=streams,
        metrics=metrics,
        clock=clock,
    )
    actions = _build_actions(
        config=config,
        server_name=server_name,
        application_services=application_services,
        database=database,
        bus=bus,
        streams=streams,
        writer=engine.writer,
        clock=clock,
    )
    delivery = Delivery(
        departures=Departures(
            database=database, rooms=streams.rooms, writer=engine.writer, bus=bus
        ),
        guest_departures=GuestDepartures(
            database=database, rooms=streams.rooms, writer=engine.writer, tail=streams.events
        ),
        profiles=Profiles(database=database, rooms=streams.rooms, writer=engine.writer, bus=bus),
        retention=Retention(
            database=database,
            bus=bus,
            clock=clock,
            keep_deleted_days=config.rooms.keep_deleted_days,
            empty=actions.room_settings.empty,
        ),
        search_index=search_index(database=database, tail=streams.events)
        if config.search.enabled
        else None,
        media_references=media_references_follower(
            database=database, tail=streams.events, clock=clock
        ),
    )
    return Core(
        streams=streams,
        engine=engine,
        actions=actions,
        delivery=delivery,
        notifications=notifications,
        encryption=build_encryption(
            settings=config.encryption,
            server_name=server_name,
            database=database,
            bus=bus,
            clock=clock,
            random_bytes=token_bytes,
        ),
    )


def _build_streams(*, config: Config, database: Database, bus: Bus, clock: Clock) -> Streams:
    people = People(database=database)
    people.listen(bus)
    rooms = RoomRecords(database=database)
    rooms.listen(bus)
    events = event_tail(database=database, people=people, rooms=rooms)
    events.listen(bus)
    receipts = receipt_tail(database=database)
    receipts.listen(bus)
    account_data = account_data_tail(database=database)
    account_data.listen(bus)
    erased_users = ErasedUsers(database=database)
    erased_users.listen(bus)
    typing = TypingStream(clock=clock, timeout_s=config.rooms.typing_timeout_seconds, tail=events)
    presence = PresenceStream(
        database=database,
        clock=clock,
        tail=events,
        enabled=config.presence.enabled,
        offline_after_s=config.presence.offline_after_seconds,
        idle_after_s=config.presence.idle_after_seconds,
    )
    peers = Peers(bus=bus, clock=clock)
    TypingSharing(stream=typing, rooms=rooms, people=people, peers=peers)
    PresenceSharing(stream=presence, people=people, peers=peers)
    return Streams(
        people=people,
        rooms=rooms,
        events=events,
        receipts=receipts,
        receipt_writer=ReceiptWriter(database=database, tail=receipts, bus=bus),
        account_data=account_data,
        account_data_writer=AccountDataWriter(database=database, tail=account_data, bus=bus),
        ignored_users=IgnoredUsers(database=database, tail=account_data),
        invite_permissions=InvitePermissions(database=database, tail=account_data),
        erased_users=erased_users,
        typing=typing,
        presence=presence,
        peers=peers,
    )


def _build_engine(
    *,
    server_name: ServerName,
    key: SigningKey,
    database: Database,
    bus: Bus,
    streams: Streams,
    metrics: Metrics,
    clock: Clock,
) -> Engine:
    heads = Heads(database=database)
    nids = EventNids(database=database)

    def observe(events: int, seconds: float) -> None:
        metrics.events_committed.inc(events)
        metrics.commit_batch_size.observe(events)
        metrics.commit_seconds.observe(seconds)

    committer = Committer(
        database=database,
        tail=streams.events,
        announce=bus.announce,
        dropped=heads.drop,
        observe=observe,
    )
    preparing = Preparing(
        server_name=server_name,
        key=key,
        nids=nids,
        people=streams.people,
        clock=clock,
        new_event_id=new_event_id(server_name),
    )
    return Engine(
        heads=heads,
        committer=committer,
        writer=RoomWriter(
            database=database,
            server_name=server_name,
            heads=heads,
            committer=committer,
            preparing=preparing,
            nids=nids,
            people=streams.people,
        ),
        admitter=Admitter(
            database=database, heads=heads, committer=committer, nids=nids, people=streams.people
        ),
    )


def _build_actions(
    *,
    config: Config,
    server_name: ServerName,
    application_services: ApplicationServices,
    database: Database,
    bus: Bus,
    streams: Streams,
    writer: RoomWriter,
    clock: Clock,
) -> Actions:
    lookups = Lookups(database=database, rooms=streams.rooms, people=streams.people)
    members = Members(writer=writer)
    transactions = Transactions(database=database, room_of=streams.rooms.by_nid)
    aliases = Aliases(
        database=database,
        writer=writer,
        lookups=lookups,
        members=members,
        rooms=streams.rooms,
        server_name=server_name,
        application_services=application_services,
    )
    succession = Succession(
        database=database, rooms=streams.rooms, account_data=streams.account_data_writer
    )
    rooms = build_room_actions(
        config=config,
        server_name=server_name,
        database=database,
        writer=writer,
        lookups=lookups,
        members=members,
        transactions=transactions,
        people=streams.people,
        aliases=aliases,
        succession=succession,
        bus=bus,
        clock=clock,
    )
    membership = Membership(
        writer=writer,
        lookups=lookups,
        joining=rooms.joining,
        inviting=rooms.inviting,
        server_name=server_name,
    )
    account_data = AccountData(
        database=database, writer=streams.account_data_writer, lookups=lookups
    )
    return Actions(
        send=Send(
            database=database,
            writer=writer,
            lookups=lookups,
            members=members,
            transactions=transactions,
            attachments=Attachments(database=database),
            max_message_bytes=config.rooms.max_message_bytes,
        ),
        send_event=SendEvent(
            database=database, writer=writer, lookups=lookups, transactions=transactions
        ),
        create_room=CreateRoom(
            database=database,
            writer=writer,
            lookups=lookups,
            membership=membership,
            aliases=aliases,
            default_version=config.rooms.default_version,
            max_members=config.rooms.max_initial_members,
        ),
        membership=membership,
        room_settings=RoomSettings(
            database=database,
            writer=writer,
            lookups=lookups,
            people=streams.people,
            membership=membership,
            succession=succession,
            server_name=server_name,
            bus=bus,
            clock=clock,
        ),
        aliases=aliases,
        rooms=rooms,
        account_data=account_data,
        tags=Tags(account_data=account_data, writer=streams.account_data_writer),
        receipts=Receipts(
            database=database,
            writer=streams.receipt_writer,
            account_data=streams.account_data_writer,
            lookups=lookups,
            members=members,
            people=streams.people,
            tail=streams.events,
            clock=clock,
        ),
        typing=Typing(
            stream=streams.typing, lookups=lookups, members=members, people=streams.people
        ),
        presence=Presence(
            stream=streams.presence,
            people=streams.people,
            sync_grace_s=config.presence.sync_grace_seconds,
        ),
    )
