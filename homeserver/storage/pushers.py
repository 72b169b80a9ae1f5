"""Table `pushers`: where each session wants its notifications sent."""

from dataclasses import dataclass

from asyncpg import Record

from homeserver.storage.database import Connection

_COLUMNS = """
    app_id, pushkey, user_nid, session_nid, created_at, app_display_name, device_display_name,
    profile_tag, lang, data
"""


@dataclass(frozen=True, slots=True)
class PusherRow:
    """A pusher of the kind "http", the only one there is. data: JSON. created_at: milliseconds."""

    app_id: str
    pushkey: str
    user_nid: int
    session_nid: int
    created_at: int
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: bytes


async def of_user(db: Connection, user_nid: int) -> list[PusherRow]:
    """The oldest first."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM pushers WHERE user_nid = $1 ORDER BY created_at, app_id, pushkey",
        user_nid,
    )
    return [_row(row) for row in rows]


async def put(db: Connection, pusher: PusherRow) -> None:
    """Adds a pusher, or changes the user's with this app ID and key."""
    await db.execute(
        f"""
        INSERT INTO pushers ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (app_id, pushkey, user_nid) DO UPDATE
        SET session_nid = excluded.session_nid, app_display_name = excluded.app_display_name,
            device_display_name = excluded.device_display_name,
            profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data
        """,
        pusher.app_id,
        pusher.pushkey,
        pusher.user_nid,
        pusher.session_nid,
        pusher.created_at,
        pusher.app_display_name,
        pusher.device_display_name,
        pusher.profile_tag,
        pusher.lang,
        pusher.data,
    )


async def delete(db: Connection, user_nid: int, app_id: str, pushkey: str) -> None:
    await db.execute(
        "DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_nid = $3",
        app_id,
        pushkey,
        user_nid,
    )


async def delete_of_others(db: Connection, user_nid: int, app_id: str, pushkey: str) -> None:
    """Those of other users with the same app ID and key: somebody else logged in there."""
    await db.execute(
        "DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_nid <> $3",
        app_id,
        pushkey,
        user_nid,
    )


async def other_count(db: Connection, user_nid: int, app_id: str, pushkey: str) -> int:
    """How many pushers a user has besides this one."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM pushers WHERE user_nid = $3 AND (app_id, pushkey) <> ($1, $2)",
        app_id,
        pushkey,
        user_nid,
    )
    return count


def _row(row: Record) -> PusherRow:
    return PusherRow(**dict(row))
