"""What is forgotten of somebody whose account ends; his devices go with their sessions."""

from homeserver.storage import cross_signing_keys, device_lists
from homeserver.storage.database import Connection


async def forget_identity(db: Connection, user_nid: int) -> None:
    """His cross-signing keys, what he signed and who signed them. Backups, which may be large, are
    swept (`e2e.upkeep`).
    """
    await cross_signing_keys.forget_user(db, user_nid)
    await device_lists.note(db, [user_nid])
