"""One's own profile."""

from homeserver.actions import account_fields
from homeserver.actions.tokens import Announce
from homeserver.clock import Clock
from homeserver.errors import NotFound
from homeserver.requester import Requester
from homeserver.storage import accounts, users
from homeserver.storage.database import Connection, Database


class Profile:
    """Changes of names and pictures."""

    def __init__(self, *, database: Database, announce: Announce, clock: Clock) -> None:
        self._database = database
        self._announce = announce
        self._clock = clock

    async def update(
        self, by: Requester, *, name: str | None = None, avatar_url: str | None = None
    ) -> None:
        """None leaves as it is; an empty avatar_url removes the picture. Raises InvalidInput."""
        new_name = None if name is None else account_fields.display_name(name)
        new_avatar = None if avatar_url is None else account_fields.avatar_url(avatar_url) or ""
        changed = await self._database.retrying(
            lambda db: self._update(db, by.user_nid, new_name, new_avatar)
        )
        if changed:
            self._announce("profile-changed", str(by.user_uuid))

    async def _update(
        self, db: Connection, user_nid: int, name: str | None, avatar_url: str | None
    ) -> bool:
        account = await accounts.by_nid(db, user_nid)
        if account is None:
            raise NotFound("User not found", kind="user")
        old = (account.user.display_name, account.user.avatar_url)
        new = (
            old[0] if name is None else name,
            old[1] if avatar_url is None else avatar_url or None,
        )
        if new != old:
            await users.set_profile(db, user_nid, display_name=new[0], avatar_url=new[1])
            await accounts.touch(db, user_nid, self._clock.now_ms())
        return new != old
