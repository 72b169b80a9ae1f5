"""Who wants no invitations, as their account data says (table `account_data`)."""

from collections.abc import Collection

from homeserver.errors import InvalidInput
from homeserver.events import canonical_json
from homeserver.storage.database import Connection

CONFIG_TYPE = "m.invite_permission_config"


async def blocking(db: Connection, user_nids: Collection[int]) -> frozenset[int]:
    """Those of the users who block all invitations. Source: C-S API v1.19 "Invite permission"."""
    rows = await db.fetch(
        "SELECT user_nid, content FROM account_data"
        " WHERE user_nid = ANY($1::bigint[]) AND room_nid = 0 AND type = $2",
        list(user_nids),
        CONFIG_TYPE,
    )
    return frozenset(row["user_nid"] for row in rows if _blocks(row["content"]))


def _blocks(raw: bytes) -> bool:
    try:
        content = canonical_json.decode(raw)
    except InvalidInput:
        return False
    return isinstance(content, dict) and content.get("default_action") == "block"
