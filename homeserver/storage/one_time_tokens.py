"""The tables login_tokens and openid_tokens: secrets for one purpose, as SHA-256."""

from typing import Literal

from homeserver.storage.database import Connection

Table = Literal["login_tokens", "openid_tokens"]


async def insert(
    db: Connection, table: Table, token_hash: bytes, user_nid: int, expires_at: int
) -> None:
    await db.execute(
        f"INSERT INTO {table} (token_hash, user_nid, expires_at) VALUES ($1, $2, $3)",
        token_hash,
        user_nid,
        expires_at,
    )


async def take(db: Connection, table: Table, token_hash: bytes, now_ms: int) -> int | None:
    """Whose it was; None: there is no such token, or it has expired."""
    user_nid: int | None = await db.fetchval(
        f"""
        DELETE FROM {table} WHERE token_hash = $1 AND expires_at > $2 RETURNING user_nid
        """,
        token_hash,
        now_ms,
    )
    return user_nid


async def delete_expired(db: Connection, now_ms: int) -> None:
    await db.execute("DELETE FROM login_tokens WHERE expires_at <= $1", now_ms)
    await db.execute("DELETE FROM openid_tokens WHERE expires_at <= $1", now_ms)
