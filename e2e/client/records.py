"""The records of a vault: frozen values that are written as JSON.

Names in the vault: Account, CrossSigning, Backup and OutboxCounter are one of each, under "".
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

THE_ONE = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Our device. pickle: libolm's account with all private keys.
    on_server: unclaimed one-time keys that the server holds, None before it has said.
    """

    KIND: ClassVar[str] = "account"
    user_id: str
    device_id: str
    curve25519: str
    ed25519: str
    pickle: str
    device_keys_uploaded: bool = False
    on_server: int | None = None
    fallback_wanted: bool = True
    fallback_uploaded_ms: int | None = None
    old_fallback_kept: bool = False


class LocalTrust(StrEnum):
    """What the user has said about one device, apart from cross-signing."""

    UNSET = "unset"
    VERIFIED = "verified"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Device:
    """Of anybody. signed: the object of its keys, whose signature by itself we have checked.
    cross_signed: by the self-signing key that its user has now.
    """

    user_id: str
    device_id: str
    curve25519: str
    ed25519: str
    algorithms: tuple[str, ...]
    signed: dict[str, Any]
    display_name: str | None = None
    cross_signed: bool = False
    local: LocalTrust = LocalTrust.UNSET


@dataclass(frozen=True, slots=True)
class Identity:
    """The cross-signing keys of a user, whose signatures by the master key we have checked.
    Objects as the server gave them. user_signing: only of ourselves.
    """

    master: dict[str, Any]
    self_signing: dict[str, Any] | None = None
    user_signing: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class User:
    """Under the user ID. serial: counts reports that the list changed.
    pinned_master: the master key that we saw first, or that was acknowledged or verified since.
    verified_master: the one that this user's own words (SAS, QR, recovery key) confirmed.
    """

    KIND: ClassVar[str] = "user"
    tracked: bool = False
    outdated: bool = False
    serial: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    identity: Identity | None = None
    pinned_master: str | None = None
    verified_master: str | None = None


@dataclass(frozen=True, slots=True)
class OlmSession:
    """received_ms: when it last decrypted a message, or was made."""

    session_id: str
    pickle: str
    received_ms: int


@dataclass(frozen=True, slots=True)
class OlmPeer:
    """Sessions with one device, under its Curve25519 key.
    renewed_ms: when we last made a session to replace a broken one.
    no_keys_ms: when the server last had no one-time key of it.
    told_no_olm: they know that we could not make a session.
    """

    KIND: ClassVar[str] = "olm"
    sessions: tuple[OlmSession, ...] = ()
    renewed_ms: int | None = None
    no_keys_ms: int | None = None
    told_no_olm: bool = False


@dataclass(frozen=True, slots=True)
class Wedged:
    """A device, under its Curve25519 key, whose message no session could read: it needs a new
    session, and a message that tells of it.
    """

    KIND: ClassVar[str] = "wedged"
    user_id: str


@dataclass(frozen=True, slots=True)
class Room:
    """Encryption of a room, under its ID. Once on, it stays on."""

    KIND: ClassVar[str] = "room"
    rotation_ms: int
    rotation_messages: int
    history_visibility: str = "shared"


@dataclass(frozen=True, slots=True)
class OutboundGroup:
    """The session with which we write to a room, under the room's ID.
    shared_with: user ID → device ID → Curve25519 key of who has the key (or will get it from the
    outbox). withheld: user ID → device ID → code of who was told that they do not get it.
    """

    KIND: ClassVar[str] = "outbound"
    session_id: str
    pickle: str
    created_ms: int
    shared_history: bool
    messages: int = 0
    shared_with: dict[str, dict[str, str]] = field(default_factory=dict)
    withheld: dict[str, dict[str, str]] = field(default_factory=dict)


class Source(StrEnum):
    """Where a room key came from. Only DIRECT says by itself whose it is."""

    DIRECT = "direct"
    FORWARDED = "forwarded"
    BACKUP = "backup"
    EXPORT = "export"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class InboundGroup:
    """A session that we can read, under its ID. sender: who sent the key over Olm, for DIRECT;
    for FORWARDED and BUNDLE who shared it.
    """

    KIND: ClassVar[str] = "inbound"
    session_id: str
    room_id: str
    pickle: str
    first_index: int
    sender_key: str
    sender_ed25519: str
    source: Source
    sender: str | None = None
    forwarding_chain: tuple[str, ...] = ()
    shared_history: bool = False


@dataclass(frozen=True, slots=True)
class RoomSessions:
    """IDs of the sessions of a room, under the room's ID; fetched for exports and bundles only."""

    KIND: ClassVar[str] = "sessions"
    session_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenIndices:
    """Which event took which place in a session, under "session|page"."""

    KIND: ClassVar[str] = "seen"
    events: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToBackUp:
    """A session that the backup does not have from this message on, under its ID."""

    KIND: ClassVar[str] = "tobackup"
    first_index: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """What we were told about a session that we do not get, under its ID."""

    KIND: ClassVar[str] = "withheld"
    room_id: str
    code: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A room key that we asked our other devices for, under its session ID. refused: by one of
    them, since we asked the last time.
    """

    KIND: ClassVar[str] = "keyrequest"
    request_id: str
    room_id: str
    sender_key: str
    at_ms: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """A secret that we asked our other devices for, under the request's ID."""

    KIND: ClassVar[str] = "secretrequest"
    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class AskedSecret:
    """A secret that another device of ours asked for, under "device|request"."""

    KIND: ClassVar[str] = "askedsecret"
    device_id: str
    request_id: str
    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class CrossSigning:
    """Private halves that this device has: seeds, Base64."""

    KIND: ClassVar[str] = "crosssigning"
    master: str | None = None
    self_signing: str | None = None
    user_signing: str | None = None
    to_upload: bool = False


@dataclass(frozen=True, slots=True)
class Backup:
    """The backup that this device writes to. private_key: Base64, where we have it.
    wanted: the body of a version that the server does not know yet.
    """

    KIND: ClassVar[str] = "backup"
    public_key: str
    version: str | None = None
    private_key: str | None = None
    wanted: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """Shared history that waits until we join, under "room|sender". sender_key: the Curve25519 key
    of the device that told of it.
    """

    KIND: ClassVar[str] = "bundle"
    room_id: str
    sender: str
    file: dict[str, Any]
    received_ms: int
    sender_key: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An invitation that we accepted, under its room."""

    KIND: ClassVar[str] = "accepted"
    inviter: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that must not be lost, under its number. body: depends on the kind."""

    KIND: ClassVar[str] = "outbox"
    request: str
    txn_id: str
    event_type: str
    messages: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutboxCounter:
    KIND: ClassVar[str] = "outboxcounter"
    next_number: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Whatever the client on top keeps beside: its sync token, under the note's name."""

    KIND: ClassVar[str] = "note"
    text: str


FETCHED = (InboundGroup.KIND, RoomSessions.KIND, SeenIndices.KIND)
"""Kinds that grow with the number of messages; all others are in memory whole."""
