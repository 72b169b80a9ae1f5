"""What end-to-end encryption sends and is sent.

Signatures and encrypted payloads name people, devices, rooms and events by their Matrix IDs, so
here they are called so too. Key objects and contents are those of the Matrix specification.
"""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, RootModel, ValidationInfo
from pydantic_core import PydanticCustomError

from schema.wire.base import (
    FILLED,
    MAX_MESSAGE_BYTES,
    NUL_FREE,
    Answer,
    ExactRequest,
    MessageText,
    Query,
    Ref,
    Request,
    not_blank,
)
from schema.wire.objects import HistoryVisibility

MAX_EVENT_BYTES = 65_536
"""C-S API v1.19 "Size limits"."""
_MAX_COUNT = 2**53 - 1

MatrixName = Annotated[str, Field(max_length=255), NUL_FREE]
"""A Matrix ID, or a name that stands beside one: of a device, a session, an algorithm."""
FilledName = Annotated[str, Field(max_length=255), FILLED]
EventReference = Annotated[str, Field(max_length=255, pattern=r"^\$[^\u0000]+$")]
SyncToken = Annotated[str, Field(max_length=255), NUL_FREE]
"""What a device was told; opaque."""
JsonObject = dict[str, Any]


class EncryptedContent(ExactRequest):
    """A message that only the devices of the room can read (`m.room.encrypted`)."""

    algorithm: FilledName
    """`m.megolm.v1.aes-sha2`."""
    ciphertext: Annotated[str, Field(max_length=MAX_EVENT_BYTES), FILLED]
    session_id: FilledName
    sender_key: MatrixName | None = None
    device_id: MatrixName | None = None
    reference: EventReference | None = None
    """The Matrix ID of an event that this one belongs to (`m.reference`), such as a request to \
verify."""


def _without_attachments(
    encrypted: EncryptedContent | None, info: ValidationInfo
) -> EncryptedContent | None:
    if encrypted is not None and info.data.get("attachments"):
        raise PydanticCustomError("text", "names its files inside, not as attachments")
    return encrypted


def _exactly_one(text: str | None, info: ValidationInfo) -> str | None:
    """Where `encrypted` is malformed, that is what is wrong."""
    if "encrypted" in info.data:
        encrypted = info.data["encrypted"]
        if text is None and encrypted is None:
            raise PydanticCustomError("missing", "is missing")
        if text is not None and encrypted is not None:
            raise PydanticCustomError("text", "cannot stand beside encrypted")
    return text


def _needed_without_attachments(text: str | None, info: ValidationInfo) -> str | None:
    """Where the attachments are malformed, that is what is wrong."""
    if text is None or info.data.get("attachments", True):
        return text
    return not_blank(text)


OptionalEncrypted = Annotated[EncryptedContent | None, AfterValidator(_without_attachments)]
"""In place of the content; `attachments`, if the model has them, stand before it there."""

OptionalMessageText = Annotated[
    Annotated[str, Field(max_length=MAX_MESSAGE_BYTES), NUL_FREE] | None,
    AfterValidator(_needed_without_attachments),
    AfterValidator(_exactly_one),
    Field(validate_default=True),
]
"""Content of a message that may have attachments or be encrypted, which stand before it in the
model."""

OptionalEditText = Annotated[
    MessageText | None, AfterValidator(_exactly_one), Field(validate_default=True)
]
"""Content of an edit that may be encrypted, which stands before it in the model."""


class KeyUpload(ExactRequest):
    """Keys of the device that asks."""

    device_keys: JsonObject | None = None
    one_time_keys: JsonObject | None = None
    """By algorithm and ID, at most 1,000."""
    fallback_keys: JsonObject | None = None


class KeyQuery(Request):
    """Whose keys to read."""

    device_keys: dict[MatrixName, list[MatrixName]]
    """Devices by user; none for all. At most 10,000 users."""


class KeyClaim(Request):
    """One-time keys to take: one of each device."""

    one_time_keys: dict[MatrixName, dict[MatrixName, MatrixName]]
    """Algorithms by user and device, at most 10,000."""


DeviceMessages = dict[MatrixName, dict[MatrixName, JsonObject]]
"""Contents by user and device, or `*`."""


class NewDeviceMessages(Request):
    """Messages of one type to devices."""

    type: FilledName
    ref: Ref
    """A request that repeats the `ref` of an earlier one of the session sends nothing."""
    messages: DeviceMessages
    """By user and device; `*` means all devices of a user. At most 5,000, of 64 KiB each."""


class NewsQuery(Query):
    """What the device knows."""

    since: SyncToken | None = None
    """The token of the last news; absent: nothing. What came with it is acknowledged by this."""


class NewIdentity(ExactRequest):
    """Cross-signing keys. Those that are absent stay."""

    master_key: JsonObject | None = None
    self_signing_key: JsonObject | None = None
    user_signing_key: JsonObject | None = None
    password: Annotated[str, Field(min_length=1, max_length=1024), NUL_FREE] | None = None
    """Of the account; needed for keys that replace others."""


class NewSignatures(Request):
    """Signed objects by user, and by device or public key."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)


class NewBackup(Request):
    """A backup of room keys, without keys yet."""

    algorithm: FilledName
    auth_data: JsonObject


class ChangedBackup(NewBackup, ExactRequest):
    """What is known of a backup besides its keys; the algorithm stays."""

    version: MatrixName | None = None
    """If given, that of the path."""


class BackedUpKey(Request):
    """A room key in a backup. Of two the better is kept."""

    first_message_index: Annotated[int, Field(ge=0, le=_MAX_COUNT)]
    forwarded_count: Annotated[int, Field(ge=0, le=_MAX_COUNT)]
    is_verified: bool
    session_data: JsonObject


class BackedUpRoom(Request):
    """Keys of one room."""

    sessions: dict[MatrixName, BackedUpKey]


class BackedUpKeys(Request):
    """Keys of rooms."""

    rooms: dict[MatrixName, BackedUpRoom]


class BackupKeysQuery(Query):
    """Which keys: all of the backup, of a room, or of one session of a room."""

    room_id: MatrixName | None = None
    """A Matrix ID."""
    session_id: MatrixName | None = None


class AccountDataContent(Request):
    """Any object."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any] = Field(init=False)


class AccountDataAnswer(RootModel[dict[str, Any]]):
    """The object."""


class BackupPath(Query):
    """A backup of the caller."""

    version: MatrixName


class AccountDataPath(Query):
    """A type of account data, such as `m.secret_storage.default_key`."""

    type: MatrixName


class KeysUploadedAnswer(Answer):
    """What the device has to hand out now."""

    one_time_key_counts: dict[str, int]
    """By algorithm."""


class QueriedKeys(Answer):
    """Keys by user, and devices' also by device."""

    device_keys: dict[str, dict[str, JsonObject]]
    master_keys: dict[str, JsonObject]
    self_signing_keys: dict[str, JsonObject]
    user_signing_keys: dict[str, JsonObject]
    """Only of the caller."""
    failures: dict[str, JsonObject]
    """By server that could not be asked."""


class ClaimedKeys(Answer):
    """Keys by user, device, and algorithm with ID. Nobody else gets them."""

    one_time_keys: dict[str, dict[str, dict[str, Any]]]
    failures: dict[str, JsonObject]
    """By server that could not be asked."""


class DeviceMessage(Answer):
    """A message to this device."""

    sender: str
    type: str
    content: JsonObject


class DeviceLists(Answer):
    """Of those who share a room with the user, and of the user himself."""

    changed: list[str]
    """Whose keys must be read again."""
    left: list[str]
    """Who shares no room any more."""


class News(Answer):
    """What a device is told."""

    token: str
    to_device: list[DeviceMessage]
    """At most 100; they come again until the token is acknowledged."""
    device_lists: DeviceLists
    one_time_key_counts: dict[str, int]
    """One-time keys that are left, by algorithm."""
    unused_fallback_key_types: list[str]


class SignatureFailures(Answer):
    """What was wrong, by user, and by device or public key; the rest is stored."""

    failures: dict[str, dict[str, JsonObject]]
    """Each with `code` and `message`, as in an error."""


class BackupVersion(Answer):
    """The new backup."""

    version: str


class Counted(Answer):
    """How much is in a backup, and a text that changes with it."""

    count: int
    etag: str


class Backup(Counted):
    """A backup without its keys."""

    algorithm: str
    auth_data: JsonObject
    version: str


class BackedUpKeyAnswer(Answer):
    """A room key in a backup."""

    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: JsonObject


class BackedUpRoomAnswer(Answer):
    """Keys of one room, by session."""

    sessions: dict[str, BackedUpKeyAnswer]


class BackedUpKeysAnswer(Answer):
    """Keys by room, whose IDs are Matrix IDs."""

    rooms: dict[str, BackedUpRoomAnswer]


class Recipient(Answer):
    """Somebody whose devices a message is encrypted for."""

    id: UUID
    user_id: str
    """The Matrix user ID."""
    name: str
    membership: str
    """`join` or `invite`."""


class RoomEncryption(Answer):
    """For whom, and with what, messages of a room are encrypted."""

    matrix_id: str
    """The Matrix room ID."""
    algorithm: str
    rotation_period_ms: int | None
    """After so long a sender begins another session; null: as the sender likes."""
    rotation_period_msgs: int | None
    history_visibility: HistoryVisibility
    """Who is invited reads along where it is `invited`, `shared` or `world_readable`."""
    members: list[Recipient]
