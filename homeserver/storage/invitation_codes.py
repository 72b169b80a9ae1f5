"""The invitation_codes table. Codes stand in it as SHA-256; whoever reads the table learns none.

The codes that a server shows when it has no administrator are those that nobody created and that
make administrators.
"""

from dataclasses import dataclass

from homeserver.storage.database import Connection


@dataclass(frozen=True, slots=True)
class NewCode:
    """`created_by`: user_nid, None for the server itself. `expires_at` None: never."""

    code_hash: bytes
    makes_admin: bool
    created_by: int | None
    created_at: int
    expires_at: int | None
    uses: int


async def insert(db: Connection, code: NewCode) -> None:
    await db.execute(
        """
        INSERT INTO invitation_codes
            (code_hash, makes_admin, created_by, created_at, expires_at, uses_left)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        code.code_hash,
        code.makes_admin,
        code.created_by,
        code.created_at,
        code.expires_at,
        code.uses,
    )


async def is_usable(db: Connection, code_hash: bytes, now_ms: int) -> bool:
    row = await db.fetchrow(
        """
        SELECT FROM invitation_codes
        WHERE code_hash = $1 AND uses_left > 0 AND (expires_at IS NULL OR expires_at > $2)
        """,
        code_hash,
        now_ms,
    )
    return row is not None


async def use(db: Connection, code_hash: bytes, now_ms: int) -> bool | None:
    """Takes one use of a code. Whether it makes administrators; None: it cannot be used."""
    makes_admin: bool | None = await db.fetchval(
        """
        UPDATE invitation_codes SET uses_left = uses_left - 1
        WHERE code_hash = $1 AND uses_left > 0 AND (expires_at IS NULL OR expires_at > $2)
        RETURNING makes_admin
        """,
        code_hash,
        now_ms,
    )
    return makes_admin


async def delete_first_admin_codes(db: Connection) -> None:
    await db.execute("DELETE FROM invitation_codes WHERE makes_admin AND created_by IS NULL")


async def delete_unusable(db: Connection, now_ms: int) -> None:
    """Codes that are used up or have expired."""
    await db.execute("DELETE FROM invitation_codes WHERE expires_at <= $1 OR uses_left = 0", now_ms)
