"""Our own events: hashed, signed, and given their ID.

Source: Matrix v1.19 server-server API, "Adding hashes and signatures to outgoing events".
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from homeserver.events import base64, canonical_json
from homeserver.events.event import Event
from homeserver.events.format import (
    assemble,
    check_key,
    check_size,
    has_no_room_id,
)
from homeserver.events.hashing import event_id_from
from homeserver.events.redaction import redact
from homeserver.events.room_version import RoomVersion
from homeserver.events.signing import SigningKey
from homeserver.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.values import value

_NO_HASHES: Mapping[EventID, bytes] = MappingProxyType({})


@value(kw_only=True)
class Draft:
    """What somebody wants to say, before the room gives it a place."""

    room_id: RoomID | None
    """None for a create event whose room ID comes from its hash."""
    sender: UserID
    type: str
    content: Mapping[str, Any]
    state_key: str | None = None
    redacts: EventID | None = None
    origin_server_ts: int | None = None
    """Milliseconds since the epoch; None: when the room gives it its place."""


def complete(
    draft: Draft,
    *,
    version: RoomVersion,
    prev_events: Sequence[EventID],
    auth_events: Sequence[EventID],
    depth: int,
    origin_server_ts: int,
    server_name: ServerName,
    key: SigningKey,
    new_event_id: Callable[[], str] | None = None,
    reference_hashes: Mapping[EventID, bytes] = _NO_HASHES,
) -> Event:
    """The draft as a signed event.
    new_event_id and reference_hashes (of all previous and auth events) are for room versions 1
    and 2, where events choose their ID and name others with their hash.
    Raises InvalidInput for content that is not canonical JSON, and TooLarge.
    """
    pdu = _fields(draft, version)
    pdu["prev_events"] = _references(prev_events, version, reference_hashes)
    pdu["auth_events"] = _references(auth_events, version, reference_hashes)
    pdu["depth"] = min(depth, version.max_depth)
    pdu["origin_server_ts"] = origin_server_ts
    if version.events_carry_id:
        assert new_event_id is not None
        pdu["event_id"] = new_event_id()
    return _sealed(pdu, version, server_name, key)


def _fields(draft: Draft, version: RoomVersion) -> dict[str, Any]:
    """What the draft says, where the event format of the room version puts it."""
    pdu: dict[str, Any] = {
        "type": draft.type,
        "sender": draft.sender,
        "content": draft.content,
    }
    if not has_no_room_id(draft.type, version):
        assert draft.room_id is not None
        pdu["room_id"] = draft.room_id
    if draft.state_key is not None:
        pdu["state_key"] = draft.state_key
    if draft.redacts is not None:
        _put_redacts(pdu, draft.redacts, version)
    for field in ("type", "sender", "room_id", "state_key"):
        check_key(pdu.get(field, ""), field)
    return pdu


def _put_redacts(pdu: dict[str, Any], redacts: EventID, version: RoomVersion) -> None:
    """Room v11 "Moving the `redacts` property"."""
    if version.redacts_in_content:
        pdu["content"] = {**pdu["content"], "redacts": redacts}
    else:
        pdu["redacts"] = redacts


def _references(
    event_ids: Sequence[EventID], version: RoomVersion, hashes: Mapping[EventID, bytes]
) -> list[Any]:
    if version.events_carry_id:
        return [[name, {"sha256": base64.encode(hashes[name])}] for name in event_ids]
    return list(event_ids)


def _sealed(
    pdu: dict[str, Any], version: RoomVersion, server_name: ServerName, key: SigningKey
) -> Event:
    """Signature and reference hash cover the same bytes, so three encodings are enough."""
    encode = _encoder(pdu, version)
    pdu["hashes"] = {"sha256": base64.encode(sha256(encode(pdu)).digest())}
    essential = encode(redact(pdu, version))
    pdu["signatures"] = {server_name: {key.key_id: base64.encode(key.sign(essential))}}
    raw = canonical_json.compact(encode(pdu))
    check_size(raw)
    if version.events_carry_id:
        event_id = EventID(pdu["event_id"])
    else:
        event_id = event_id_from(sha256(essential).digest(), version)
    return assemble(pdu, raw, event_id, version)


def _encoder(pdu: dict[str, Any], version: RoomVersion) -> Callable[[Any], bytes]:
    if not version.strict_canonical_json:
        return canonical_json.encode
    # The rest is ours, or was checked by `check_key`.
    canonical_json.check_strict({"content": pdu["content"]})
    return canonical_json.encode_strict
