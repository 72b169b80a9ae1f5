"""Who asks: the account and session behind a call, whichever protocol it came by."""

from dataclasses import dataclass
from uuid import UUID

from homeserver.identifiers import UserID


@dataclass(frozen=True, slots=True)
class Requester:
    """An authenticated caller. `expires_at_ms`: when the access token ends.

    appservice: the ID of the application service that acts as this user, if one does.
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
