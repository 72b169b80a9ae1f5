"""What frames and bodies are about: users, messages, rooms.

A field with a default is left out where it has nothing to say: a message that was never edited
has no `edited_at`.
"""

from typing import Literal
from uuid import UUID

from schema.wire.base import Answer, Timestamp

RoomType = Literal["direct", "group", "channel"]
Role = Literal["admin", "member"]
Status = Literal["online", "away", "busy", "offline"]
HistoryVisibility = Literal["invited", "joined", "shared", "world_readable"]


class User(Answer):
    """A person or a bot."""

    id: UUID
    name: str
    email: str | None
    """Only for those who share a room with the user; null for users of other servers."""
    avatar_url: str | None
    status: Status
    """`offline` for those who do not share a room with the user."""


class Me(User):
    """The account of the caller."""

    username: str
    """The part of the Matrix user ID before the colon."""
    user_id: str
    """The Matrix user ID."""
    device_id: str
    """What Matrix calls the session that asks."""
    is_admin: bool


class UserHit(Answer):
    """A user as search finds them."""

    id: UUID
    name: str
    email: str | None
    avatar_url: str | None = None


class Inviter(Answer):
    """Who invites."""

    id: UUID
    name: str
    user_id: str
    """The Matrix user ID."""


class Presence(Answer):
    """Whether somebody is there."""

    user_id: UUID
    status: Status
    last_seen: Timestamp | None
    """Null if they never were."""


class Attachment(Answer):
    """A file of a message."""

    id: UUID
    url: str
    """Path on this server; it needs the access token, like everything else. With `width` and \
`height` in a query it is a thumbnail."""
    filename: str
    size: int
    """Bytes."""
    mime_type: str
    width: int | None = None
    """Pixels."""
    height: int | None = None
    blurhash: str | None = None
    """A few colours of the picture as text (blurha.sh), to be shown until it is there."""


class Reaction(Answer):
    """Everybody who reacted to a message with one key."""

    key: str
    """Usually one emoji."""
    count: int
    users: list[UUID]
    """The first 50 of them."""
    mine: bool | None = None
    """Whether the caller is among them; only in REST answers."""


class Encrypted(Answer):
    """What an encrypted message says, for devices that have its key (`m.room.encrypted`)."""

    algorithm: str
    ciphertext: str
    session_id: str
    sender_key: str | None = None
    device_id: str | None = None
    event_id: str
    """The Matrix event that carries it: of an edited message, the newest edit."""
    sender: str
    """The Matrix user ID of whoever wrote it."""
    reference: str | None = None
    """The Matrix ID of an event that this one belongs to (`m.reference`)."""


class Message(Answer):
    """A message as it is now: after its edits, with its reactions."""

    id: UUID
    room_id: UUID
    user_id: UUID
    user_name: str
    content: str | None = None
    """Empty for a deleted message; absent for one that has `encrypted`."""
    created_at: Timestamp
    reply_to: UUID | None
    attachments: list[Attachment]
    encrypted: Encrypted | None = None
    """In place of `content`."""
    thread_id: UUID | None = None
    """The first message of the thread that this one is in."""
    thread_count: int | None = None
    """How many messages stand in the thread that begins here."""
    edited_at: Timestamp | None = None
    reactions: list[Reaction] | None = None
    deleted_at: Timestamp | None = None


class Encryption(Answer):
    """How messages of a room are encrypted. What the room does not say is left out."""

    algorithm: str
    rotation_period_ms: int | None = None
    """After so long a sender begins another session."""
    rotation_period_msgs: int | None = None
    """After so many messages a sender begins another session."""


class RoomOutline(Answer):
    """A room as frames tell it: `id`, `name` and `members` always, the rest as far as known."""

    id: UUID
    name: str | None
    """Null for a room without a name; a direct room has the name of the other person."""
    members: list[UUID]
    """The members, or the first 250 of them."""
    type: RoomType | None = None
    created_at: Timestamp | None = None
    member_count: int | None = None
    """How many members the room has."""
    members_truncated: bool | None = None
    """True if `members` does not list them all; GET /api/rooms/{room_id}/members does."""
    topic: str | None = None
    avatar_url: str | None = None
    public: bool | None = None
    """Whether everybody on the server may find and join it."""
    history_visibility: HistoryVisibility | None = None
    """Who may read what was written before they joined."""
    encryption: Encryption | None = None
    """Only of a room where messages must be encrypted."""
    matrix_id: str | None = None
    """The Matrix room ID; only of such a room."""


class Room(RoomOutline):
    """A room as one of its members sees it."""

    type: RoomType
    created_at: Timestamp
    role: Role | None = None
    """The caller's role."""


class RoomSummary(Answer):
    """A room in the list of rooms."""

    id: UUID
    name: str | None
    type: RoomType
    last_message: Message | None
    unread_count: int
    topic: str | None = None
    avatar_url: str | None = None
    member_count: int | None = None
    last_read_id: UUID | None = None
    """The message up to which the caller has read."""
    encryption: Encryption | None = None
    """Only of a room where messages must be encrypted."""
    matrix_id: str | None = None
    """The Matrix room ID; only of such a room."""


class Channel(Answer):
    """A public channel in the directory."""

    id: UUID
    name: str | None
    topic: str | None
    avatar_url: str | None
    member_count: int
    joined: bool
    """Whether the caller is a member."""


class Invite(Answer):
    """An invitation to a room that the caller has neither accepted nor declined."""

    room: RoomOutline
    """As far as somebody who is not a member may know it."""
    by: Inviter
    invited_at: Timestamp


class Member(Answer):
    """A member of a room."""

    id: UUID
    name: str
    avatar_url: str | None
    role: Role


class Receipt(Answer):
    """How far a message came with one of the other members."""

    user_id: UUID
    user_name: str
    delivered_at: Timestamp | None
    read_at: Timestamp | None


class Session(Answer):
    """A log-in of the caller, by the native or the Matrix protocol."""

    id: UUID
    name: str
    created_at: Timestamp
    last_seen_at: Timestamp
    last_seen_ip: str | None
    user_agent: str
    current: bool
    """Whether this is the session that asks."""
