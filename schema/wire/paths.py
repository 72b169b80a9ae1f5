"""What stands in the paths of REST requests."""

from schema.wire.base import MessageUUID, Query, ReactionKey, RoomUUID, SessionUUID, UserUUID


class NoPath(Query):
    """Nothing."""


class RoomPath(Query):
    """A room."""

    room_id: RoomUUID


class MemberPath(RoomPath):
    """A user in a room."""

    user_id: UserUUID


class MessagePath(Query):
    """A message, whatever its room."""

    message_id: MessageUUID


class ReactionPath(MessagePath):
    """One's own reaction to a message."""

    key: ReactionKey
    """Usually one emoji."""


class AttachmentPath(Query):
    """A file, by the parts of its Matrix address; the name is for people only."""

    server_name: str
    media_id: str
    filename: str


class UserPath(Query):
    """A user."""

    user_id: UserUUID


class SessionPath(Query):
    """A session of the caller."""

    session_id: SessionUUID
