"""Who asks: the account and session behind a call, whichever protocol it came by."""

from dataclasses import dataclass
from uuid import UUID

from homeserver.identifiers import UserID


@dataclass(frozen=True, slots=True)
class Requester:
    """An authenticated caller. `expires_at_ms`: when the access token ends.

    appservice: the ID of the application service that acts as this user, if one does; it may act
    without a device, so `device_id` may be "", and `session_nid` is then of no session.
    is_limited: whether his requests are counted; those of some application services are not.
    is_locked: may do nothing but log out. is_suspended: may read, but not write.
    """

    user_nid: int
    user_id: UserID
    user_uuid: UUID
    session_nid: int
    session_uuid: UUID
    device_id: str
    is_admin: bool
    expires_at_ms: int
    is_guest: bool = False
    appservice: str | None = None
    is_locked: bool = False
    is_suspended: bool = False
    is_limited: bool = True
