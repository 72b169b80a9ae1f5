"""From bytes to events: the event format of every room version.

Source: Matrix v1.19 "Room Versions", section "Event format" of each; C-S API "Size limits".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeserver.errors import InvalidIdentifier, InvalidInput, TooLarge, Unusable
from homeserver.events import canonical_json, hashing
from homeserver.events.event import Event
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import (
    MAX_IDENTIFIER_BYTES,
    EventID,
    RoomID,
    UserID,
    parse_room_id,
    parse_user_id,
)

MAX_EVENT_BYTES = 65_536
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10
_INT64 = range(-(2**63), 2**63)


def parse(raw: bytes | Mapping[str, Any], version: RoomVersion) -> Event:
    """An event that somebody else made: of the right format, and small enough. Its hash, its
    signatures and whether it is allowed are other questions.
    Raises InvalidInput with the dotted name of the offending field, or TooLarge.
    """
    pdu = _object(canonical_json.decode(raw) if isinstance(raw, bytes) else raw)
    signed = {key: value for key, value in pdu.items() if key != "unsigned"}
    canonical = canonical_json.encode(signed)
    check_size(canonical)
    _check_fields(pdu, version)
    if version.strict_canonical_json:
        canonical_json.check_strict(signed)
    event_id = hashing.event_id_of(signed, version)
    return assemble(signed, canonical_json.compact(canonical), event_id, version)


def load(raw: bytes, event_id: EventID, version: RoomVersion, room_id: RoomID) -> Event:
    """An event that we have checked and stored before: nothing is checked again."""
    return _event(_decode_own(raw, version), raw, event_id, version, room_id)


def pdu_of(event: Event) -> dict[str, Any]:
    """The event as an object of the federation format, without `unsigned`."""
    return _decode_own(event.raw, event.version)


def _decode_own(raw: bytes, version: RoomVersion) -> dict[str, Any]:
    strict = version.strict_canonical_json
    pdu: dict[str, Any] = (
        canonical_json.decode_strict(raw) if strict else canonical_json.decode(raw)
    )
    return pdu


def check_size(canonical: bytes) -> None:
    """C-S API v1.19 "Size limits": the complete event, with signatures. Raises TooLarge."""
    if len(canonical) > MAX_EVENT_BYTES:
        raise TooLarge(f"an event may have {MAX_EVENT_BYTES} bytes, this one has {len(canonical)}")


def check_key(text: str, field: str) -> None:
    """C-S API v1.19 "Size limits", restrictions per key. Raises TooLarge, and InvalidInput for
    lone surrogates and for U+0000, which the databases that servers use cannot keep in a key.
    """
    if text.isascii() and len(text) <= MAX_IDENTIFIER_BYTES and "\0" not in text:
        return
    canonical_json.check_text(text)
    if len(text.encode()) > MAX_IDENTIFIER_BYTES:
        raise TooLarge(f"{field} may have {MAX_IDENTIFIER_BYTES} bytes")
    if "\0" in text:
        raise InvalidInput(f"{field} must not contain U+0000", field=field)


def has_no_room_id(event_type: str, version: RoomVersion) -> bool:
    """Whether the event has no `room_id`, because its own ID becomes the room's."""
    return version.room_id_is_create_hash and event_type == "m.room.create"


def room_id_from(create_id: EventID) -> RoomID:
    """Room v12: the room ID is the create event's ID with the sigil `!`."""
    return RoomID("!" + create_id[1:])


def redacted_id(pdu: Mapping[str, Any], version: RoomVersion) -> EventID | None:
    """What a redaction redacts, wherever the room version puts that; None if that is no ID."""
    if pdu["type"] != "m.room.redaction":
        return None
    redacts: Any = (pdu["content"] if version.redacts_in_content else pdu).get("redacts")
    try:
        _check_event_id(redacts, "redacts")
    except Unusable:
        return None
    return EventID(redacts)


def assemble(pdu: Mapping[str, Any], raw: bytes, event_id: EventID, version: RoomVersion) -> Event:
    """The event of a PDU whose format is right. raw: its canonical JSON."""
    room_id = pdu.get("room_id") or room_id_from(event_id)
    return _event(pdu, raw, event_id, version, room_id)


def _event(
    pdu: Mapping[str, Any], raw: bytes, event_id: EventID, version: RoomVersion, room_id: RoomID
) -> Event:
    return Event(
        event_id=event_id,
        room_id=room_id,
        sender=UserID(pdu["sender"]),
        type=pdu["type"],
        state_key=pdu.get("state_key"),
        content=pdu["content"],
        prev_events=_event_ids(pdu["prev_events"], version),
        auth_events=_event_ids(pdu["auth_events"], version),
        depth=pdu["depth"],
        origin_server_ts=pdu["origin_server_ts"],
        redacts=redacted_id(pdu, version),
        version=version,
        raw=raw,
    )


def _event_ids(references: Sequence[Any], version: RoomVersion) -> tuple[EventID, ...]:
    if version.events_carry_id:
        return tuple(event_id for event_id, _ in references)
    return tuple(references)


def _check_fields(pdu: Mapping[str, Any], version: RoomVersion) -> None:
    for field, check in _REQUIRED.items():
        if field not in pdu:
            raise InvalidInput(f"{field} is missing", field=field)
        check(pdu[field], field)
    for field, check in _OPTIONAL.items():
        if field in pdu:
            check(pdu[field], field)
    _check_depth(pdu["depth"], version)
    _check_room_id(pdu, version)
    _check_references(pdu["prev_events"], "prev_events", MAX_PREV_EVENTS, version)
    _check_references(pdu["auth_events"], "auth_events", MAX_AUTH_EVENTS, version)
    if version.events_carry_id:
        _check_own_id(pdu)
    if not version.redacts_in_content and "redacts" in pdu:
        _check_text(pdu["redacts"], "redacts")


def _check_depth(depth: int, version: RoomVersion) -> None:
    if not 0 <= depth <= version.max_depth:
        raise InvalidInput(f"depth must be between 0 and {version.max_depth}", field="depth")


def _check_room_id(pdu: Mapping[str, Any], version: RoomVersion) -> None:
    if has_no_room_id(pdu["type"], version):
        _check_rootless_create(pdu)
        return
    _check_key(pdu.get("room_id"), "room_id")
    _check_identifier(pdu["room_id"], "room_id", parse_room_id)


def _check_rootless_create(pdu: Mapping[str, Any]) -> None:
    """Room v12 "Event format" and auth rule 1.2: no `room_id` in the create event."""
    if "room_id" in pdu:
        raise InvalidInput("the create event names no room: it is the room", field="room_id")
    if pdu.get("state_key") != "":
        raise InvalidInput("the create event has an empty state key", field="state_key")


def _check_own_id(pdu: Mapping[str, Any]) -> None:
    """Room v1 "Event IDs": `$opaque_id:domain`."""
    event_id = pdu.get("event_id")
    _check_event_id(event_id, "event_id")
    if ":" not in str(event_id):
        raise InvalidInput("event_id must name a server", field="event_id")


def _check_references(
    references: Sequence[Any], field: str, limit: int, version: RoomVersion
) -> None:
    if len(references) > limit:
        raise InvalidInput(f"{field} may name {limit} events", field=field)
    for index, reference in enumerate(references):
        name = f"{field}.{index}"
        event_id = _of_pair(reference, name) if version.events_carry_id else reference
        _check_event_id(event_id, name)


def _of_pair(reference: Any, field: str) -> Any:
    """Room v1 "Event format": a pair of an event ID and the hashes of that event."""
    match reference:
        case [event_id, dict()]:
            return event_id
    raise InvalidInput(f"{field} must be a pair of an event ID and its hashes", field=field)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput("an event must be an object")
    return value


def _check_object(value: Any, field: str) -> None:
    if not isinstance(value, dict):
        raise InvalidInput(f"{field} must be an object", field=field)


def _check_list(value: Any, field: str) -> None:
    if not isinstance(value, list):
        raise InvalidInput(f"{field} must be an array", field=field)


def _check_text(value: Any, field: str) -> None:
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be a string", field=field)


def _check_key(value: Any, field: str) -> None:
    _check_text(value, field)
    check_key(value, field)


def _check_integer(value: Any, field: str) -> None:
    """Also 64 bits in the room versions that allow more, as for `origin_server_ts`."""
    if type(value) is not int or value not in _INT64:
        raise InvalidInput(f"{field} must be an integer of 64 bits", field=field)


def _check_identifier(value: str, field: str, parse_identifier: Callable[[str], str]) -> None:
    try:
        parse_identifier(value)
    except InvalidIdentifier as error:
        raise InvalidIdentifier(str(error), field=field) from None


def _check_sender(value: Any, field: str) -> None:
    _check_text(value, field)
    _check_identifier(value, field, parse_user_id)


def _check_event_id(value: Any, field: str) -> None:
    _check_key(value, field)
    if not value.startswith("$"):
        raise InvalidInput(f"{field} must be an event ID", field=field)


def _check_hashes(value: Any, field: str) -> None:
    _check_object(value, field)
    _check_text(value.get("sha256"), f"{field}.sha256")


def _check_signatures(value: Any, field: str) -> None:
    _check_object(value, field)
    for server, signatures in value.items():
        _check_object(signatures, f"{field}.{server}")
        for key_id, signature in signatures.items():
            _check_text(signature, f"{field}.{server}.{key_id}")


_REQUIRED: dict[str, Callable[[Any, str], None]] = {
    "type": _check_key,
    "sender": _check_sender,
    "content": _check_object,
    "depth": _check_integer,
    "origin_server_ts": _check_integer,
    "hashes": _check_hashes,
    "signatures": _check_signatures,
    "prev_events": _check_list,
    "auth_events": _check_list,
}
_OPTIONAL: dict[str, Callable[[Any, str], None]] = {
    "state_key": _check_key,
    "unsigned": _check_object,
}
