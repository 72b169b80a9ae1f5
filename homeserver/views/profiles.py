"""Profiles, as the Matrix API shows them. Source: C-S API v1.19 "Profiles"."""

from typing import Any

from homeserver.errors import NotFound
from homeserver.identifiers import UserID
from homeserver.profile_json import profile_json
from homeserver.storage import profile_fields
from homeserver.storage.database import Database


class Profiles:
    """Reads of profiles, for everybody."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def get(self, user_id: UserID) -> dict[str, Any]:
        """All fields. Raises NotFound."""
        async with self._database.connection() as db:
            record = await profile_fields.profile(db, user_id)
        if record is None:
            raise NotFound(f"There is no user {user_id}.", kind="user")
        return profile_json(record.display_name, record.avatar_url, record.fields)

    async def field(self, user_id: UserID, key: str) -> dict[str, Any]:
        """One field with its key. Raises NotFound."""
        profile = await self.get(user_id)
        if key not in profile:
            raise NotFound(f"{user_id} has no {key}.", kind="profile field")
        return {key: profile[key]}
