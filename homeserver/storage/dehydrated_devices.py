"""Table `dehydrated_devices`: of each user at most one device that nobody uses (MSC3814)."""

from dataclasses import dataclass

from homeserver.storage.database import Connection
from homeserver.storage.users import storable


@dataclass(frozen=True, slots=True)
class DehydratedRow:
    """device_data: JSON."""

    session_nid: int
    device_id: str
    device_data: bytes


async def get(db: Connection, user_nid: int) -> DehydratedRow | None:
    row = await db.fetchrow(
        "SELECT d.session_nid, s.device_id, d.device_data"
        " FROM dehydrated_devices d JOIN sessions s USING (session_nid) WHERE d.user_nid = $1",
        user_nid,
    )
    return None if row is None else DehydratedRow(**dict(row))


async def put(db: Connection, user_nid: int, device_id: str, device_data: bytes) -> int:
    """Of a device that is there already, as the only one of the user; returns its session."""
    session_nid: int = await db.fetchval(
        "INSERT INTO dehydrated_devices (user_nid, session_nid, device_data)"
        " SELECT $1, session_nid, $3 FROM sessions WHERE user_nid = $1 AND device_id = $2"
        " ON CONFLICT (user_nid) DO UPDATE"
        " SET session_nid = excluded.session_nid, device_data = excluded.device_data"
        " RETURNING session_nid",
        user_nid,
        storable(device_id),
        device_data,
    )
    return session_nid
