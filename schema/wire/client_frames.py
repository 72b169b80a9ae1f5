"""Frames that clients send over the WebSocket.

`message.send` refuses fields it does not know, because a misspelt `reply_to` would be lost, and so
do `keys.upload` and `encryption.listen`; the other frames ignore them (the rule stands in
`schema.wire`).
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from schema.wire.base import (
    Attachments,
    ExactRequest,
    MessageUUID,
    ReactionKey,
    Ref,
    Request,
    RoomUUID,
)
from schema.wire.encryption import (
    DeviceMessages,
    FilledName,
    KeyClaim,
    KeyQuery,
    KeyUpload,
    OptionalEditText,
    OptionalEncrypted,
    OptionalMessageText,
    SyncToken,
)
from schema.wire.objects import Status


class Frame(Request):
    """Any frame of a client."""

    ref: Ref | None = None
    """Names the frame; comes back in the answer."""


class MessageSend(Frame, ExactRequest):
    """Write a message. The answer is `message.sent`, once the message is safe."""

    type: Literal["message.send"]
    room_id: RoomUUID
    attachments: Attachments = ()
    """Files to show, by the `id` that the upload answered. Each becomes a message; the last one \
has the content and is what the answer is about."""
    encrypted: OptionalEncrypted = None
    """In place of `content`; needed in an encrypted room."""
    content: OptionalMessageText = None
    """May be empty if there are attachments."""
    reply_to: MessageUUID | None = None
    thread_id: MessageUUID | None = None
    """The first message of the thread to write in."""


class MessageEdit(Frame):
    """Replace the content of a message of one's own. Answered by `message.sent`."""

    type: Literal["message.edit"]
    message_id: MessageUUID
    encrypted: OptionalEncrypted = None
    """In place of `content`; needed in an encrypted room."""
    content: OptionalEditText = None


class MessageDelete(Frame):
    """Delete a message: one's own, or as an admin of the room. Answered by `message.sent`."""

    type: Literal["message.delete"]
    message_id: MessageUUID


class ReactionAdd(Frame):
    """React to a message. Answered by `message.sent`."""

    type: Literal["reaction.add"]
    message_id: MessageUUID
    key: ReactionKey


class ReactionRemove(Frame):
    """Take a reaction of one's own back. Answered by `message.sent`."""

    type: Literal["reaction.remove"]
    message_id: MessageUUID
    key: ReactionKey


class MessageRead(Frame):
    """Mark a room as read up to a message."""

    type: Literal["message.read"]
    room_id: RoomUUID
    message_id: MessageUUID


class TypingStart(Frame):
    """Show the room that one is writing. It wears off unless it is repeated."""

    type: Literal["typing.start"]
    room_id: RoomUUID


class TypingStop(Frame):
    """Show the room that one is not writing any more."""

    type: Literal["typing.stop"]
    room_id: RoomUUID


class PresenceUpdate(Frame):
    """Say whether one is there, for this connection."""

    type: Literal["presence.update"]
    status: Status


class KeysUpload(Frame, KeyUpload):
    """Upload keys of this device. Answered by `keys.uploaded`."""

    type: Literal["keys.upload"]


class KeysQuery(Frame, KeyQuery):
    """Read keys of users. Answered by `keys.queried`."""

    type: Literal["keys.query"]


class KeysClaim(Frame, KeyClaim):
    """Take one-time keys of devices. Answered by `keys.claimed`."""

    type: Literal["keys.claim"]


class ToDeviceSend(Frame):
    """Send messages to devices. Answered by `ack` once they are safe."""

    type: Literal["to_device.send"]
    ref: Ref
    """Names the frame; one that repeats it sends nothing."""
    event_type: FilledName
    messages: DeviceMessages
    """Contents by user and device; `*` means all devices of a user."""


class EncryptionListen(Frame, ExactRequest):
    """From now on this connection is told what concerns encryption, by `encryption.news`."""

    type: Literal["encryption.listen"]
    since: SyncToken | None = None
    """The token of the last news that the device has, which this acknowledges; absent: none."""


class EncryptionAck(Frame):
    """The device has what came with a token; only then more comes."""

    type: Literal["encryption.ack"]
    token: SyncToken


class Ping(Frame):
    """Answered by `pong`."""

    type: Literal["ping"]


ClientFrame = Annotated[
    MessageSend
    | MessageEdit
    | MessageDelete
    | ReactionAdd
    | ReactionRemove
    | MessageRead
    | TypingStart
    | TypingStop
    | PresenceUpdate
    | KeysUpload
    | KeysQuery
    | KeysClaim
    | ToDeviceSend
    | EncryptionListen
    | EncryptionAck
    | Ping,
    Field(discriminator="type"),
]

CLIENT_FRAMES: tuple[type[Frame], ...] = (
    MessageSend,
    MessageEdit,
    MessageDelete,
    MessageRead,
    ReactionAdd,
    ReactionRemove,
    TypingStart,
    TypingStop,
    PresenceUpdate,
    KeysUpload,
    KeysQuery,
    KeysClaim,
    ToDeviceSend,
    EncryptionListen,
    EncryptionAck,
    Ping,
)

WRITES = (MessageSend, MessageEdit, MessageDelete, ReactionAdd, ReactionRemove)
"""Frames whose answer is `message.sent`; the others but `ping` and those about keys get `ack` if \
they have a `ref`."""

_CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(
    ClientFrame, config=ConfigDict(hide_input_in_errors=True)
)


def parse_client_frame(raw: str | bytes) -> ClientFrame:
    """The frame that a client sent.

    Raises pydantic's ValidationError; `clientapi.errors.frame_error` says what to answer.
    """
    return _CLIENT_FRAME.validate_json(raw)
