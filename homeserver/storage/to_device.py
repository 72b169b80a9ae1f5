"""Tables `to_device_messages` and `to_device_transactions`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter

from homeserver.storage import streams
from homeserver.storage.database import Connection
from homeserver.storage.users import storable

TO_DEVICE = "to_device"
MAX_QUEUE = 5_000
"""Messages that wait for one device. One more makes the oldest go: what came last is what a device
that comes back can use, and what it missed it can ask for again."""


@dataclass(frozen=True, slots=True)
class ToDeviceRow:
    """A message that waits for a device. event: JSON, as clients get it."""

    position: int
    session_nid: int
    user_nid: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """Where a message can be sent."""

    user_id: str
    device_id: str
    user_nid: int
    session_nid: int


@dataclass(frozen=True, slots=True)
class Added:
    """Messages that wait now. They took the positions after one and up to another."""

    rows: Sequence[ToDeviceRow]
    after: int
    upto: int


async def begin(
    db: Connection, *, session_nid: int, user_nid: int, txn_id: str, now_ms: int
) -> bool:
    """Whether this transaction ID is new. Another transaction with it waits for this one."""
    status = await db.execute(
        "INSERT INTO to_device_transactions (session_nid, user_nid, txn_id, sent_at)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        session_nid,
        user_nid,
        txn_id,
        now_ms,
    )
    return status == "INSERT 0 1"


async def devices_of(db: Connection, user_ids: Collection[str], now_ms: int) -> list[Device]:
    """All devices of several users."""
    rows = await db.fetch(
        "SELECT u.user_id, s.device_id, s.user_nid, s.session_nid"
        " FROM users u JOIN sessions s USING (user_nid)"
        " WHERE u.user_id = ANY($1::text[]) AND s.expires_at > $2",
        [storable(each) for each in user_ids],
        now_ms,
    )
    return [Device(**dict(row)) for row in rows]


async def add(db: Connection, messages: Sequence[tuple[Device, bytes]], now_ms: int) -> Added:
    """Puts messages, each for another device, behind those that wait there; devices that are gone
    meanwhile are left out.
    """
    ordered = sorted(messages, key=lambda each: each[0].session_nid)
    # The stream is locked from here on, so that nobody else counts at the same time.
    last = await streams.take_positions(db, TO_DEVICE, len(ordered))
    rows = await db.fetch(
        """
        INSERT INTO to_device_messages (session_nid, serial, position, sent_at, event)
        SELECT s.session_nid, 1 + coalesce((
                SELECT max(serial) FROM to_device_messages w WHERE w.session_nid = s.session_nid
            ), 0), given.position, $4, given.event
        FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS given (session, position, event)
        JOIN (
            SELECT session_nid FROM sessions WHERE session_nid = ANY($1) FOR KEY SHARE
        ) s ON s.session_nid = given.session
        RETURNING session_nid, serial, position
        """,
        [device.session_nid for device, _ in ordered],
        list(range(last - len(ordered) + 1, last + 1)),
        [event for _, event in ordered],
        now_ms,
    )
    await _cut(db, {row["session_nid"]: row["serial"] for row in rows})
    given = {device.session_nid: (device, event) for device, event in ordered}
    waiting_now = [
        ToDeviceRow(row["position"], device.session_nid, device.user_nid, event)
        for row in rows
        for device, event in [given[row["session_nid"]]]
    ]
    waiting_now.sort(key=attrgetter("position"))
    return Added(waiting_now, last - len(ordered), last)


async def _cut(db: Connection, newest: dict[int, int]) -> None:
    """Queues that are too long lose their oldest messages."""
    full = {nid: serial for nid, serial in newest.items() if serial > MAX_QUEUE}
    if full:
        await db.execute(
            "DELETE FROM to_device_messages w"
            " USING unnest($1::bigint[], $2::bigint[]) AS full_ (session_nid, serial)"
            " WHERE w.session_nid = full_.session_nid AND w.serial <= full_.serial - $3",
            list(full),
            list(full.values()),
            MAX_QUEUE,
        )


async def waiting(
    db: Connection, session_nid: int, *, after: int, limit: int
) -> list[tuple[int, bytes]]:
    """The oldest messages for a device after a position: position, event."""
    rows = await db.fetch(
        "SELECT position, event FROM to_device_messages"
        " WHERE session_nid = $1 AND position > $2 ORDER BY serial LIMIT $3",
        session_nid,
        after,
        limit,
    )
    return [(row["position"], row["event"]) for row in rows]


async def after_position(db: Connection, position: int, limit: int) -> list[ToDeviceRow]:
    """What waits for anybody after a position, in that order."""
    rows = await db.fetch(
        "SELECT w.position, w.session_nid, s.user_nid, w.event FROM to_device_messages w"
        " JOIN sessions s USING (session_nid) WHERE w.position > $1 ORDER BY w.position LIMIT $2",
        position,
        limit,
    )
    return [ToDeviceRow(*row) for row in rows]


async def acknowledge(db: Connection, session_nid: int, upto: int) -> int | None:
    """The device has what was sent up to a position, so that goes; a position that never was is of
    another database, as after a backup was played back. Returns the newest position of what waits
    still; None: nothing does.
    """
    newest: int | None = await db.fetchval(
        """
        WITH gone AS (
            DELETE FROM to_device_messages WHERE session_nid = $1 AND position <= $2
                AND $2 <= (SELECT position FROM stream_positions WHERE stream = 'to_device')
            RETURNING position
        )
        SELECT max(position) FROM to_device_messages
        WHERE session_nid = $1 AND position NOT IN (SELECT position FROM gone)
        """,
        session_nid,
        upto,
    )
    return newest


async def delete_old(db: Connection, before_ms: int, limit: int) -> bool:
    """Messages that nobody fetched for long; True when there are no more."""
    status = await db.execute(
        "DELETE FROM to_device_messages WHERE (session_nid, serial) IN ("
        " SELECT session_nid, serial FROM to_device_messages WHERE sent_at < $1 LIMIT $2)",
        before_ms,
        limit,
    )
    return int(status.rpartition(" ")[2]) < limit


async def forget_transactions(db: Connection, before_ms: int, limit: int) -> bool:
    """Transaction IDs of long ago; True when there are no more."""
    status = await db.execute(
        "DELETE FROM to_device_transactions WHERE (session_nid, user_nid, txn_id) IN ("
        " SELECT session_nid, user_nid, txn_id FROM to_device_transactions"
        " WHERE sent_at < $1 LIMIT $2)",
        before_ms,
        limit,
    )
    return int(status.rpartition(" ")[2]) < limit
