"""The actions and views that the REST façade may call, filled in by the composition root."""

from dataclasses import dataclass

from clientapi.authentication import Authenticator
from clientapi.rate_limits import RateLimits
from homeserver.actions.account_data import AccountData as AccountDataActions
from homeserver.actions.create_room import CreateRoom
from homeserver.actions.identity import Identity
from homeserver.actions.login import Login
from homeserver.actions.membership import Membership
from homeserver.actions.profile import Profile
from homeserver.actions.receipts import Receipts
from homeserver.actions.registration import Registration
from homeserver.actions.room_settings import RoomSettings
from homeserver.actions.send import Send
from homeserver.actions.tokens import Tokens
from homeserver.actions.typing import Typing
from homeserver.encryption import Encryption
from homeserver.sync.encryption_news import EncryptionSync
from homeserver.views.account_data import AccountData
from homeserver.views.presence import Presence
from homeserver.views.rooms import Rooms
from homeserver.views.search import Search
from homeserver.views.sessions import Sessions
from homeserver.views.timeline import Timeline
from homeserver.views.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeServices:
    """Actions, then views, then what guards them."""

    send: Send
    create_room: CreateRoom
    room_settings: RoomSettings
    membership: Membership
    receipts: Receipts
    typing: Typing
    login: Login
    registration: Registration
    tokens: Tokens
    profile: Profile
    encryption: Encryption
    identity: Identity
    account_data: AccountDataActions

    rooms: Rooms
    timeline: Timeline
    search: Search
    users: Users
    presence: Presence
    sessions: Sessions
    encryption_sync: EncryptionSync
    account_data_views: AccountData

    authenticator: Authenticator
    rate_limits: RateLimits
