"""What a client asks for with a sync."""

from homeserver.sync.filters import EVERYTHING, SyncFilter
from homeserver.sync.token import SyncToken
from homeserver.values import value


@value(kw_only=True)
class SyncRequest:
    """since: where the client stands; None: it begins. timeout_ms: how long it waits for news.

    state_after: state as of the end of the timeline. presence: online, away or offline.
    """

    since: SyncToken | None = None
    wanted: SyncFilter = EVERYTHING
    full_state: bool = False
    state_after: bool = False
    timeout_ms: int = 0
    presence: str = "online"
