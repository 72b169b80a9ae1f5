"""What the machine tells whoever runs it, beside requests and messages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoomKeyArrived:
    """Messages of this session can be read now, from the index on."""

    room_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class RoomKeyWithheld:
    """session_id is None where the sender could not make an Olm session."""

    sender: str
    room_id: str | None
    session_id: str | None
    code: str


@dataclass(frozen=True, slots=True)
class DeviceAppeared:
    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class DeviceKeysRefused:
    """The server gave keys that do not hold, or that changed although they never may."""

    user_id: str
    device_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """was_verified: we had verified the one before."""

    user_id: str
    was_verified: bool


@dataclass(frozen=True, slots=True)
class ToDeviceRefused:
    """A to-device message could not be read, or was not what it claimed to be."""

    sender: str
    reason: str


@dataclass(frozen=True, slots=True)
class SecretArrived:
    name: str


@dataclass(frozen=True, slots=True)
class BundleArrived:
    """Somebody shared the history of a room that they invite us to."""

    room_id: str
    sender: str


@dataclass(frozen=True, slots=True)
class VerificationChanged:
    """A verification began, went on or ended; look at it."""

    user_id: str
    flow_id: str


Notice = (
    RoomKeyArrived
    | RoomKeyWithheld
    | DeviceAppeared
    | DeviceKeysRefused
    | IdentityChanged
    | ToDeviceRefused
    | SecretArrived
    | BundleArrived
    | VerificationChanged
)
