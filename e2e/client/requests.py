"""What the machine asks to be sent. `http.py` knows the endpoints.

A request that is not answered is handed out again: each can be sent twice without harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UploadKeys:
    """`POST /keys/upload`."""

    body: JSON


@dataclass(frozen=True, slots=True)
class QueryKeys:
    """`POST /keys/query`. serials: for each user, which change of their list this asks about."""

    serials: Mapping[str, int]

    @property
    def body(self) -> JSON:
        return {"device_keys": {user_id: [] for user_id in self.serials}}


@dataclass(frozen=True, slots=True)
class ClaimKeys:
    """`POST /keys/claim`. devices: user IDs and device IDs."""

    devices: tuple[tuple[str, str], ...]

    @property
    def body(self) -> JSON:
        keys: dict[str, dict[str, str]] = {}
        for user_id, device_id in self.devices:
            keys.setdefault(user_id, {})[device_id] = "signed_curve25519"
        return {"one_time_keys": keys}


@dataclass(frozen=True, slots=True)
class SendToDevice:
    """`PUT /sendToDevice/{event_type}/{txn_id}`. messages: user ID → device ID → content."""

    txn_id: str
    event_type: str
    messages: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class SendRoomEvent:
    """`PUT /rooms/{room_id}/send/{event_type}/{txn_id}`, encrypted where the room is."""

    txn_id: str
    room_id: str
    event_type: str
    content: JSON


@dataclass(frozen=True, slots=True)
class UploadCrossSigning:
    """`POST /keys/device_signing/upload`; the server may ask the user to authenticate."""

    body: JSON


@dataclass(frozen=True, slots=True)
class UploadSignatures:
    """`POST /keys/signatures/upload`."""

    body: JSON


@dataclass(frozen=True, slots=True)
class CreateBackup:
    """`POST /room_keys/version`."""

    body: JSON


@dataclass(frozen=True, slots=True)
class PutBackupKeys:
    """`PUT /room_keys/keys`. sessions: the IDs that it contains, with their first indices."""

    version: str
    body: JSON
    sessions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PutAccountData:
    """`PUT /user/{userId}/account_data/{event_type}`."""

    event_type: str
    content: JSON


Request = (
    UploadKeys
    | QueryKeys
    | ClaimKeys
    | SendToDevice
    | SendRoomEvent
    | UploadCrossSigning
    | UploadSignatures
    | CreateBackup
    | PutBackupKeys
    | PutAccountData
)
