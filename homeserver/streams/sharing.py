"""Typing and presence, told to the other processes of this server and heard from them."""

from collections.abc import Sequence

from homeserver.events.stored import RoomRecord
from homeserver.streams.peers import Peers, Row
from homeserver.streams.people import People, Person
from homeserver.streams.presence import OwnState, PresenceStream
from homeserver.streams.room_records import RoomRecords
from homeserver.streams.typing import TypingStream

TYPING = "typing"
PRESENCE = "presence"


class TypingSharing:
    """Rows: room_nid, user_nid, and for how many milliseconds more; 0: somebody has stopped.

    What was heard ends by itself, so nothing is done when a process is no more.
    """

    def __init__(
        self, *, stream: TypingStream, rooms: RoomRecords, people: People, peers: Peers
    ) -> None:
        self._stream = stream
        self._rooms = rooms
        self._people = people
        self._peers = peers
        stream.subscribe_own(self._tell)
        peers.register(TYPING, self)

    def whole(self) -> Sequence[Row]:
        return [_typing_row(*each) for each in self._stream.own()]

    async def heard(self, _peer: str, rows: Sequence[Row]) -> None:
        people = await self._people.get_many({user_nid for _, user_nid, _ in rows})
        for room_nid, user_nid, lasts_ms in rows:
            room = await self._rooms.by_nid(room_nid)
            if room is not None and user_nid in people:
                self._stream.hear(room, people[user_nid], lasts_ms / 1000)

    def whole_begins(self, peer: str) -> None: ...

    def whole_ends(self, peer: str) -> None: ...

    def gone(self, peer: str) -> None: ...

    def _tell(self, room: RoomRecord, person: Person, lasts_s: float) -> None:
        if not self._peers.is_alone:
            self._peers.tell(TYPING, [_typing_row(room, person, lasts_s)])


class PresenceSharing:
    """Rows: user_nid, status and last activity (milliseconds, or null) by the devices of the
    process that tells; and, in a list of one, what the user says of how he is, if he just said so.
    """

    def __init__(self, *, stream: PresenceStream, people: People, peers: Peers) -> None:
        self._stream = stream
        self._people = people
        self._peers = peers
        self._unconfirmed: dict[str, set[int]] = {}
        stream.subscribe_own(self._tell)
        peers.register(PRESENCE, self)

    def whole(self) -> Sequence[Row]:
        return [_presence_row(state) for state in self._stream.own()]

    async def heard(self, peer: str, rows: Sequence[Row]) -> None:
        people = await self._people.get_many({row[0] for row in rows})
        unconfirmed = self._unconfirmed.get(peer, set())
        for user_nid, status, last_active_ms, *message in rows:
            unconfirmed.discard(user_nid)
            if user_nid in people:
                said = (message[0],) if message else None
                state = OwnState(user_nid, status, last_active_ms, said)
                self._stream.hear(people[user_nid], peer, state)

    def whole_begins(self, peer: str) -> None:
        self._unconfirmed[peer] = self._stream.of_peer(peer)

    def whole_ends(self, peer: str) -> None:
        self._stream.lose(peer, self._unconfirmed.pop(peer, set()))

    def gone(self, peer: str) -> None:
        self._unconfirmed.pop(peer, None)
        self._stream.lose(peer, self._stream.of_peer(peer))

    def _tell(self, states: Sequence[OwnState]) -> None:
        if not self._peers.is_alone:
            self._peers.tell(PRESENCE, [_presence_row(state) for state in states])


def _typing_row(room: RoomRecord, person: Person, lasts_s: float) -> Row:
    return [room.room_nid, person.user_nid, round(lasts_s * 1000)]


def _presence_row(state: OwnState) -> Row:
    return [state.user_nid, state.status, state.last_active_ms, *(state.message or ())]
