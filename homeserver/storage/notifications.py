"""What may count as unread, and table `notification_exceptions`.

Of what an event means to people only that is stored which does not follow from its being a message
(see 0007_notifications.sql).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from homeserver.events import canonical_json
from homeserver.identifiers import EventID, RoomID, UserID
from homeserver.messages import THREAD, relation_in
from homeserver.storage.database import Connection
from homeserver.storage.timeline import Span, span_columns

EVERYBODY = 0
"""Stands for all readers of a room."""

SETTINGS = ("m.push_rules", "m.ignored_user_list")
"""Account data that decides what people hear of."""
# As index `account_data_notification_settings` has it.
_IS_SETTING = "d.room_nid = 0 AND d.type IN ('m.push_rules', 'm.ignored_user_list')"

CURSOR = "notifications"
MAIN = "main"
"""What stands in no thread, as receipts name it."""

# C-S API v1.19 "Threading", "Receiving notifications": at most three hops, and a thread's root
# stands in no thread. `t`: the event's own relation.
_THREAD_ROOT = """
    CASE WHEN t.rel_type IS NULL THEN NULL WHEN t.rel_type = 'm.thread' THEN t.parent_uuid ELSE (
        WITH RECURSIVE hops AS (
            SELECT 1 AS hop, t.parent_uuid AS uuid, NULL::uuid AS root
            UNION ALL
            SELECT hop + 1, p.parent_uuid,
                CASE WHEN ltrim(p.rel_type, '-') = 'm.thread' THEN p.parent_uuid END
            FROM hops JOIN events o ON o.uuid = hops.uuid JOIN relations p USING (event_nid)
            WHERE hops.root IS NULL AND hop < 3
        )
        SELECT root FROM hops WHERE root IS NOT NULL LIMIT 1
    ) END
"""
# Where the root is not here, the message itself names it.
_THREAD_COLUMNS = """
    found.root IS NOT NULL AS in_thread, root.event_id AS root_id,
    CASE WHEN found.root IS NOT NULL AND root.event_id IS NULL THEN
        (SELECT e.raw FROM events e WHERE e.event_nid = found.event_nid) END AS raw
"""
_MESSAGES = f"""
    SELECT found.room_nid, found.position, found.sender_nid, true AS is_message, {_THREAD_COLUMNS}
    FROM (
        SELECT newest.*, {_THREAD_ROOT} AS root
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS s (room_nid, after, upto)
        CROSS JOIN LATERAL (
            SELECT m.event_nid, m.room_nid, m.position, m.sender_nid FROM events m
            WHERE m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
                AND m.is_message AND m.redacted_by IS NULL AND m.position IS NOT NULL
            ORDER BY m.position DESC LIMIT $4
        ) newest LEFT JOIN relations t USING (event_nid)
    ) found LEFT JOIN events root ON root.uuid = found.root
    ORDER BY found.position
"""
_EXCEPTIONS = f"""
    SELECT found.*, {_THREAD_COLUMNS} FROM (
        SELECT x.room_nid, x.user_nid, x.position, x.notify, x.highlight, e.event_nid,
            e.sender_nid, e.is_message, {_THREAD_ROOT} AS root
        FROM unnest($2::bigint[], $3::bigint[]) AS s (room_nid, after) CROSS JOIN LATERAL (
            SELECT * FROM notification_exceptions n
            WHERE n.room_nid = s.room_nid AND n.user_nid = ANY(ARRAY[0, $1]::bigint[])
                AND n.position > s.after
            ORDER BY n.position DESC LIMIT $4
        ) x JOIN events e ON e.position = x.position
        LEFT JOIN relations t ON t.event_nid = e.event_nid
        WHERE e.redacted_by IS NULL
    ) found LEFT JOIN events root ON root.uuid = found.root
    ORDER BY found.position
"""
_THREAD_OF = f"""
    SELECT {_THREAD_COLUMNS} FROM (
        SELECT t.event_nid, {_THREAD_ROOT} AS root FROM relations t WHERE t.event_nid = $1
    ) found LEFT JOIN events root ON root.uuid = found.root
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the database is: newest positions of events and receipts, and up to which event
    everything is judged.
    """

    events: int
    receipts: int
    judged: int


@dataclass(frozen=True, slots=True)
class JoinedRoom:
    """A room that somebody is in. position: of the event that says so."""

    room_id: RoomID
    position: int | None


@dataclass(frozen=True, slots=True)
class CountedRow:
    """An event that may count. thread: the ID of the root, or MAIN."""

    room_nid: int
    position: int
    sender_nid: int
    is_message: bool
    thread: str


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """What an event means to one user, or to everybody."""

    user_nid: int
    event: CountedRow
    notify: bool
    highlight: bool


@dataclass(frozen=True, slots=True)
class NewException:
    """A row of notification_exceptions."""

    room_nid: int
    user_nid: int
    position: int
    notify: bool
    highlight: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """Global account data of a member of a room."""

    user_nid: int
    user_id: UserID
    type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody of this server who is in a room, or invited."""

    user_nid: int
    user_id: UserID
    membership: str


async def standing(db: Connection) -> Standing:
    """In one snapshot with what is read besides."""
    rows = await db.fetch(
        "SELECT stream AS name, position FROM stream_positions"
        " WHERE stream IN ('events', 'receipts')"
        " UNION ALL SELECT name, position FROM cursors WHERE name = $1",
        CURSOR,
    )
    found = {row["name"]: row["position"] for row in rows}
    return Standing(found["events"], found["receipts"], found.get(CURSOR, 0))


async def joined(
    db: Connection, user_nid: int, room_nids: Collection[int]
) -> dict[int, JoinedRoom]:
    """Those of the rooms that the user is in."""
    rows = await db.fetch(
        "SELECT m.room_nid, r.room_id, e.position FROM memberships m"
        " JOIN events e USING (event_nid) JOIN rooms r ON r.room_nid = m.room_nid"
        " WHERE m.user_nid = $1 AND m.room_nid = ANY($2::bigint[]) AND m.membership = 'join'"
        " AND r.deleted_at IS NULL",
        user_nid,
        list(room_nids),
    )
    return {row["room_nid"]: JoinedRoom(RoomID(row["room_id"]), row["position"]) for row in rows}


async def marks(
    db: Connection, user_nid: int, room_nids: Collection[int]
) -> dict[int, dict[str, int]]:
    """How far a user has read, publicly or not, by room and thread ("": the whole room)."""
    rows = await db.fetch(
        "SELECT room_nid, thread, max(event_position) AS position FROM receipts"
        " WHERE room_nid = ANY($2::bigint[]) AND user_nid = $1 AND kind IN ('read', 'private')"
        " GROUP BY room_nid, thread",
        user_nid,
        list(room_nids),
    )
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["room_nid"], {})[row["thread"]] = row["position"]
    return found


async def messages(
    db: Connection, spans: Sequence[tuple[int, int, int]], *, limit: int
) -> list[CountedRow]:
    """The newest messages of stretches (room, after, up to), `limit` of each, in order."""
    if not spans:
        return []
    rows = await db.fetch(_MESSAGES, *map(list, zip(*spans, strict=True)), limit)
    return [_counted(row) for row in rows]


async def exceptions(
    db: Connection, user_nid: int, rooms: Sequence[tuple[int, int]], *, limit: int
) -> list[ExceptionRow]:
    """The newest of one user's and of everybody's after a position of each room, in order."""
    if not rooms:
        return []
    rows = await db.fetch(_EXCEPTIONS, user_nid, *map(list, zip(*rooms, strict=True)), limit)
    return [
        ExceptionRow(row["user_nid"], _counted(row), row["notify"], row["highlight"])
        for row in rows
    ]


async def visible_positions(
    db: Connection, spans: Sequence[Span], *, limit: int
) -> dict[int, set[int]]:
    """The newest messages of spans, `limit` of each, by room."""
    rows = await db.fetch(
        """
        SELECT s.room_nid, found.position
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
            AS s (room_nid, after, upto, since, until)
        CROSS JOIN LATERAL (
            SELECT m.position FROM events m
            WHERE m.room_nid = s.room_nid AND m.position > s.after AND m.position <= s.upto
                AND m.state_version >= s.since AND m.state_version < s.until
                AND m.is_message AND m.redacted_by IS NULL AND m.position IS NOT NULL
            ORDER BY m.position DESC LIMIT $6
        ) found
        """,
        *span_columns(spans),
        limit,
    )
    found: dict[int, set[int]] = {}
    for row in rows:
        found.setdefault(row["room_nid"], set()).add(row["position"])
    return found


async def settings_of_members(db: Connection, room_nid: int) -> list[Setting]:
    """SETTINGS of everybody who is in a room and has any."""
    rows = await db.fetch(
        f"SELECT d.user_nid, u.user_id, d.type, d.content FROM account_data d"
        " JOIN memberships m ON m.room_nid = $1 AND m.user_nid = d.user_nid"
        " JOIN users u ON u.user_nid = d.user_nid"
        f" WHERE m.membership = 'join' AND {_IS_SETTING}",
        room_nid,
    )
    return [_setting(row) for row in rows]


async def settings_of(db: Connection, user_nids: Collection[int]) -> list[Setting]:
    """SETTINGS of some users."""
    rows = await db.fetch(
        "SELECT d.user_nid, u.user_id, d.type, d.content"
        " FROM account_data d JOIN users u USING (user_nid)"
        f" WHERE d.user_nid = ANY($1::bigint[]) AND {_IS_SETTING}",
        list(user_nids),
    )
    return [_setting(row) for row in rows]


async def member_count(db: Connection, room_nid: int, *, upto: int) -> int:
    """How many are in a room; more than `upto` are not counted."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM (SELECT FROM memberships"
        " WHERE room_nid = $1 AND membership = 'join' LIMIT $2) counted",
        room_nid,
        upto,
    )
    return count


async def named(db: Connection, room_nid: int, user_ids: Collection[str]) -> list[Named]:
    """Those of the users who have accounts here and are in the room, or invited."""
    rows = await db.fetch(
        "SELECT u.user_nid, u.user_id, m.membership"
        " FROM users u JOIN accounts a USING (user_nid)"
        " JOIN memberships m ON m.room_nid = $1 AND m.user_nid = u.user_nid"
        " WHERE u.user_id = ANY($2::text[]) AND m.membership IN ('join', 'invite')",
        room_nid,
        [user_id for user_id in user_ids if "\0" not in user_id],
    )
    return [Named(row["user_nid"], UserID(row["user_id"]), row["membership"]) for row in rows]


async def display_names(
    db: Connection, room_nid: int, user_nids: Collection[int]
) -> dict[int, str]:
    """What some members are called in a room, as far as they have a name there."""
    rows = await db.fetch(
        "SELECT m.user_nid, e.raw FROM memberships m JOIN events e USING (event_nid)"
        " WHERE m.room_nid = $1 AND m.user_nid = ANY($2::bigint[])",
        room_nid,
        list(user_nids),
    )
    names = {
        row["user_nid"]: canonical_json.decode(row["raw"])["content"].get("displayname")
        for row in rows
    }
    return {user_nid: name for user_nid, name in names.items() if isinstance(name, str)}


async def thread_of(db: Connection, event_nid: int) -> str:
    """The thread that an event stands in by what it relates to: the ID of its root, or MAIN."""
    row = await db.fetchrow(_THREAD_OF, event_nid)
    return MAIN if row is None else _thread(row)


async def redacted_position(db: Connection, target: UUID, redaction_nid: int) -> int | None:
    """The position of the event that a redaction redacted; None: it redacted none."""
    position: int | None = await db.fetchval(
        "SELECT position FROM events WHERE uuid = $1 AND redacted_by = $2", target, redaction_nid
    )
    return position


async def insert(db: Connection, rows: Sequence[NewException], now_ms: int) -> None:
    """What is there already stays: events are judged once."""
    await db.execute(
        "INSERT INTO notification_exceptions"
        " (room_nid, user_nid, position, notify, highlight, judged_at)"
        " SELECT o.*, $6 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[],"
        " $5::boolean[]) AS o ON CONFLICT DO NOTHING",
        [row.room_nid for row in rows],
        [row.user_nid for row in rows],
        [row.position for row in rows],
        [row.notify for row in rows],
        [row.highlight for row in rows],
        now_ms,
    )


async def delete_older(db: Connection, before_ms: int, limit: int) -> bool:
    """Removes some of what was judged before a moment; True when there is no more."""
    status = await db.execute(
        "DELETE FROM notification_exceptions WHERE ctid = ANY(ARRAY("
        " SELECT ctid FROM notification_exceptions WHERE judged_at < $1 LIMIT $2))",
        before_ms,
        limit,
    )
    return int(status.rpartition(" ")[2]) < limit


def _counted(row: Record) -> CountedRow:
    return CountedRow(
        room_nid=row["room_nid"],
        position=row["position"],
        sender_nid=row["sender_nid"],
        is_message=row["is_message"],
        thread=_thread(row),
    )


def _thread(row: Record) -> str:
    if not row["in_thread"]:
        return MAIN
    if row["root_id"] is not None:
        return EventID(row["root_id"])
    content = canonical_json.decode(row["raw"])["content"]
    relation = relation_in(content)
    return relation.event_id if relation is not None and relation.rel_type == THREAD else MAIN


def _setting(row: Record) -> Setting:
    return Setting(row["user_nid"], UserID(row["user_id"]), row["type"], row["content"])
