"""Users as one of them may see others: by UUID, and by the beginnings of their names.

Who shares a room with somebody is a question to memberships; asked for few users at a time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.storage import users
from homeserver.storage.database import Connection
from homeserver.storage.users import UserRecord

_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class SeenUser:
    """A user, and what he is to the reader. `email` None: he has no account here."""

    user: UserRecord
    email: str | None
    shares_room: bool


# $1 is the reader. A reader shares rooms that both are in now.
_SHARES_ROOM = """
    EXISTS (
        SELECT FROM memberships mine JOIN memberships theirs USING (room_nid)
        WHERE mine.user_nid = $1 AND mine.membership = 'join'
          AND theirs.user_nid = u.user_nid AND theirs.membership = 'join'
    )
"""

# Who left a room stays the author of what he wrote in it.
_MET = """
    EXISTS (
        SELECT FROM memberships mine JOIN memberships theirs USING (room_nid)
        WHERE mine.user_nid = $1 AND mine.membership = 'join' AND theirs.user_nid = u.user_nid
    )
"""

_BY_UUID = f"""
    SELECT u.*, a.email, {_SHARES_ROOM} AS shares_room
    FROM users u LEFT JOIN accounts a USING (user_nid)
    WHERE u.uuid = $2 AND (a.user_nid IS NOT NULL OR {_MET})
"""

# The longest prefix finds candidates by the index, the others filter them.
_SEARCH = f"""
    WITH candidates AS (
        SELECT user_nid, false AS is_exact FROM user_words WHERE word >= $2 AND word < $3
        UNION
        SELECT user_nid, true FROM accounts WHERE email_key = $5
    ), found AS (
        SELECT user_nid, bool_or(is_exact) AS is_exact FROM candidates GROUP BY user_nid
    )
    SELECT u.*, a.email, {_SHARES_ROOM} AS shares_room
    FROM found JOIN users u USING (user_nid) LEFT JOIN accounts a USING (user_nid)
    WHERE (is_exact OR NOT EXISTS (
              SELECT FROM unnest($4::text[]) AS prefix WHERE NOT EXISTS (
                  SELECT FROM user_words w
                  WHERE w.user_nid = u.user_nid AND starts_with(w.word, prefix))))
      AND CASE WHEN a.user_nid IS NULL THEN {_SHARES_ROOM} ELSE a.deactivated_at IS NULL END
    ORDER BY is_exact DESC, lower(coalesce(u.display_name, u.user_id)), u.user_nid
    LIMIT $6
"""


async def by_uuid(db: Connection, reader_nid: int, uuid: UUID) -> SeenUser | None:
    """A user with an account here, or who is or was in a room of the reader."""
    row = await db.fetchrow(_BY_UUID, reader_nid, uuid)
    return None if row is None else _seen(row)


async def search(
    db: Connection, reader_nid: int, *, prefixes: Collection[str], email_key: str, limit: int
) -> list[SeenUser]:
    """Users of whom each prefix begins a word, and the one with that e-mail address.

    Only active accounts of this server, and users of others who share a room with the reader.
    prefixes: as `users.words_of` makes them.
    """
    longest = max(prefixes, key=len, default=None)
    rows = await db.fetch(
        _SEARCH,
        reader_nid,
        longest,
        None if longest is None else longest + _LAST_CHARACTER,
        list(prefixes),
        email_key,
        limit,
    )
    return [_seen(row) for row in rows]


def _seen(row: Record) -> SeenUser:
    return SeenUser(user=users.record_of(row), email=row["email"], shares_room=row["shares_room"])
