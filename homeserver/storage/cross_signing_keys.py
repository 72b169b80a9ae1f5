"""Tables `cross_signing_keys` and `key_signatures`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from homeserver.identifiers import UserID
from homeserver.storage.database import Connection
from homeserver.storage.users import storable


@dataclass(frozen=True, slots=True)
class CrossSigningKeyRow:
    """usage: master, self_signing, user_signing. public_key: Base64. keys: canonical JSON."""

    user_nid: int
    user_id: UserID
    usage: str
    public_key: str
    keys: bytes


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """target: a device ID, or the public key of a master key. signer_key: with its algorithm."""

    target_nid: int
    target: str
    signer_nid: int
    signer_key: str
    signature: str


@dataclass(frozen=True, slots=True)
class ShownSignature:
    """A signature with the names of those whom it concerns."""

    target_id: UserID
    target: str
    signer_id: UserID
    signer_key: str
    signature: str


async def of_users(db: Connection, user_ids: Collection[str]) -> list[CrossSigningKeyRow]:
    rows = await db.fetch(
        "SELECT k.user_nid, u.user_id, k.usage, k.public_key, k.keys"
        " FROM cross_signing_keys k JOIN users u USING (user_nid)"
        " WHERE u.user_id = ANY($1::text[])",
        [storable(each) for each in user_ids],
    )
    return [CrossSigningKeyRow(**dict(row)) for row in rows]


async def hold(db: Connection, user_nid: int) -> None:
    """Changes of one user's keys come one after the other, until the transaction ends."""
    await db.execute("SELECT FROM users WHERE user_nid = $1 FOR NO KEY UPDATE", user_nid)


async def put(db: Connection, row: CrossSigningKeyRow) -> None:
    await db.execute(
        "INSERT INTO cross_signing_keys (user_nid, usage, public_key, keys)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (user_nid, usage) DO UPDATE"
        " SET public_key = excluded.public_key, keys = excluded.keys",
        row.user_nid,
        row.usage,
        row.public_key,
        row.keys,
    )


async def delete(db: Connection, user_nid: int, usages: Collection[str]) -> None:
    await db.execute(
        "DELETE FROM cross_signing_keys WHERE user_nid = $1 AND usage = ANY($2::text[])",
        user_nid,
        list(usages),
    )


async def forget_user(db: Connection, user_nid: int) -> None:
    """All keys of somebody, what he signed, and who signed them."""
    await db.execute("DELETE FROM cross_signing_keys WHERE user_nid = $1", user_nid)
    await db.execute(
        "DELETE FROM key_signatures WHERE target_nid = $1 OR signer_nid = $1", user_nid
    )


async def add_signatures(db: Connection, rows: Sequence[SignatureRow]) -> bool:
    """Each of another key. Whether there was anything new."""
    status = await db.execute(
        """
        INSERT INTO key_signatures (target_nid, target, signer_nid, signer_key, signature)
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[])
        ON CONFLICT (target_nid, target, signer_nid, signer_key) DO UPDATE
        SET signature = excluded.signature WHERE key_signatures.signature <> excluded.signature
        """,
        [row.target_nid for row in rows],
        [row.target for row in rows],
        [row.signer_nid for row in rows],
        [row.signer_key for row in rows],
        [row.signature for row in rows],
    )
    return status != "INSERT 0 0"


async def forget_key(db: Connection, user_nid: int, target: str, signer_key: str) -> None:
    """What says something about a key that is replaced or gone, and what it signed."""
    await db.execute(
        "DELETE FROM key_signatures WHERE (target_nid = $1 AND target = $2)"
        " OR (signer_nid = $1 AND signer_key = $3)",
        user_nid,
        target,
        signer_key,
    )


async def forget_devices(
    db: Connection, user_nids: Sequence[int], device_ids: Sequence[str]
) -> None:
    """The same for devices; of each, its owner and its ID."""
    await db.execute(
        """
        DELETE FROM key_signatures k USING unnest($1::bigint[], $2::text[]) AS gone (nid, device)
        WHERE (k.target_nid = gone.nid AND k.target = gone.device)
            OR (k.signer_nid = gone.nid AND k.signer_key = 'ed25519:' || gone.device)
        """,
        list(user_nids),
        list(device_ids),
    )


async def visible_signatures(
    db: Connection, user_ids: Collection[str], reader_nid: int
) -> list[ShownSignature]:
    """Of keys of several users: their owners' own, and the reader's.
    Source: C-S API v1.19 "Key and signature security".
    """
    rows = await db.fetch(
        """
        SELECT t.user_id AS target_id, k.target, s.user_id AS signer_id, k.signer_key, k.signature
        FROM users t JOIN key_signatures k ON k.target_nid = t.user_nid
            JOIN users s ON s.user_nid = k.signer_nid
        WHERE t.user_id = ANY($1::text[]) AND k.signer_nid IN (k.target_nid, $2)
        """,
        [storable(each) for each in user_ids],
        reader_nid,
    )
    return [ShownSignature(**dict(row)) for row in rows]
