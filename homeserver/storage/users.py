"""The users table: everybody that a room or this server knows.

A user has a local number (`user_nid`), a Matrix ID and a native UUID. `user_words` holds the words
of names and localparts, so that people are found by the beginnings of words.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.identifiers import UserID, localpart_of, native_uuid
from homeserver.storage.database import Connection

_MAX_WORDS = 32
_MAX_WORD_CHARS = 64
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A row of users."""

    user_nid: int
    user_id: UserID
    uuid: UUID
    display_name: str | None
    avatar_url: str | None


async def by_nids(db: Connection, user_nids: Collection[int]) -> list[UserRecord]:
    """The users that exist of those asked for, in no particular order."""
    rows = await db.fetch("SELECT * FROM users WHERE user_nid = ANY($1::bigint[])", list(user_nids))
    return [record_of(row) for row in rows]


async def by_uuids(db: Connection, uuids: Collection[UUID]) -> list[UserRecord]:
    rows = await db.fetch("SELECT * FROM users WHERE uuid = ANY($1::uuid[])", list(uuids))
    return [record_of(row) for row in rows]


async def by_user_ids(db: Connection, user_ids: Collection[UserID]) -> list[UserRecord]:
    rows = await db.fetch("SELECT * FROM users WHERE user_id = ANY($1::text[])", list(user_ids))
    return [record_of(row) for row in rows]


async def ensure(db: Connection, user_ids: Collection[UserID]) -> dict[UserID, UserRecord]:
    """The users with these IDs; those that are not known yet become known, without a name.

    Looks before it inserts, because a conflicting insert would use up numbers for nothing.
    """
    known = {user.user_id: user for user in await by_user_ids(db, user_ids)}
    missing = sorted(set(user_ids) - known.keys())
    if missing:
        await _insert(db, missing)
        known |= {user.user_id: user for user in await by_user_ids(db, missing)}
    return known


async def create(db: Connection, user_id: UserID, display_name: str) -> UserRecord | None:
    """A user that did not exist; None: it does exist, if only because rooms know it."""
    row = await db.fetchrow(
        """
        INSERT INTO users (user_id, uuid, display_name) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING RETURNING *
        """,
        user_id,
        native_uuid(user_id),
        display_name,
    )
    if row is None:
        return None
    user = record_of(row)
    await _replace_words(db, user.user_nid, words_of(localpart_of(user_id), display_name))
    return user


async def set_profile(
    db: Connection, user_nid: int, *, display_name: str | None, avatar_url: str | None
) -> None:
    """Both as they shall be; None means none. The user's rooms are to show it."""
    user_id = await db.fetchval(
        "UPDATE users SET display_name = $2, avatar_url = $3 WHERE user_nid = $1 RETURNING user_id",
        user_nid,
        display_name,
        avatar_url,
    )
    if user_id is not None:
        await _replace_words(db, user_nid, words_of(localpart_of(user_id), display_name or ""))
        await db.execute(
            "INSERT INTO profile_changes (user_nid) VALUES ($1)"
            " ON CONFLICT (user_nid) DO UPDATE SET serial = profile_changes.serial + 1",
            user_nid,
        )


def words_of(*texts: str) -> frozenset[str]:
    """Case-folded words of names or of a query; at most 32, of at most 64 characters each."""
    folded = unicodedata.normalize("NFKC", " ".join(texts)).casefold()
    words = dict.fromkeys(word[:_MAX_WORD_CHARS] for word in _WORD.findall(folded))
    return frozenset(list(words)[:_MAX_WORDS])


def storable(text: str) -> str:
    """The text as Postgres can take it; what it cannot (NUL, lone surrogates) matches nothing."""
    return _UNSTORABLE.sub("\ufffd", text)


def record_of(row: Record) -> UserRecord:
    """Any row that has the columns of users."""
    return UserRecord(
        user_nid=row["user_nid"],
        user_id=UserID(row["user_id"]),
        uuid=row["uuid"],
        display_name=row["display_name"],
        avatar_url=row["avatar_url"],
    )


async def _insert(db: Connection, user_ids: Sequence[UserID]) -> None:
    """user_ids: sorted, so that concurrent inserts of the same users cannot deadlock."""
    rows = await db.fetch(
        """
        INSERT INTO users (user_id, uuid)
        SELECT * FROM unnest($1::text[], $2::uuid[])
        ON CONFLICT DO NOTHING
        RETURNING user_nid, user_id
        """,
        user_ids,
        [native_uuid(user_id) for user_id in user_ids],
    )
    await _insert_words(
        db,
        [
            (word, row["user_nid"])
            for row in rows
            for word in words_of(localpart_of(row["user_id"]))
        ],
    )


async def _replace_words(db: Connection, user_nid: int, words: Iterable[str]) -> None:
    await db.execute("DELETE FROM user_words WHERE user_nid = $1", user_nid)
    await _insert_words(db, [(word, user_nid) for word in words])


async def _insert_words(db: Connection, entries: Sequence[tuple[str, int]]) -> None:
    await db.execute(
        """
        INSERT INTO user_words (word, user_nid)
        SELECT * FROM unnest($1::text[], $2::bigint[])
        ON CONFLICT DO NOTHING
        """,
        [word for word, _ in entries],
        [user_nid for _, user_nid in entries],
    )
