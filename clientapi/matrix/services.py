"""The actions and views that the Matrix façade may call, filled in by the composition root."""

from dataclasses import dataclass

from clientapi.authentication import Authenticator
from clientapi.rate_limits import RateLimits
from homeserver.actions.aliases import Aliases
from homeserver.actions.create_by_preset import CreateByPreset
from homeserver.actions.inviting import Inviting
from homeserver.actions.joining import Joining
from homeserver.actions.leaving import Leaving
from homeserver.actions.moderation import Moderation
from homeserver.actions.redacting import Redacting
from homeserver.actions.registration import Registration
from homeserver.actions.send_event import SendEvent
from homeserver.actions.set_state import SetState
from homeserver.actions.tokens import Tokens
from homeserver.config import Config
from homeserver.identifiers import ServerName


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
    registration: Registration
    tokens: Tokens

    config: Config
    server_name: ServerName
    authenticator: Authenticator
    rate_limits: RateLimits
