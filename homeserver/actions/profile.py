"""One's own profile.

Source: C-S API v1.19 "Profiles". What changes of a name or a picture appears in the user's rooms
afterwards: `homeserver.delivery.profiles`.
"""

import re
from typing import Any

from homeserver.actions import account_fields
from homeserver.actions.standing import require_active
from homeserver.actions.tokens import Announce
from homeserver.clock import Clock
from homeserver.errors import (
    GuestsNotAllowed,
    InvalidContent,
    InvalidInput,
    KeyTooLarge,
    NotAllowed,
    NotFound,
    ProfileTooLarge,
)
from homeserver.events import canonical_json
from homeserver.identifiers import MAX_IDENTIFIER_BYTES, UserID
from homeserver.profile_json import AVATAR, NAME, profile_json
from homeserver.requester import Requester
from homeserver.storage import accounts, profile_fields, users
from homeserver.storage.database import Connection, Database

MAX_PROFILE_BYTES = 65_536
"""`setProfileField`: the whole profile must be smaller."""

# Appendices v1.19 "Common Namespaced Identifier Grammar"
_KEY = re.compile(r"[a-z][a-z0-9._-]*", re.ASCII)


class Profile:
    """Changes of names, pictures, and whatever else people say about themselves."""

    def __init__(self, *, database: Database, announce: Announce, clock: Clock) -> None:
        self._database = database
        self._announce = announce
        self._clock = clock

    async def update(
        self, by: Requester, *, name: str | None = None, avatar_url: str | None = None
    ) -> None:
        """None leaves as it is; an empty avatar_url removes the picture. Raises InvalidInput."""
        require_active(by)
        new_name = None if name is None else account_fields.display_name(name)
        new_avatar = None if avatar_url is None else account_fields.avatar_url(avatar_url) or ""
        await self._change(by, new_name, new_avatar)

    async def set_field(self, by: Requester, user_id: UserID, key: str, value: Any) -> None:
        """Raises NotAllowed, InvalidInput, InvalidContent, KeyTooLarge, ProfileTooLarge."""
        self._check_may_change(by, user_id, key)
        check_key(key)
        if key == NAME:
            await self._change(by, _name(value), None)
        elif key == AVATAR:
            await self._change(by, None, _avatar(value))
        else:
            encoded = canonical_json.encode(_custom(key, value))
            await self._database.retrying(lambda db: self._put(db, by, key, encoded))

    async def delete_field(self, by: Requester, user_id: UserID, key: str) -> None:
        """Also one that is not there. Raises NotAllowed, InvalidInput, KeyTooLarge."""
        self._check_may_change(by, user_id, key)
        check_key(key)
        if key == NAME:
            await self._change(by, "", None)
        elif key == AVATAR:
            await self._change(by, None, "")
        else:
            await self._database.retrying(lambda db: profile_fields.delete(db, by.user_nid, key))

    def _check_may_change(self, by: Requester, user_id: UserID, key: str) -> None:
        if user_id != by.user_id:
            raise NotAllowed("You can only change your own profile.")
        # C-S API v1.19 "Guest Access": their display name, and nothing else.
        if by.is_guest and key != NAME:
            raise GuestsNotAllowed("Guests can only change their name.")
        require_active(by)

    async def _put(self, db: Connection, by: Requester, key: str, value: bytes) -> None:
        await profile_fields.lock(db, by.user_nid)
        record = await profile_fields.profile(db, by.user_id)
        if record is None:
            raise NotFound("User not found", kind="user")
        fields = {**record.fields, key: value}
        profile = profile_json(record.display_name, record.avatar_url, fields)
        if len(canonical_json.encode(profile)) >= MAX_PROFILE_BYTES:
            raise ProfileTooLarge(f"A profile has less than {MAX_PROFILE_BYTES} bytes.")
        await profile_fields.put(db, by.user_nid, key, value)

    async def _change(self, by: Requester, name: str | None, avatar_url: str | None) -> None:
        """None leaves as it is, "" removes."""
        changed = await self._database.retrying(
            lambda db: self._update(db, by.user_nid, name, avatar_url)
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
            old[0] if name is None else name or None,
            old[1] if avatar_url is None else avatar_url or None,
        )
        if new != old:
            await users.set_profile(db, user_nid, display_name=new[0], avatar_url=new[1])
            await accounts.touch(db, user_nid, self._clock.now_ms())
        return new != old


def check_key(key: str) -> None:
    """Raises KeyTooLarge, InvalidInput."""
    if len(key.encode("utf-8", "replace")) > MAX_IDENTIFIER_BYTES:
        raise KeyTooLarge(f"The name of a field has at most {MAX_IDENTIFIER_BYTES} bytes.")
    if not _KEY.fullmatch(key):
        raise InvalidInput("The name of a field has a-z, 0-9, and the characters . _ - only.")


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidContent("displayname is text.", field=NAME)
    return account_fields.display_name(value) if value.strip() else ""


def _avatar(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidContent("avatar_url is text.", field=AVATAR)
    url = account_fields.avatar_url(value) or ""
    if url and not url.startswith("mxc://"):
        raise InvalidInput("avatar_url begins with mxc://.", field=AVATAR)
    return url


def _custom(key: str, value: Any) -> Any:
    """C-S API v1.19 `setProfileField`: any JSON, but for the fields that it describes."""
    if key == "m.tz" and not isinstance(value, str):
        raise InvalidContent("m.tz is the name of a time zone.", field=key)
    return value
