"""Table `device_keys`: the identity keys of devices."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from homeserver.identifiers import UserID
from homeserver.storage.database import Connection
from homeserver.storage.users import storable


@dataclass(frozen=True, slots=True)
class DeviceKeysRow:
    """keys: canonical JSON. name: how the device's owner calls it; "" where he does not."""

    user_nid: int
    user_id: UserID
    session_nid: int
    device_id: str
    name: str
    keys: bytes


_SELECT = """
    SELECT k.user_nid, u.user_id, k.session_nid, s.device_id, s.display_name AS name, k.keys
    FROM device_keys k JOIN sessions s USING (session_nid) JOIN users u ON u.user_nid = k.user_nid
"""


async def of_users(db: Connection, user_ids: Collection[str]) -> list[DeviceKeysRow]:
    """All devices of several users that have keys."""
    rows = await db.fetch(
        f"{_SELECT} WHERE u.user_id = ANY($1::text[]) ORDER BY k.session_nid",
        [storable(each) for each in user_ids],
    )
    return [DeviceKeysRow(**dict(row)) for row in rows]


async def of_user(db: Connection, user_nid: int) -> list[DeviceKeysRow]:
    """All devices of one user that have keys."""
    rows = await db.fetch(f"{_SELECT} WHERE k.user_nid = $1 ORDER BY k.session_nid", user_nid)
    return [DeviceKeysRow(**dict(row)) for row in rows]


@dataclass(frozen=True, slots=True)
class Held:
    """A device that stays until the transaction ends. keys: None: it has none. has_one_time_keys:
    whether it has, or is remembered to have given some.
    """

    device_id: str
    keys: bytes | None
    has_one_time_keys: bool


async def hold(db: Connection, user_nid: int, session_nid: int) -> Held | None:
    """None: it is gone. Changes of one device's keys come one after the other."""
    row = await db.fetchrow(
        "SELECT s.device_id, k.keys, EXISTS (SELECT FROM one_time_key_batches b"
        " WHERE b.session_nid = s.session_nid) AS has_one_time_keys"
        " FROM sessions s LEFT JOIN device_keys k USING (session_nid)"
        " WHERE s.session_nid = $1 AND s.user_nid = $2 FOR NO KEY UPDATE OF s",
        session_nid,
        user_nid,
    )
    return None if row is None else Held(*row)


async def get(db: Connection, session_nid: int) -> bytes | None:
    keys: bytes | None = await db.fetchval(
        "SELECT keys FROM device_keys WHERE session_nid = $1", session_nid
    )
    return keys


async def put(db: Connection, user_nid: int, session_nid: int, keys: bytes) -> None:
    await db.execute(
        "INSERT INTO device_keys (session_nid, user_nid, keys) VALUES ($1, $2, $3)"
        " ON CONFLICT (session_nid) DO UPDATE SET keys = excluded.keys",
        session_nid,
        user_nid,
        keys,
    )


async def have_keys(db: Connection, session_nids: Sequence[int]) -> frozenset[int]:
    """Those of the sessions that have keys."""
    rows = await db.fetch(
        "SELECT session_nid FROM device_keys WHERE session_nid = ANY($1::bigint[])",
        list(session_nids),
    )
    return frozenset(row["session_nid"] for row in rows)
