"""What a reader may be shown, where columns of rows cannot tell: events on forks, changes of
visibility and membership, and rooms as somebody outside knows them.
"""

from collections.abc import Iterable, Mapping, Sequence

from homeserver.client_event import STRIPPED_TYPES
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import UserID
from homeserver.storage import events, sync_reads
from homeserver.storage.database import Connection
from homeserver.storage.sync_reads import OwnRoom, TimelineRow, WantedMember
from homeserver.sync.visits import by_room
from homeserver.views import history
from homeserver.views.history import ReadableRoom

_MEMBER = "m.room.member"

Timelines = Mapping[int, Sequence[TimelineRow]]


async def visible_rows(
    db: Connection, reader: UserID, readables: Mapping[int, ReadableRoom], rows: Timelines
) -> dict[int, list[TimelineRow]]:
    """The rows that the reader may see, by room. At most two queries, none where spans tell all."""
    unsure = {
        row.event_nid: row
        for of_room in rows.values()
        for row in of_room
        if row.fork_nid is not None or not _in_spans(readables[row.room_nid], row)
    }
    if not unsure:
        return {room_nid: list(of_room) for room_nid, of_room in rows.items()}
    found = await events.by_nids(db, unsure)
    seen: set[int] = set()
    for room_nid in {row.room_nid for row in unsure.values()}:
        of_room = [each for each in found.values() if each.facts.room_nid == room_nid]
        shown = await history.visible_only(db, readables[room_nid], of_room)
        seen.update(each.facts.event_nid for each in shown)
        seen.update(_own_memberships(of_room, reader))
    return {
        room_nid: [row for row in of_room if row.event_nid not in unsure or row.event_nid in seen]
        for room_nid, of_room in rows.items()
    }


async def from_outside(
    db: Connection, rooms: Sequence[OwnRoom], ignored: frozenset[UserID]
) -> list[tuple[OwnRoom, Sequence[StoredEvent]]]:
    """Rooms that the reader is invited to or knocked at, with their stripped state; not those to
    which somebody invites whom he ignores. Four queries.
    """
    versions = {each.room_nid: each.version + 1 for each in rooms if each.version is not None}
    rows = await sync_reads.entries_at(db, versions, STRIPPED_TYPES)
    wanted = {row.event_nid for row in rows} | {each.event_nid for each in rooms}
    found = await events.by_nids(db, wanted)
    senders = await _senders(db, rooms, found, versions)
    entries = by_room(rows)
    told: list[tuple[OwnRoom, Sequence[StoredEvent]]] = []
    for room in rooms:
        own_event = found[room.event_nid]
        if own_event.event.sender in ignored:
            continue
        shown = [found[row.event_nid] for row in entries.get(room.room_nid, ())]
        shown += [senders[room.room_nid]] if room.room_nid in senders else []
        told.append((room, [*shown, own_event]))
    return told


async def _senders(
    db: Connection,
    rooms: Sequence[OwnRoom],
    found: Mapping[int, StoredEvent],
    versions: Mapping[int, int],
) -> dict[int, StoredEvent]:
    """Who invites: his name stands in his membership."""
    wanted = [
        WantedMember(room.room_nid, versions[room.room_nid], event.sender)
        for room in rooms
        if room.room_nid in versions
        and (event := found[room.event_nid].event).sender != event.state_key
    ]
    if not wanted:
        return {}
    nids = await sync_reads.members_at(db, wanted)
    members = await events.by_nids(db, nids.values())
    return {room_nid: members[nid] for (room_nid, _), nid in nids.items()}


def _in_spans(room: ReadableRoom, row: TimelineRow) -> bool:
    return any(
        span.since <= row.state_version < span.until and span.after < row.position <= span.upto
        for span in room.spans
    )


def _own_memberships(found: Iterable[StoredEvent], user_id: UserID) -> list[int]:
    """Everybody is told what he is himself."""
    return [
        each.facts.event_nid
        for each in found
        if each.event.type == _MEMBER and each.event.state_key == user_id
    ]
