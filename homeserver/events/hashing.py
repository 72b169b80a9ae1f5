"""Content hash, reference hash, and the event ID that comes from the latter.

Source: Matrix v1.19 server-server API, "Signing Events".
"""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json
from homeserver.events.redaction import redact
from homeserver.events.room_version import EventIDFormat, RoomVersion
from homeserver.identifiers import EventID

_NOT_IN_CONTENT_HASH = frozenset({"unsigned", "signatures", "hashes"})
_NOT_SIGNED = frozenset({"unsigned", "signatures"})


def content_hash(pdu: Mapping[str, Any]) -> bytes:
    """SHA-256 over the complete event. Source: "Calculating the content hash for an event"."""
    return sha256(_canonical_without(pdu, _NOT_IN_CONTENT_HASH)).digest()


def content_hash_matches(pdu: Mapping[str, Any]) -> bool:
    """Whether `hashes` names the content hash. If not, the event counts as redacted."""
    try:
        claimed = base64.decode(pdu["hashes"]["sha256"])
    except InvalidInput:
        return False
    return compare_digest(claimed, content_hash(pdu))


def signed_bytes(pdu: Mapping[str, Any], version: RoomVersion) -> bytes:
    """What event signatures and the reference hash cover: the redacted event."""
    return _canonical_without(redact(pdu, version), _NOT_SIGNED)


def reference_hash(pdu: Mapping[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 over the essential fields of an event that carries its content hash.
    Source: "Calculating the reference hash for an event".
    """
    return sha256(signed_bytes(pdu, version)).digest()


def event_id_of(pdu: Mapping[str, Any], version: RoomVersion) -> EventID:
    """The event's ID: from the event itself in room versions 1 and 2, its reference hash since."""
    if version.events_carry_id:
        return EventID(pdu["event_id"])
    return event_id_from(reference_hash(pdu, version), version)


def event_id_from(digest: bytes, version: RoomVersion) -> EventID:
    """The event ID that a reference hash stands for (room versions since 3)."""
    if version.event_id_format is EventIDFormat.HASH_BASE64:
        return EventID("$" + base64.encode(digest))
    return EventID("$" + base64.encode_urlsafe(digest))


def _canonical_without(pdu: Mapping[str, Any], dropped: frozenset[str]) -> bytes:
    return canonical_json.encode({key: pdu[key] for key in pdu if key not in dropped})
