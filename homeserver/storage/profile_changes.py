"""Table `profile_changes`: users whose rooms do not show their present name and picture yet."""

from dataclasses import dataclass

from homeserver.storage import users
from homeserver.storage.database import Connection
from homeserver.storage.users import UserRecord


@dataclass(frozen=True, slots=True)
class PendingProfile:
    """A user as he is now. serial: of the change; another one since makes it another."""

    user: UserRecord
    serial: int


async def pending(db: Connection, *, after: int, limit: int) -> list[PendingProfile]:
    """Some of them in the order of their numbers, after one."""
    rows = await db.fetch(
        "SELECT u.*, p.serial FROM profile_changes p JOIN users u USING (user_nid)"
        " WHERE user_nid > $1 ORDER BY user_nid LIMIT $2",
        after,
        limit,
    )
    return [PendingProfile(users.record_of(row), row["serial"]) for row in rows]


async def done(db: Connection, pending: PendingProfile) -> None:
    """All rooms show the profile, unless it has changed since."""
    await db.execute(
        "DELETE FROM profile_changes WHERE user_nid = $1 AND serial = $2",
        pending.user.user_nid,
        pending.serial,
    )
