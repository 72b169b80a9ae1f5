"""Redacted copies for readers who came after somebody whose account was erased had written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from homeserver.storage import events
from homeserver.storage.database import Connection
from homeserver.storage.sync_reads import TimelineRow
from homeserver.sync.bodies import Body, because, body_of
from homeserver.views.erasure import Erased, is_redactable, redacted_copy
from homeserver.views.history import ReadableRoom

Told = Iterable[tuple[ReadableRoom, Sequence[TimelineRow], Sequence[int]]]
"""Rooms, with their timelines and the numbers of the state beside them."""


async def redacted_bodies(
    db: Connection,
    erased: Erased,
    bodies: Mapping[int, Body],
    told: Told,
    *,
    federation: bool = False,
) -> dict[int, Body]:
    """Of those bodies that the reader may not have whole, by number.

    They do not say what they replaced. Two queries, none where there are no such.
    """
    if not erased:
        return {}
    rooms = list(told)
    hidden = [
        row.event_nid
        for room, rows, _ in rooms
        for row in rows
        if _is_hidden(room, row, bodies.get(row.event_nid), erased)
    ]
    found = await events.by_nids(db, hidden) if hidden else {}
    copies = {
        nid: body_of(redacted_copy(stored), former=b"", federation=federation)
        for nid, stored in found.items()
    }
    return copies | await _without_reasons(db, erased, bodies, rooms)


def _is_hidden(room: ReadableRoom, row: TimelineRow, body: Body | None, erased: Erased) -> bool:
    if body is None or body.redacted_by is not None or body.sender not in erased:
        return False
    if not is_redactable(body.type, body.state_key, body.sender):
        return False
    return room.membership_before(row.state_version) != "join"


async def _without_reasons(
    db: Connection, erased: Erased, bodies: Mapping[int, Body], told: Told
) -> dict[int, Body]:
    """What erased users redacted while the reader was not there does not say why."""
    rooms = {
        nid: room
        for room, rows, state in told
        for nid in (*(row.event_nid for row in rows), *state)
        if nid in bodies and bodies[nid].redactor in erased
    }
    if not rooms:
        return {}
    redactions = await events.by_nids(db, {bodies[nid].redacted_by or 0 for nid in rooms})
    copies = {}
    for nid, room in rooms.items():
        redaction = redactions[bodies[nid].redacted_by or 0]
        version = redaction.facts.state_version
        if version is None or room.membership_before(version) != "join":
            copies[nid] = replace(bodies[nid], because=because(redacted_copy(redaction)))
    return copies
