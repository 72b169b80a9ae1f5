"""The accounts table: people and bots who log in here."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import UserID
from homeserver.storage import users
from homeserver.storage.database import Connection
from homeserver.storage.users import UserRecord


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What makes an account. `password_hash`: "" for one that nobody can log in to.
    `email` None: it has none, as those made over the Matrix API.
    `appservice`: ID of the application service that made it.
    """

    email: str | None
    password_hash: str
    is_admin: bool
    created_at: int
    is_guest: bool = False
    appservice: str | None = None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account with its user. Times are milliseconds since the epoch."""

    user: UserRecord
    email: str | None
    password_hash: str
    password_changed_at: int
    is_admin: bool
    created_at: int
    deactivated_at: int | None
    is_guest: bool
    locked_at: int | None
    suspended_at: int | None
    appservice: str | None


Restriction = Literal["locked", "suspended"]

_ACCOUNT = "SELECT * FROM accounts JOIN users USING (user_nid)"


def email_key(email: str) -> str:
    """What must be unique: compatibility-composed and case-folded, so that an address cannot be
    taken twice in different spellings.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    return users.storable(unicodedata.normalize("NFKC", folded))


async def insert(db: Connection, user: UserRecord, account: NewAccount) -> AccountRecord | None:
    """The account of a new user; None: there is one with that e-mail address."""
    status = await db.execute(
        """
        INSERT INTO accounts (user_nid, email, email_key, password_hash, password_changed_at,
                              is_admin, created_at, updated_at, is_guest, appservice)
        VALUES ($1, $2, $3, $4, $6, $5, $6, $6, $7, $8)
        ON CONFLICT DO NOTHING
        """,
        user.user_nid,
        account.email,
        None if account.email is None else email_key(account.email),
        account.password_hash,
        account.is_admin,
        account.created_at,
        account.is_guest,
        account.appservice,
    )
    return None if status == "INSERT 0 0" else await by_nid(db, user.user_nid)


async def by_email(db: Connection, email: str) -> AccountRecord | None:
    query = f"{_ACCOUNT} WHERE email_key = $1"
    return _one(await db.fetchrow(query, email_key(email)))


async def by_user_id(db: Connection, user_id: UserID) -> AccountRecord | None:
    return _one(await db.fetchrow(f"{_ACCOUNT} WHERE user_id = $1", users.storable(user_id)))


async def by_uuid(db: Connection, uuid: UUID) -> AccountRecord | None:
    return _one(await db.fetchrow(f"{_ACCOUNT} WHERE uuid = $1", uuid))


async def by_nid(db: Connection, user_nid: int) -> AccountRecord | None:
    return _one(await db.fetchrow(f"{_ACCOUNT} WHERE user_nid = $1", user_nid))


async def page(db: Connection, *, after: int, limit: int) -> list[AccountRecord]:
    """Accounts in the order in which they were made, after the one of that user_nid (0: all)."""
    rows = await db.fetch(
        f"{_ACCOUNT} WHERE user_nid > $1 ORDER BY user_nid LIMIT $2", after, limit
    )
    return [_record_of(row) for row in rows]


async def set_password(db: Connection, user_nid: int, password_hash: str, now_ms: int) -> None:
    await db.execute(
        """
        UPDATE accounts SET password_hash = $2, password_changed_at = $3, updated_at = $3
        WHERE user_nid = $1
        """,
        user_nid,
        password_hash,
        now_ms,
    )


async def replace_hash(db: Connection, user_nid: int, *, old: str, new: str) -> None:
    """Another hash of the same password."""
    await db.execute(
        "UPDATE accounts SET password_hash = $3 WHERE user_nid = $1 AND password_hash = $2",
        user_nid,
        old,
        new,
    )


async def end_being_guest(db: Connection, user_nid: int, password_hash: str, now_ms: int) -> None:
    await db.execute(
        """
        UPDATE accounts
        SET is_guest = false, password_hash = $2, password_changed_at = $3, updated_at = $3
        WHERE user_nid = $1
        """,
        user_nid,
        password_hash,
        now_ms,
    )


async def restrict(
    db: Connection, user_nid: int, restriction: Restriction, since_ms: int | None
) -> None:
    """since_ms None: the restriction ends."""
    await db.execute(
        f"UPDATE accounts SET {restriction}_at = $2 WHERE user_nid = $1", user_nid, since_ms
    )


async def erase(db: Connection, user_nid: int, now_ms: int) -> None:
    """Everything personal but the user ID, and what was written in rooms."""
    await db.execute(
        """
        UPDATE accounts SET email = NULL, email_key = NULL, erased_at = $2 WHERE user_nid = $1
        """,
        user_nid,
        now_ms,
    )
    await users.set_profile(db, user_nid, display_name=None, avatar_url=None)
    await db.execute("DELETE FROM profile_fields WHERE user_nid = $1", user_nid)
    await db.execute("DELETE FROM account_data WHERE user_nid = $1", user_nid)
    await db.execute("DELETE FROM filters WHERE user_nid = $1", user_nid)


async def erased(db: Connection) -> list[UserID]:
    """All users whose accounts were erased."""
    rows = await db.fetch(
        "SELECT user_id FROM accounts JOIN users USING (user_nid) WHERE erased_at IS NOT NULL"
    )
    return [UserID(row["user_id"]) for row in rows]


async def touch(db: Connection, user_nid: int, now_ms: int) -> None:
    await db.execute("UPDATE accounts SET updated_at = $2 WHERE user_nid = $1", user_nid, now_ms)


async def deactivate(db: Connection, user_nid: int, now_ms: int) -> bool:
    """Whether it was active. The password is forgotten; e-mail address and user ID stay taken."""
    status = await db.execute(
        """
        UPDATE accounts
        SET deactivated_at = $2, updated_at = $2, password_hash = '', is_admin = false
        WHERE user_nid = $1 AND deactivated_at IS NULL
        """,
        user_nid,
        now_ms,
    )
    return status != "UPDATE 0"


async def deactivated_among(db: Connection, user_nids: Collection[int]) -> frozenset[int]:
    """The users whose accounts are deactivated; users of other servers have no account here."""
    rows = await db.fetch(
        """
        SELECT user_nid FROM accounts
        WHERE user_nid = ANY($1::bigint[]) AND deactivated_at IS NOT NULL
        """,
        list(user_nids),
    )
    return frozenset(row["user_nid"] for row in rows)


async def has_admin(db: Connection) -> bool:
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM accounts WHERE is_admin AND deactivated_at IS NULL)"
    )
    return found


def _one(row: Record | None) -> AccountRecord | None:
    return None if row is None else _record_of(row)


def _record_of(row: Record) -> AccountRecord:
    return AccountRecord(
        user=users.record_of(row),
        email=row["email"],
        password_hash=row["password_hash"],
        password_changed_at=row["password_changed_at"],
        is_admin=row["is_admin"],
        created_at=row["created_at"],
        deactivated_at=row["deactivated_at"],
        is_guest=row["is_guest"],
        locked_at=row["locked_at"],
        suspended_at=row["suspended_at"],
        appservice=row["appservice"],
    )
