"""Frames that the server sends over the WebSocket.

Durable frames carry a `cursor`: who connects again with it gets what came after. The others
(typing, presence, answers) are only of the moment.
"""

from typing import Literal
from uuid import UUID

from schema.wire.base import Answer, Cursor, Timestamp
from schema.wire.encryption import ClaimedKeys, KeysUploadedAnswer, News, QueriedKeys
from schema.wire.errors import ErrorCode
from schema.wire.objects import Inviter, Message, RoomOutline, Status, User


class Durable(Answer):
    """A frame that is sent again to a client that was away."""

    cursor: Cursor | None = None


class MessageNew(Durable):
    """Somebody wrote a message; the sender's own connections get it too."""

    type: Literal["message.new"]
    message: Message


class MessageSent(Answer):
    """Answer to a frame that writes: the change is safe. Only to the connection that sent it."""

    type: Literal["message.sent"]
    ref: str | None
    message_id: UUID
    """The new message; for edits, deletions and reactions the message they are about."""
    room_id: UUID
    created_at: Timestamp
    cursor: Cursor


class Ack(Answer):
    """Answer to any other frame that carried a `ref`."""

    type: Literal["ack"]
    ref: str


class MessageUpdated(Durable):
    """A message was edited; it has `edited_at`."""

    type: Literal["message.updated"]
    message: Message


class MessageDeleted(Durable):
    """A message was deleted."""

    type: Literal["message.deleted"]
    message_id: UUID
    room_id: UUID
    user_id: UUID
    """Who deleted it."""
    deleted_at: Timestamp


class ReactionAdded(Durable):
    """Somebody reacted to a message."""

    type: Literal["reaction.added"]
    message_id: UUID
    room_id: UUID
    user_id: UUID
    key: str


class ReactionRemoved(Durable):
    """Somebody took a reaction back."""

    type: Literal["reaction.removed"]
    message_id: UUID
    room_id: UUID
    user_id: UUID
    key: str


class MessageDelivered(Answer):
    """To the sender: the first device of another member has received the message."""

    type: Literal["message.delivered"]
    message_id: UUID
    delivered_at: Timestamp


class MessageReadBy(Durable):
    """A member has read up to a message."""

    type: Literal["message.read"]
    message_id: UUID
    user_id: UUID
    read_at: Timestamp
    room_id: UUID | None = None


class Unread(Durable):
    """To the reader's own connections: by their read marker, a message of their own or a deletion,
    less is unread than was, or more.
    """

    type: Literal["unread"]
    room_id: UUID
    unread_count: int
    last_read_id: UUID | None = None
    """The message up to which the reader has read now, if the marker moved."""


class Typing(Answer):
    """Somebody is writing; it wears off unless it is repeated."""

    type: Literal["typing"]
    room_id: UUID
    user_id: UUID
    user_name: str


class TypingStopped(Answer):
    """Somebody is not writing any more."""

    type: Literal["typing.stopped"]
    room_id: UUID
    user_id: UUID


class PresenceChanged(Answer):
    """Somebody came, left, or changed their status."""

    type: Literal["presence"]
    user_id: UUID
    status: Status
    last_seen: Timestamp | None


class UserUpdated(Answer):
    """Somebody changed their name or avatar."""

    type: Literal["user.updated"]
    user: User


class RoomUpdated(Durable):
    """Name, topic, members or another property of a room changed."""

    type: Literal["room.updated"]
    room: RoomOutline


class RoomJoined(Durable):
    """To the person who is a member now."""

    type: Literal["room.joined"]
    room: RoomOutline


class RoomLeft(Durable):
    """To the person who is not a member any more."""

    type: Literal["room.left"]
    room_id: UUID
    reason: Literal["left", "removed", "banned", "deleted"]


class RoomInvited(Durable):
    """To the person who is invited."""

    type: Literal["room.invited"]
    room: RoomOutline
    by: Inviter


class RoomDeleted(Durable):
    """The room is gone, for everybody."""

    type: Literal["room.deleted"]
    room_id: UUID


class MemberJoined(Durable):
    """To the other members: somebody is a member now."""

    type: Literal["member.joined"]
    room_id: UUID
    user_id: UUID
    user_name: str
    reason: str | None = None


class MemberLeft(Durable):
    """To the other members: somebody is not a member any more."""

    type: Literal["member.left"]
    room_id: UUID
    user_id: UUID
    user_name: str
    reason: Literal["left", "removed", "banned"] | None = None


class KeysUploaded(KeysUploadedAnswer):
    """Answer to `keys.upload`."""

    type: Literal["keys.uploaded"]
    ref: str | None = None


class KeysQueried(QueriedKeys):
    """Answer to `keys.query`."""

    type: Literal["keys.queried"]
    ref: str | None = None


class KeysClaimed(ClaimedKeys):
    """Answer to `keys.claim`."""

    type: Literal["keys.claimed"]
    ref: str | None = None


class EncryptionNews(News):
    """To a connection that sent `encryption.listen`: at first what is there, then whenever there is
    something new. The next one comes after `encryption.ack` with this one's token.
    """

    type: Literal["encryption.news"]


class Resumed(Answer):
    """Everything that was missed has been sent; what follows is live."""

    type: Literal["resumed"]
    cursor: Cursor
    replayed: int
    """How many frames were sent again."""


class SessionRevoked(Answer):
    """The session ended: logged out, password changed, or revoked. The connection closes."""

    type: Literal["session.revoked"]


class Pong(Answer):
    """Answer to `ping`."""

    type: Literal["pong"]
    ref: str | None = None


class ErrorFrame(Answer):
    """A frame was refused, or something is wrong with the connection."""

    type: Literal["error"]
    code: ErrorCode
    message: str
    """A sentence for people."""
    ref: str | None = None
    """Of the frame that was refused."""
    field: str | None = None
    """INVALID_INPUT and INVALID_FRAME: dotted path of what cannot be used."""
    retry_after_ms: int | None = None
    """RATE_LIMITED and UNAVAILABLE: when to try again."""


SERVER_FRAMES: tuple[type[Answer], ...] = (
    MessageNew,
    MessageSent,
    MessageUpdated,
    MessageDeleted,
    MessageDelivered,
    MessageReadBy,
    ReactionAdded,
    ReactionRemoved,
    Unread,
    Typing,
    TypingStopped,
    PresenceChanged,
    UserUpdated,
    RoomUpdated,
    RoomJoined,
    RoomLeft,
    RoomInvited,
    RoomDeleted,
    MemberJoined,
    MemberLeft,
    KeysUploaded,
    KeysQueried,
    KeysClaimed,
    EncryptionNews,
    Resumed,
    SessionRevoked,
    Ack,
    Pong,
    ErrorFrame,
)
