"""The server table: whose database this is."""

from homeserver.errors import FoyerError
from homeserver.identifiers import ServerName
from homeserver.storage.database import Connection


class ForeignDatabaseError(FoyerError):
    """The database belongs to a server of another name; the message says what to do."""


async def claimed_name(db: Connection) -> ServerName | None:
    """The server name that the database belongs to; None before the first start."""
    name: str | None = await db.fetchval("SELECT server_name FROM server")
    return None if name is None else ServerName(name)


async def claim(db: Connection, server_name: ServerName, now_ms: int) -> None:
    """Make a new database this server's; all user IDs in it end with the name.

    Raises ForeignDatabaseError when it is another server's.
    """
    await db.execute(
        "INSERT INTO server (server_name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        server_name,
        now_ms,
    )
    owner = await claimed_name(db)
    if owner != server_name:
        raise ForeignDatabaseError(
            f"The database belongs to the server {owner}, not to {server_name}: a server's name "
            "cannot change. Set server.name back, or use another database."
        )
