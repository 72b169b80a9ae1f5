"""Who hears what: the open connections by user and by room.

Rooms are kept for a user, not for a connection, and only while the user has one.
"""

from collections.abc import Collection, Iterator, Mapping

from clientapi.native.connection import Connection
from homeserver.identifiers import UserID

_NOBODY: frozenset[Connection] = frozenset()


class Listener:
    """A user with open connections. rooms: since which position he is a member of each."""

    __slots__ = ("connections", "rooms", "user_id", "user_nid")

    def __init__(self, user_nid: int, user_id: UserID, rooms: dict[int, int]) -> None:
        self.user_nid = user_nid
        self.user_id = user_id
        self.rooms = rooms
        self.connections: set[Connection] = set()


class Audience:
    """All open connections."""

    def __init__(self) -> None:
        self._listeners: dict[int, Listener] = {}
        self._by_id: dict[UserID, Listener] = {}
        self._rooms: dict[int, set[Connection]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Connection]:
        for listener in self._listeners.values():
            yield from listener.connections

    def add(self, connection: Connection, rooms: Mapping[int, int]) -> None:
        """rooms: of the user, with the position since when; ignored if he has a connection."""
        by = connection.by
        listener = self._listeners.get(by.user_nid)
        if listener is None:
            listener = Listener(by.user_nid, by.user_id, dict(rooms))
            self._listeners[by.user_nid] = self._by_id[by.user_id] = listener
        listener.connections.add(connection)
        for room_nid in listener.rooms:
            self._rooms.setdefault(room_nid, set()).add(connection)
        self._count += 1

    def remove(self, connection: Connection) -> None:
        """From now on nothing is published to it. Doing so twice changes nothing."""
        listener = self._listeners.get(connection.by.user_nid)
        if listener is None or connection not in listener.connections:
            return
        listener.connections.discard(connection)
        for room_nid in listener.rooms:
            self._silence(room_nid, (connection,))
        if not listener.connections:
            del self._listeners[listener.user_nid]
            del self._by_id[listener.user_id]
        self._count -= 1

    def enter(self, listener: Listener, room_nid: int, position: int) -> None:
        """The user is a member from here on."""
        listener.rooms[room_nid] = position
        self._rooms.setdefault(room_nid, set()).update(listener.connections)

    def leave(self, listener: Listener, room_nid: int) -> None:
        """The user is not a member any more."""
        if listener.rooms.pop(room_nid, None) is not None:
            self._silence(room_nid, listener.connections)

    def close_room(self, room_nid: int) -> None:
        """Nobody hears the room any more."""
        for connection in self._rooms.pop(room_nid, _NOBODY):
            self._listeners[connection.by.user_nid].rooms.pop(room_nid, None)

    def user(self, user_nid: int) -> Listener | None:
        return self._listeners.get(user_nid)

    def user_by_id(self, user_id: str | None) -> Listener | None:
        return None if user_id is None else self._by_id.get(UserID(user_id))

    def of_user(self, user_nid: int) -> Collection[Connection]:
        listener = self._listeners.get(user_nid)
        return _NOBODY if listener is None else listener.connections

    def in_room(self, room_nid: int) -> Collection[Connection]:
        """The connections of its members. Not to be kept: it changes."""
        return self._rooms.get(room_nid, _NOBODY)

    def _silence(self, room_nid: int, connections: Collection[Connection]) -> None:
        hearing = self._rooms.get(room_nid)
        if hearing is not None:
            hearing.difference_update(connections)
            if not hearing:
                del self._rooms[room_nid]
