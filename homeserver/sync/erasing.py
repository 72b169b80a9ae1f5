"""Redacted copies for readers who came after somebody whose account was erased had written."""

from collections.abc import Iterable, Mapping, Sequence

from homeserver.storage import events
from homeserver.storage.database import Connection
from homeserver.storage.sync_reads import TimelineRow
from homeserver.sync.bodies import Body, body_of
from homeserver.views.erasure import Erased, is_redactable, redacted_copy
from homeserver.views.history import ReadableRoom

Timelines = Iterable[tuple[ReadableRoom, Sequence[TimelineRow]]]


async def redacted_bodies(
    db: Connection,
    erased: Erased,
    bodies: Mapping[int, Body],
    timelines: Timelines,
    *,
    federation: bool = False,
) -> dict[int, Body]:
    """Of those bodies that the reader may not have whole, by number.

    They do not say what they replaced. One query, none where there are no such.
    """
    if not erased:
        return {}
    hidden = [
        row.event_nid
        for room, rows in timelines
        for row in rows
        if _is_hidden(room, row, bodies.get(row.event_nid), erased)
    ]
    found = await events.by_nids(db, hidden) if hidden else {}
    return {
        nid: body_of(redacted_copy(stored), former=b"", federation=federation)
        for nid, stored in found.items()
    }


def _is_hidden(room: ReadableRoom, row: TimelineRow, body: Body | None, erased: Erased) -> bool:
    if body is None or body.redacted_by is not None or body.sender not in erased:
        return False
    if not is_redactable(body.type, body.state_key, body.sender):
        return False
    return room.membership_before(row.state_version) != "join"
