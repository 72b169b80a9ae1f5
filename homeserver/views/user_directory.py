"""Finding people, and the rooms that one shares with somebody, as Matrix clients do.

Source: C-S API v1.19 users.yaml, mutual_rooms.yaml.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.identifiers import RoomID, UserID, localpart_of
from homeserver.requester import Requester
from homeserver.storage import memberships, user_directory, users
from homeserver.storage.database import Database
from homeserver.storage.users import UserRecord

DEFAULT_RESULTS = 10
MAX_RESULTS = 50
MAX_TERM_CHARS = 512
ROOMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class FoundUser:
    """Somebody, with the profile that he gave himself."""

    user_id: UserID
    display_name: str | None
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class UsersFound:
    """limited: whether there are more."""

    users: Sequence[FoundUser]
    limited: bool


@dataclass(frozen=True, slots=True)
class SharedRooms:
    """Some of the rooms that two people share. count: of all. last: where the next page goes on;
    None: there is no more.
    """

    room_ids: Sequence[RoomID]
    count: int
    last: int | None


class UserDirectory:
    """Reads about people. All raise Unavailable."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def search(self, by: Requester, term: str, *, limit: int) -> UsersFound:
        """People of whose name or user ID each word of the term begins a word."""
        size = max(1, min(limit, MAX_RESULTS))
        prefixes = users.words_of(_name_in(term[:MAX_TERM_CHARS]))
        if not prefixes:
            return UsersFound((), limited=False)
        async with self._database.connection() as db:
            found = await user_directory.search(
                db, by.user_nid, prefixes=prefixes, email_key="", limit=size + 1
            )
        return UsersFound([_found(each.user) for each in found[:size]], limited=len(found) > size)

    async def shared_rooms(self, by: Requester, other: UserID, *, after: int = 0) -> SharedRooms:
        """Rooms that the reader and somebody else are in. after: `last` of the page before."""
        async with self._database.snapshot() as db:
            found = await users.by_user_ids(db, [other])
            if not found:
                return SharedRooms((), 0, None)
            pair = by.user_nid, found[0].user_nid
            rooms = await memberships.shared_rooms(db, *pair, after=after, limit=ROOMS_AT_ONCE + 1)
            count = await memberships.shared_room_count(db, *pair)
        page = rooms[:ROOMS_AT_ONCE]
        more = len(rooms) > len(page)
        return SharedRooms([room_id for _, room_id in page], count, page[-1][0] if more else None)


def _found(user: UserRecord) -> FoundUser:
    return FoundUser(user.user_id, user.display_name, user.avatar_url)


def _name_in(term: str) -> str:
    """Of a user ID, or the beginning of one, what stands before the server's name: the same server
    is in most of them.
    """
    return localpart_of(term) if term.startswith("@") else term
