"""Megolm sessions that we read.

Source: C-S API v1.19, "m.megolm.v1.aes-sha2": the room is inside the ciphertext, the sender must be
whose session it is, a place in a session belongs to one event, and a session is only ever replaced
by one that begins earlier.
"""

from dataclasses import dataclass, replace
from typing import Any

from e2e.client import libolm as olm
from e2e.client.account import MEGOLM, pickled, unpickled
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys, Forged, MissingRoomKey, Replayed
from e2e.client.records import (
    InboundGroup,
    RoomSessions,
    SeenIndices,
    Source,
    ToBackUp,
    Withheld,
)
from e2e.client.trust import Trust, TrustBook
from e2e.client.vault import Vault
from homeserver.errors import InvalidInput
from homeserver.events import canonical_json

_PAGE = 128
"""Places in a session that one record remembers."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How much we know about who wrote a message. device_id is None where nothing proves it.
    trust: in that device. shared_by: who gave us the key, where it was not its owner.
    """

    source: Source
    device_id: str | None
    trust: Trust | None
    shared_by: str | None


@dataclass(frozen=True, slots=True)
class Decrypted:
    """A room event as its sender wrote it."""

    type: str
    content: dict[str, Any]
    session_id: str
    message_index: int
    origin: Origin


class InboundGroups:
    """Sessions by their IDs, which are unique in the world."""

    def __init__(self, *, vault: Vault, tracking: DeviceTracking, trust: TrustBook) -> None:
        self._vault = vault
        self._tracking = tracking
        self._trust = trust

    def get(self, session_id: str) -> InboundGroup | None:
        """Raises NotLoaded."""
        return self._vault.get(InboundGroup, session_id)

    def of_room(self, room_id: str) -> list[InboundGroup]:
        """Raises NotLoaded."""
        index = self._vault.get(RoomSessions, room_id) or RoomSessions()
        self._vault.need(InboundGroup, index.session_ids)
        found = (self.get(session_id) for session_id in index.session_ids)
        return [group for group in found if group is not None]

    def add(self, group: InboundGroup) -> bool:
        """Whether it is new to us, or reads more than what we have, or proves whose it is."""
        known = self.get(group.session_id)
        better = group if known is None else _merged(group, known)
        if better == known:
            return False
        self._keep(better)
        return True

    def add_new(self, group: InboundGroup) -> None:
        """One that was made in this step: nobody has it yet, so there is nothing to look up."""
        self._keep(group)

    def decrypt(self, event: dict[str, Any]) -> Decrypted:
        """event: as in the timeline, with its room_id. Raises MissingRoomKey, Forged, Replayed."""
        content, room_id = event.get("content"), str(event.get("room_id"))
        if not isinstance(content, dict) or content.get("algorithm") != MEGOLM:
            raise Forged("not an event of Megolm")
        session_id, ciphertext = content.get("session_id"), content.get("ciphertext")
        if not isinstance(session_id, str) or not isinstance(ciphertext, str) or not ciphertext:
            raise Forged("an event of Megolm without a session or ciphertext")
        group = self._known(room_id, session_id)
        plaintext, index = self._read(group, ciphertext)
        origin = self.origin(group, str(event.get("sender")))
        payload = _payload(plaintext, room_id)
        self._claim_index(group, index, str(event.get("event_id")))
        return Decrypted(
            type=str(payload.get("type")),
            content=_content(payload, content),
            session_id=session_id,
            message_index=index,
            origin=origin,
        )

    def origin(self, group: InboundGroup, sender: str) -> Origin:
        """Raises Forged where the session is of somebody else than the event's sender."""
        if group.source is Source.DIRECT and group.sender != sender:
            raise Forged("the session of this event is of another user")
        device = self._tracking.device_with_key(sender, group.sender_key)
        if device is not None and device.ed25519 != group.sender_ed25519:
            raise Forged("the session names keys that are not of the sender's device")
        if device is None:
            owner = self._tracking.owner_of(group.sender_key)
            if owner is not None and owner.user_id != sender:
                raise Forged("the session of this event is of another user's device")
        proven = device is not None and group.source is Source.DIRECT
        return Origin(
            source=group.source,
            device_id=None if device is None else device.device_id,
            trust=self._trust.of_device(device) if proven and device is not None else None,
            shared_by=group.sender if group.source is not Source.DIRECT else None,
        )

    def export(self, group: InboundGroup, index: int | None = None) -> str:
        """The session key from its first (or that) message on, in the export format."""
        session = unpickled(olm.InboundGroupSession, group.pickle)
        return str(session.export_session(group.first_index if index is None else index))

    def _known(self, room_id: str, session_id: str) -> InboundGroup:
        group = self.get(session_id)
        if group is None:
            withheld = self._vault.get(Withheld, session_id)
            raise MissingRoomKey(room_id, session_id, withheld.code if withheld else None)
        if group.room_id != room_id:
            raise Forged("the session of this event is of another room")
        return group

    def _read(self, group: InboundGroup, ciphertext: str) -> tuple[str, int]:
        session = unpickled(olm.InboundGroupSession, group.pickle)
        try:
            plaintext, index = session.decrypt(ciphertext, "strict")
        except (olm.OlmGroupSessionError, UnicodeDecodeError) as error:
            if "UNKNOWN_MESSAGE_INDEX" in str(error):
                raise MissingRoomKey(group.room_id, group.session_id) from None
            raise Forged(f"the session cannot read this event: {error}") from None
        return str(plaintext), int(index)

    def _claim_index(self, group: InboundGroup, index: int, event_id: str) -> None:
        """The same event may be read again; another one at its place is a replay."""
        name = f"{group.session_id}|{index // _PAGE}"
        seen = self._vault.get(SeenIndices, name) or SeenIndices()
        first = seen.events.get(index)
        if first is None:
            self._vault.put(name, SeenIndices({**seen.events, index: event_id}))
        elif first != event_id:
            raise Replayed("another event has this event's place in its session")

    def _keep(self, group: InboundGroup) -> None:
        self._vault.put(group.session_id, group)
        self._vault.put(group.session_id, ToBackUp(group.first_index))
        self._vault.delete(Withheld, group.session_id)
        index = self._vault.get(RoomSessions, group.room_id) or RoomSessions()
        if group.session_id not in index.session_ids:
            self._vault.put(group.room_id, RoomSessions((*index.session_ids, group.session_id)))


def from_room_key(
    content: dict[str, Any], *, sender: str, sender_key: str, sender_ed25519: str
) -> InboundGroup:
    """Of an `m.room_key`, which came over Olm from the owner. Raises BadKeys."""
    room_id, session_id, key = _fields(content)
    return _group(
        lambda: olm.InboundGroupSession(key),
        session_id=session_id,
        room_id=room_id,
        sender_key=sender_key,
        sender_ed25519=sender_ed25519,
        source=Source.DIRECT,
        sender=sender,
        shared_history=content.get("shared_history") is True,
    )


def from_export(
    content: dict[str, Any],
    *,
    source: Source,
    shared_by: str | None = None,
    forwarded_by: str | None = None,
    shared_history: bool | None = None,
) -> InboundGroup:
    """Of an export, a backup, a bundle or an `m.forwarded_room_key`. forwarded_by: the Curve25519
    key of the device that sent the latter. Raises BadKeys.
    """
    room_id, session_id, key = _fields(content)
    claimed = content.get("sender_claimed_keys")
    ed25519 = claimed.get("ed25519") if isinstance(claimed, dict) else None
    ed25519 = ed25519 or content.get("sender_claimed_ed25519_key")
    sender_key, chain = content.get("sender_key"), content.get("forwarding_curve25519_key_chain")
    if not isinstance(ed25519, str) or not isinstance(sender_key, str):
        raise BadKeys("a room key that does not say whose it is")
    forwarding = [str(one) for one in chain] if isinstance(chain, list) else []
    shareable = content.get("shared_history") is True if shared_history is None else shared_history
    return _group(
        lambda: olm.InboundGroupSession.import_session(key),
        session_id=session_id,
        room_id=room_id,
        sender_key=sender_key,
        sender_ed25519=ed25519,
        source=source,
        sender=shared_by,
        forwarding_chain=tuple([*forwarding, forwarded_by] if forwarded_by else forwarding),
        shared_history=shareable,
    )


def _group(make: Any, *, session_id: str, **fields: Any) -> InboundGroup:
    try:
        session = make()
    except (olm.OlmGroupSessionError, TypeError, ValueError) as error:
        raise BadKeys(f"not a room key: {error}") from None
    if session.id != session_id:
        raise BadKeys("a room key under the ID of another session")
    return InboundGroup(
        session_id=session_id,
        pickle=pickled(session),
        first_index=session.first_known_index,
        **fields,
    )


def _fields(content: dict[str, Any]) -> tuple[str, str, str]:
    if content.get("algorithm") != MEGOLM:
        raise BadKeys("a room key of an algorithm that we do not know")
    found = [content.get(name) for name in ("room_id", "session_id", "session_key")]
    if not all(isinstance(value, str) and value for value in found):
        raise BadKeys("a room key without room, session or key")
    room_id, session_id, key = found
    return str(room_id), str(session_id), str(key)


def _merged(new: InboundGroup, known: InboundGroup) -> InboundGroup:
    """The earlier ratchet with the better proof of whose it is; the known one where they differ
    in what may not differ.
    """
    if (new.room_id, new.sender_key) != (known.room_id, known.sender_key):
        return known
    earlier, later = sorted((known, new), key=lambda group: group.first_index)
    is_proof = new.source is Source.DIRECT and known.source is not Source.DIRECT
    if not _continues(earlier, later):
        return new if is_proof else known
    return replace(
        new if is_proof else known,
        pickle=earlier.pickle,
        first_index=earlier.first_index,
        shared_history=new.shared_history or known.shared_history,
    )


def _continues(earlier: InboundGroup, later: InboundGroup) -> bool:
    """Whether the one ratchet leads to the other, so they are the same session."""
    at = later.first_index
    one, other = (unpickled(olm.InboundGroupSession, g.pickle) for g in (earlier, later))
    return bool(one.export_session(at) == other.export_session(at))


def _payload(plaintext: str, room_id: str) -> dict[str, Any]:
    try:
        payload = canonical_json.decode(plaintext.encode())
    except InvalidInput:
        raise Forged("what was encrypted is not JSON") from None
    if not isinstance(payload, dict) or payload.get("room_id") != room_id:
        raise Forged("what was encrypted is for another room")
    return payload


def _content(payload: dict[str, Any], encrypted: dict[str, Any]) -> dict[str, Any]:
    """The relation may stand outside, where servers see it."""
    content = payload["content"] if isinstance(payload.get("content"), dict) else {}
    relation = encrypted.get("m.relates_to")
    if relation is None or "m.relates_to" in content:
        return content
    return {**content, "m.relates_to": relation}
