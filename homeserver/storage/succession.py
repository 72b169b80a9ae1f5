"""What people have said about a room that another one replaces (table `account_data`)."""

from collections.abc import Collection

from homeserver.identifiers import RoomID
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Connection

TAG = "m.tag"


async def settings_about(
    db: Connection,
    user_nids: Collection[int],
    room_nid: int,
    room_id: RoomID,
    global_types: Collection[str],
) -> dict[int, dict[str, bytes]]:
    """By user and type: tags of the room, and account data of these types that names the room."""
    rows = await db.fetch(
        "SELECT user_nid, type, content FROM account_data"
        " WHERE user_nid = ANY($1::bigint[])"
        " AND ((room_nid = $2 AND type = $3)"
        f" OR (room_nid = {GLOBAL} AND type = ANY($4::text[])"
        " AND position($5::bytea IN content) > 0))",
        list(user_nids),
        room_nid,
        TAG,
        list(global_types),
        room_id.encode(),
    )
    found: dict[int, dict[str, bytes]] = {}
    for row in rows:
        found.setdefault(row["user_nid"], {})[row["type"]] = row["content"]
    return found
