"""Bodies of REST answers that are not simply one of the objects."""

from uuid import UUID

from schema.wire.base import Answer, Timestamp
from schema.wire.objects import Role, User


class Tokens(Answer):
    """An access token and what renews it."""

    token: str
    """Goes into `Authorization: Bearer`."""
    refresh_token: str
    """Works once, for POST /api/auth/refresh."""
    expires_in: int
    """Seconds until the access token ends."""
    session_id: UUID


class LoggedIn(Tokens):
    """A new session."""

    user: User
    user_id: str
    """The Matrix user ID."""
    device_id: str
    """What Matrix calls the session."""


class Ticket(Answer):
    """Opens one WebSocket: `/ws?ticket=…`."""

    ticket: str
    expires_in: int
    """Seconds."""


class Invitation(Answer):
    """A code with which somebody may register. It is not shown again."""

    code: str
    uses: int
    expires_at: Timestamp | None


class MemberRole(Answer):
    """A member's role, as it is now."""

    user_id: UUID
    role: Role


class Banned(Answer):
    """Somebody who cannot join the room until the ban is lifted."""

    room_id: UUID
    user_id: UUID


class Invited(Answer):
    """Somebody who was asked to join."""

    room_id: UUID
    user_id: UUID


class Reacted(Answer):
    """A reaction that is safe."""

    message_id: UUID
    key: str


class MessageCreated(Answer):
    """Where a new message went."""

    id: UUID
    created_at: Timestamp
