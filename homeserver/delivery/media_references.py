"""Which events name which media, so that files can go when nothing names them any more.

Whatever in an event looks like an mxc:// URI is one: pictures and thumbnails, encrypted files,
avatars of people and rooms, stickers, emoticons in formatted text. To keep a file for nothing is
the smaller mistake.

Each batch sets what events name to what they say now, so doing it twice comes to the same.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from homeserver.clock import Clock
from homeserver.delivery.follower import Follower
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import native_uuid
from homeserver.messages import REDACTION_TYPE
from homeserver.storage import events, media_references
from homeserver.storage.database import Connection, Database
from homeserver.storage.media_references import Naming, Reference
from homeserver.streams.tail import Committed, EventTail

CURSOR = "media_references"
BATCH = 500
GATHER_S = 1.0
"""Nobody waits for this, so messages that come close together are looked at together."""
MAX_OF_AN_EVENT = 1_000

_MARK = b"mxc://"
_URI = re.compile(rb"mxc://[A-Za-z0-9.:\[\]-]{1,255}/[A-Za-z0-9_-]{1,255}")


def media_references_follower(
    *, database: Database, tail: EventTail, clock: Clock, turn_poll_s: float = 5.0
) -> Follower:
    """The follower that counts references, woken by new events. See Follower."""

    async def advance(db: Connection, position: int) -> int:
        recent = (tail.since(position) or ())[:BATCH]
        found = list(map(_naming, recent)) or await media_references.stretch(db, position, BATCH)
        if not found:
            return position
        await _follow(db, found, clock.now_ms())
        return found[-1].position

    follower = Follower(
        database=database,
        name=CURSOR,
        advance=advance,
        full_step=BATCH,
        gather_s=GATHER_S,
        turn_poll_s=turn_poll_s,
    )
    tail.subscribe(follower.wake)
    return follower


async def _follow(db: Connection, found: Sequence[Naming], now_ms: int) -> None:
    """What was redacted at once was named all the same, and is given up in the second step."""
    redactions = [each.event_nid for each in found if each.is_redaction]
    redacted = await _redacted(db, redactions) if redactions else []
    await _put(db, [each for each in found if each.raw is not None], now_ms)
    await _put(db, [_of_stored(stored, 0) for stored in redacted], now_ms)


async def _put(db: Connection, naming: Sequence[Naming], now_ms: int) -> None:
    if naming:
        references = [each for event in naming for each in _references(event)]
        nids = [each.event_nid for each in naming]
        await media_references.put(db, nids, references, now_ms)


async def _redacted(db: Connection, redaction_nids: Iterable[int]) -> list[StoredEvent]:
    """The events that redactions took, as they are now."""
    redactions = await events.by_nids(db, redaction_nids)
    targets = [
        native_uuid(stored.event.redacts)
        for stored in redactions.values()
        if stored.event.redacts is not None
    ]
    found = await events.by_uuids(db, targets)
    return [stored for stored in found.values() if stored.facts.redacted_by is not None]


def _references(event: Naming) -> Iterator[Reference]:
    for number, uri in enumerate(dict.fromkeys(_URI.findall(event.raw or b""))):
        if number == MAX_OF_AN_EVENT:
            return
        yield Reference(native_uuid(uri.decode()), event.event_nid, event.room_nid)


def _naming(committed: Committed) -> Naming:
    return _of_stored(committed.stored, committed.position)


def _of_stored(stored: StoredEvent, position: int) -> Naming:
    raw = stored.event.raw
    return Naming(
        event_nid=stored.facts.event_nid,
        room_nid=stored.facts.room_nid,
        position=position,
        is_redaction=stored.event.type == REDACTION_TYPE,
        raw=raw if _MARK in raw else None,
    )
