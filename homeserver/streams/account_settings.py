"""Settings in the account data that the server itself follows, in memory.

What is cached is replaced when the tail of account data tells of a change, so every process knows
it soon; who was not asked about for the longest leaves first.
Source: C-S API v1.19 "Ignoring users", "Invite permission".
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, TypeVar

import orjson

from homeserver.identifiers import UserID
from homeserver.storage import account_data
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataTail

IGNORED_USER_LIST = "m.ignored_user_list"
INVITE_PERMISSION_CONFIG = "m.invite_permission_config"
DEFAULT_CAPACITY = 20_000
MAX_IGNORED = 2_000
"""Of a longer list, only so many are ignored."""

T = TypeVar("T")
_NOBODY: frozenset[UserID] = frozenset()


class AccountSetting(Generic[T]):
    """One type of global account data, as the server understands it. parse: from any content."""

    def __init__(
        self,
        *,
        database: Database,
        tail: AccountDataTail,
        event_type: str,
        parse: Callable[[Any], T],
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        self._database = database
        self._event_type = event_type
        self._parse = parse
        self._capacity = capacity
        self._known: OrderedDict[int, T] = OrderedDict()
        self._changes = 0
        tail.subscribe(self._follow)

    def peek(self, user_nid: int) -> T | None:
        """What holds for a user, if it is in memory."""
        found = self._known.get(user_nid)
        if found is not None:
            self._known.move_to_end(user_nid)
        return found

    async def of(self, user_nid: int) -> T:
        """What holds for a user. Raises Unavailable."""
        found = self.peek(user_nid)
        return found if found is not None else (await self.of_many([user_nid]))[user_nid]

    async def of_many(self, user_nids: Collection[int]) -> dict[int, T]:
        """By user; one query for all that are not in memory. Raises Unavailable."""
        found = {nid: known for nid in user_nids if (known := self.peek(nid)) is not None}
        if missing := set(user_nids) - found.keys():
            found |= await self._load(missing)
        return found

    async def _load(self, user_nids: Collection[int]) -> dict[int, T]:
        """What changed while it was loaded may be old already, so it is not kept."""
        changes = self._changes
        async with self._database.connection() as db:
            contents = await account_data.of_users(db, user_nids, self._event_type)
        loaded = {nid: self._understood(contents.get(nid, b"{}")) for nid in user_nids}
        if changes == self._changes:
            for user_nid, setting in loaded.items():
                self._keep(user_nid, setting)
        return loaded

    def _follow(self, batch: Sequence[AccountDataRow]) -> None:
        for row in batch:
            if row.type == self._event_type and row.room_nid == GLOBAL:
                self._changes += 1
                self._keep(row.user_nid, self._understood(row.content))

    def _understood(self, content: bytes) -> T:
        return self._parse(orjson.loads(content))

    def _keep(self, user_nid: int, setting: T) -> None:
        self._known[user_nid] = setting
        self._known.move_to_end(user_nid)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


class IgnoredUsers(AccountSetting[frozenset[UserID]]):
    """Whom each user ignores."""

    def __init__(self, *, database: Database, tail: AccountDataTail) -> None:
        super().__init__(
            database=database, tail=tail, event_type=IGNORED_USER_LIST, parse=ignored_in
        )


class InvitePermissions(AccountSetting[bool]):
    """Who may be invited."""

    def __init__(self, *, database: Database, tail: AccountDataTail) -> None:
        super().__init__(
            database=database, tail=tail, event_type=INVITE_PERMISSION_CONFIG, parse=blocked_by
        )

    async def blocks(self, user_nid: int) -> bool:
        """Whether a user wants no invitations at all. Raises Unavailable."""
        return await self.of(user_nid)


def ignored_in(content: Any) -> frozenset[UserID]:
    """Content of `m.ignored_user_list`; what cannot be understood ignores nobody."""
    users = content.get("ignored_users") if isinstance(content, dict) else None
    if not isinstance(users, dict) or not users:
        return _NOBODY
    return frozenset(UserID(each) for each in list(users)[:MAX_IGNORED] if each.startswith("@"))


def blocked_by(content: Any) -> bool:
    """Content of `m.invite_permission_config`.

    "A missing, invalid or unsupported value means that the user wants to receive invites".
    """
    return isinstance(content, dict) and content.get("default_action") == "block"
