"""Keys in backups: which of two is kept. Pure.

Source: C-S API v1.19 "Server-side key backups"; `key_backup.yaml`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from homeserver.errors import InvalidInput, TooLarge
from homeserver.events import canonical_json
from homeserver.storage.key_backups import KeyRow

MAX_SESSION_DATA_BYTES = 16_384
MAX_ID_BYTES = 255
_MAX_COUNT = 2**53 - 1

Place = tuple[str, str]
BackedUpKey = KeyRow


def is_better(new: KeyRow, old: KeyRow) -> bool:
    """Whether a key replaces one that is there already."""
    if new.is_verified != old.is_verified:
        return new.is_verified
    if new.first_message_index != old.first_message_index:
        return new.first_message_index < old.first_message_index
    return new.forwarded_count < old.forwarded_count


def to_be_stored(given: Iterable[KeyRow], stored: Mapping[Place, KeyRow]) -> list[KeyRow]:
    """Those that are new, or better than what is there."""
    return [key for key in given if key.place not in stored or is_better(key, stored[key.place])]


def key_row(
    room_id: str,
    session_id: str,
    *,
    first_message_index: int,
    forwarded_count: int,
    is_verified: bool,
    session_data: Mapping[str, Any],
) -> KeyRow:
    """Raises InvalidInput, TooLarge."""
    for text in (room_id, session_id):
        canonical_json.check_text(text)
        if not text or "\0" in text or len(text.encode()) > MAX_ID_BYTES:
            raise InvalidInput(f"The ID of a room or a session has up to {MAX_ID_BYTES} bytes.")
    for number in (first_message_index, forwarded_count):
        if not 0 <= number <= _MAX_COUNT:
            raise InvalidInput("Indices and counts are from 0 to 2^53 - 1.")
    return KeyRow(
        room_id=room_id,
        session_id=session_id,
        first_message_index=first_message_index,
        forwarded_count=forwarded_count,
        is_verified=is_verified,
        session_data=encoded(session_data, MAX_SESSION_DATA_BYTES),
    )


def encoded(data: Mapping[str, Any], max_bytes: int) -> bytes:
    """JSON that only clients understand. Raises InvalidInput, TooLarge."""
    raw = canonical_json.encode(data)
    if len(raw) > max_bytes:
        raise TooLarge(f"This has at most {max_bytes} bytes.")
    return raw
