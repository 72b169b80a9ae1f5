"""The actions and views that the Matrix façade may call, filled in by the composition root."""

from dataclasses import dataclass

from clientapi.authentication import Authenticator
from clientapi.rate_limits import RateLimits
from homeserver.actions.registration import Registration
from homeserver.actions.send_event import SendEvent
from homeserver.actions.tokens import Tokens
from homeserver.config import Config
from homeserver.identifiers import ServerName


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixServices:
    """Actions, then views, then what guards them."""

    send_event: SendEvent
    registration: Registration
    tokens: Tokens

    config: Config
    server_name: ServerName
    authenticator: Authenticator
    rate_limits: RateLimits
