"""Table `profile_fields`: what a profile has besides a name and a picture."""

from dataclasses import dataclass

from homeserver.identifiers import UserID
from homeserver.storage import users
from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """The profile of an account. fields: JSON by key."""

    display_name: str | None
    avatar_url: str | None
    fields: dict[str, bytes]


async def profile(db: Connection, user_id: UserID) -> ProfileRecord | None:
    """None: nobody has this user ID here (any more)."""
    rows = await db.fetch(
        "SELECT u.display_name, u.avatar_url, f.key, f.value"
        " FROM users u JOIN accounts a USING (user_nid) LEFT JOIN profile_fields f USING (user_nid)"
        " WHERE u.user_id = $1 AND a.deactivated_at IS NULL ORDER BY f.key",
        users.storable(user_id),
    )
    if not rows:
        return None
    fields = {row["key"]: row["value"] for row in rows if row["key"] is not None}
    return ProfileRecord(rows[0]["display_name"], rows[0]["avatar_url"], fields)


async def lock(db: Connection, user_nid: int) -> None:
    """Until the end of the transaction nobody else changes the profile."""
    await db.execute("SELECT FROM users WHERE user_nid = $1 FOR NO KEY UPDATE", user_nid)


async def put(db: Connection, user_nid: int, key: str, value: bytes) -> None:
    await db.execute(
        "INSERT INTO profile_fields (user_nid, key, value) VALUES ($1, $2, $3)"
        " ON CONFLICT (user_nid, key) DO UPDATE SET value = excluded.value",
        user_nid,
        key,
        value,
    )


async def delete(db: Connection, user_nid: int, key: str) -> None:
    await db.execute("DELETE FROM profile_fields WHERE user_nid = $1 AND key = $2", user_nid, key)
