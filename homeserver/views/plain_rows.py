"""Rendering pages in which nothing is hidden: most events without making values of them first."""

from collections.abc import Collection, Mapping, Sequence

from homeserver.client_event import JsonObject, plain_message, without_scope
from homeserver.event_filter import EventFilter
from homeserver.events import canonical_json
from homeserver.events.redaction import redact
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import events
from homeserver.storage.database import Connection
from homeserver.storage.plain_events import PlainRow
from homeserver.views.client_events import ClientEvents
from homeserver.views.erasure import Erased
from homeserver.views.page_cache import CachedPage, Outline, is_member_throughout, kept
from homeserver.views.room_access import OpenRoom


def is_plain(room: OpenRoom, only: EventFilter, ignored: Collection[UserID]) -> bool:
    """Whether every event of the room is for this reader, and its stored form is plain JSON."""
    return (
        room.readable.is_all_visible
        and not ignored
        and only.allows_all_of_room
        and only.allows_room(room.record.room_id)
        and room.record.version.strict_canonical_json
    )


async def render_rows(
    db: Connection,
    by: Requester,
    room: OpenRoom,
    rows: Sequence[PlainRow],
    client_events: ClientEvents,
) -> list[JsonObject]:
    """In the order given. No query, unless there is more to know of some events."""
    more = [row.event_nid for row in rows if row.raw is None]
    rendered: dict[int, JsonObject] = {}
    if more:
        stored = await events.by_nids(db, more)
        shown = await client_events.render(
            db, by, list(stored.values()), rooms={room.room_nid: room.readable}
        )
        rendered = dict(zip(stored, shown, strict=True))
    erased = client_events.erased
    memberships = {
        version: room.readable.membership_before(version)
        for version in {row.state_version for row in rows}
    }
    now_ms = client_events.now_ms()
    return [
        rendered[row.event_nid]
        if row.raw is None
        else _own(by, row, _message(row, row.raw, room, memberships, erased, now_ms))
        for row in rows
    ]


def cacheable(
    room: OpenRoom, rows: Sequence[PlainRow], messages: Sequence[JsonObject], outline: Outline
) -> CachedPage | None:
    """A page for others to read, too, if it is one that can be kept: at the ends of a room there
    may be more at any time.
    """
    versions = frozenset(row.state_version for row in rows)
    if outline.end is None or any(row.raw is None for row in rows):
        return None
    if not is_member_throughout(room.readable, versions):
        return None
    return CachedPage(
        outline=outline,
        messages=[
            kept(
                message, row.session_nid, None if row.txn_id is None else without_scope(row.txn_id)
            )
            for row, message in zip(rows, messages, strict=True)
        ],
        versions=versions,
    )


def _own(by: Requester, row: PlainRow, message: JsonObject) -> JsonObject:
    """With the transaction ID, for the session that sent it."""
    if row.txn_id is not None and row.session_nid == by.session_nid:
        own = without_scope(row.txn_id)
        if own is not None:
            message["unsigned"]["transaction_id"] = own
    return message


def _message(
    row: PlainRow,
    raw: bytes,
    room: OpenRoom,
    memberships: Mapping[int, str],
    erased: Erased,
    now_ms: int,
) -> JsonObject:
    membership = memberships[row.state_version]
    pdu = canonical_json.decode_strict(raw)
    if pdu["sender"] in erased and membership != "join":
        pdu = redact(pdu, room.record.version)
    message = plain_message(pdu, event_id=row.event_id, room_id=room.record.room_id, now_ms=now_ms)
    message["unsigned"]["membership"] = membership
    return message
