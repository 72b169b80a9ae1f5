"""The actions and views that the Matrix façade may call, filled in by the composition root."""

from dataclasses import dataclass

from clientapi.authentication import Authenticator
from clientapi.matrix.interactive_auth import InteractiveAuth
from clientapi.rate_limits import RateLimits
from homeserver.accounts import Accounts
from homeserver.actions.account_data import AccountData
from homeserver.actions.aliases import Aliases
from homeserver.actions.appservice_ping import AppservicePing
from homeserver.actions.create_by_preset import CreateByPreset
from homeserver.actions.inviting import Inviting
from homeserver.actions.joining import Joining
from homeserver.actions.leaving import Leaving
from homeserver.actions.listing import Listing
from homeserver.actions.moderation import Moderation
from homeserver.actions.presence import Presence
from homeserver.actions.push_rules import PushRules
from homeserver.actions.pushers import Pushers
from homeserver.actions.receipts import Receipts
from homeserver.actions.redacting import Redacting
from homeserver.actions.reporting import Reporting
from homeserver.actions.room_settings import RoomSettings
from homeserver.actions.send_event import SendEvent
from homeserver.actions.set_state import SetState
from homeserver.actions.tags import Tags
from homeserver.actions.tokens import RandomBytes
from homeserver.actions.typing import Typing
from homeserver.clock import Clock
from homeserver.config import Config
from homeserver.encryption import Encryption
from homeserver.identifiers import ServerName
from homeserver.room_views import RoomViews
from homeserver.sync.filter_store import FilterStore
from homeserver.sync.peeking import Peeking
from homeserver.sync.sliding.sync import SlidingSync
from homeserver.sync.sync import Sync
from homeserver.views.account_data import AccountData as AccountDataViews
from homeserver.views.directory import Directory
from homeserver.views.notifications import NotificationList
from homeserver.views.presence import Presence as PresenceViews
from homeserver.views.profiles import Profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixServices:
    """Actions, then views, then what guards them."""

    send_event: SendEvent
    set_state: SetState
    redacting: Redacting
    create_by_preset: CreateByPreset
    joining: Joining
    inviting: Inviting
    leaving: Leaving
    moderation: Moderation
    aliases: Aliases
    listing: Listing
    reporting: Reporting
    room_settings: RoomSettings
    push_rules: PushRules
    pushers: Pushers
    notification_list: NotificationList
    account_data: AccountData
    tags: Tags
    receipts: Receipts
    typing: Typing
    presence: Presence
    accounts: Accounts
    encryption: Encryption
    interactive_auth: InteractiveAuth
    appservice_ping: AppservicePing

    directory: Directory
    profiles: Profiles
    account_data_views: AccountDataViews
    presence_views: PresenceViews
    room_views: RoomViews
    sync: Sync
    sliding_sync: SlidingSync
    peeking: Peeking
    filters: FilterStore

    clock: Clock
    random_bytes: RandomBytes
    config: Config
    server_name: ServerName
    authenticator: Authenticator
    rate_limits: RateLimits
