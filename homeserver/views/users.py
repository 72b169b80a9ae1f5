"""Users, as one of them may see others."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from homeserver.errors import InvalidInput, NotFound
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import accounts, user_directory, users
from homeserver.storage.database import Database
from homeserver.storage.user_directory import SeenUser
from homeserver.streams.people import person_of

DEFAULT_SEARCH_LIMIT = 20
MAX_SEARCH_LIMIT = 100

_MAX_QUERY_CHARS = 512


@dataclass(frozen=True, slots=True)
class UserView:
    """A user. `email` is None, and `status` (the presence) offline, where the reader may not know
    it.
    """

    uuid: UUID
    user_id: UserID
    name: str
    email: str | None
    avatar_url: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Contact:
    """How the server can reach somebody. since_ms: since when, in milliseconds since the epoch."""

    email: str
    since_ms: int


class Users:
    """Reads of users.

    An e-mail address is shown to its owner, to administrators, and to those who share a room with
    him; who searches for an address knows it already. A status is shown to its owner and to those
    who share a room with him, as everywhere (`views.presence`).
    """

    def __init__(self, *, database: Database, status_of: Callable[[int], str]) -> None:
        """status_of: the presence of a user, by user_nid: online, away, busy or offline."""
        self._database = database
        self._status_of = status_of

    async def get(self, by: Requester, uuid: UUID) -> UserView:
        """Raises NotFound for a user whom the reader has nothing to do with."""
        async with self._database.connection() as db:
            seen = await user_directory.by_uuid(db, by.user_nid, uuid)
        if seen is None:
            raise NotFound("User not found", kind="user")
        return self._view(by, seen)

    async def me(self, by: Requester) -> UserView:
        return await self.get(by, by.user_uuid)

    async def contact(self, by: Requester) -> Contact | None:
        """The reader's e-mail address, if he has one."""
        async with self._database.connection() as db:
            account = await accounts.by_nid(db, by.user_nid)
        if account is None or account.email is None:
            return None
        return Contact(account.email, account.created_at)

    async def search(
        self, by: Requester, q: str, limit: int = DEFAULT_SEARCH_LIMIT
    ) -> list[UserView]:
        """Users whose names have words that begin like those of `q`, or whose e-mail address it is.

        limit: at most 100.
        """
        if len(q) > _MAX_QUERY_CHARS:
            raise InvalidInput(f"A search has at most {_MAX_QUERY_CHARS} characters.", field="q")
        sought = accounts.email_key(q.strip())
        async with self._database.connection() as db:
            found = await user_directory.search(
                db,
                by.user_nid,
                prefixes=users.words_of(q),
                email_key=sought,
                limit=min(limit, MAX_SEARCH_LIMIT),
            )
        return [self._view(by, seen, sought) for seen in found]

    def _view(self, by: Requester, seen: SeenUser, known_email: str | None = None) -> UserView:
        person = person_of(seen.user)
        return UserView(
            uuid=person.uuid,
            user_id=person.user_id,
            name=person.name,
            email=seen.email if _may_see_email(by, seen, known_email) else None,
            avatar_url=person.avatar_url,
            status=self._status_of(person.user_nid) if _is_near(by, seen) else "offline",
        )


def _may_see_email(by: Requester, seen: SeenUser, known_email: str | None) -> bool:
    return (
        _is_near(by, seen)
        or by.is_admin
        or (seen.email is not None and accounts.email_key(seen.email) == known_email)
    )


def _is_near(by: Requester, seen: SeenUser) -> bool:
    return seen.shares_room or by.user_nid == seen.user.user_nid
