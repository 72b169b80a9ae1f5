"""Whether the database is whole: what `foyer admin verify` checks.

Everything is read in one snapshot, so the server may run meanwhile, and in bounded memory: rows are
streamed, and of what is wrong only the first few are kept.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from homeserver.errors import FoyerError
from homeserver.events import canonical_json
from homeserver.events.event import Event
from homeserver.events.format import load, pdu_of
from homeserver.events.hashing import content_hash_matches, event_id_of
from homeserver.events.redaction import redact
from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion
from homeserver.events.signing import SigningKey, event_signature_valid
from homeserver.identifiers import EventID, ServerName, native_uuid, server_of
from homeserver.storage import integrity
from homeserver.storage.database import Connection, Database
from homeserver.storage.integrity import EventRow

SHOWN = 5
_BATCH = 500

READABLE = "events can be read"
IDENTIFIED = "event IDs are those of the events, and UUIDs those of the IDs"
COLUMNS = "columns say what the events say"
HASHED = "events have the content that their hash names, or were redacted"
SIGNED = "events made here carry this server's signature"
PREVIOUS = "previous events are here or known to be missing"
ENDS = "forward extremities are the ends of the graph"
MEMBERS = "memberships are those of the current state"


@dataclass(slots=True)
class Check:
    """One thing that must hold. broken: how often it does not; first: some sentences about it."""

    name: str
    broken: int = 0
    first: list[str] = field(default_factory=list)

    def report(self, sentence: str) -> None:
        self.broken += 1
        if len(self.first) < SHOWN:
            self.first.append(sentence)


async def verify(
    database: Database, *, server_name: ServerName, key: SigningKey | None = None
) -> list[Check]:
    """All checks, with what they found. key: checks the signatures of own events, too.

    Raises Unavailable.
    """
    async with (
        database.dedicated() as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        await integrity.tell_server_name(db, server_name)
        checks = [await _constraint(db, constraint) for constraint in integrity.CONSTRAINTS]
        checks += await _events(db, server_name, key)
        return [*checks, await _ends(db), await _members(db)]


async def _constraint(db: Connection, constraint: integrity.Constraint) -> Check:
    check = Check(constraint.name)
    async for sentence in integrity.offences(db, constraint):
        check.report(sentence)
    return check


async def _events(db: Connection, server_name: ServerName, key: SigningKey | None) -> list[Check]:
    names = (READABLE, IDENTIFIED, COLUMNS, HASHED, PREVIOUS, *([] if key is None else [SIGNED]))
    checks = {name: Check(name) for name in names}
    named: dict[tuple[int, EventID], None] = {}
    async for row in integrity.all_events(db):
        event = _read(row)
        if event is None:
            checks[READABLE].report(f"event number {row.event_nid}")
            continue
        for name in _broken(row, event):
            checks[name].report(row.event_id)
        is_own = server_of(event.sender) == server_name
        if key is not None and is_own and not _is_signed(event, server_name, key):
            checks[SIGNED].report(row.event_id)
        if row.is_accepted and not row.is_of_deleted:
            named |= dict.fromkeys((row.room_nid, each) for each in event.prev_events)
        if len(named) > _BATCH:
            await _report_lost(db, named, checks[PREVIOUS])
    await _report_lost(db, named, checks[PREVIOUS])
    return list(checks.values())


async def _report_lost(
    db: Connection, named: dict[tuple[int, EventID], None], check: Check
) -> None:
    for event_id in await integrity.lost(db, named):
        check.report(event_id)
    named.clear()


def _read(row: EventRow) -> Event | None:
    """None: the bytes are no event."""
    try:
        return load(row.raw, row.event_id, ROOM_VERSIONS[row.version], row.room_id)
    except (FoyerError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _broken(row: EventRow, event: Event) -> Iterator[str]:
    """The names of the checks that the event does not pass."""
    pdu = pdu_of(event)
    if row.uuid != native_uuid(row.event_id) or event_id_of(pdu, event.version) != row.event_id:
        yield IDENTIFIED
    if not _columns_match(row, event, pdu):
        yield COLUMNS
    is_redacted = canonical_json.encode(redact(pdu, event.version)) == row.raw
    if not is_redacted and (row.is_redacted or not content_hash_matches(pdu)):
        yield HASHED


def _columns_match(row: EventRow, event: Event, pdu: Mapping[str, Any]) -> bool:
    stored = (row.type, row.state_key, row.depth, row.ts, row.sender, row.room_id)
    room_id = pdu.get("room_id", row.room_id)
    fields = (event.type, event.state_key, event.depth, event.origin_server_ts, event.sender)
    return stored == (*fields, room_id)


def _is_signed(event: Event, server_name: ServerName, key: SigningKey) -> bool:
    return event_signature_valid(
        pdu_of(event), server_name, key.key_id, key.verify_key, event.version
    )


async def _ends(db: Connection) -> Check:
    """Compares the heads with the ends of each room's graph, which comes in topological order."""
    check = Check(ENDS)
    graphs = _graphs(db)
    graph = await anext(graphs, None)
    async for head_nid, extremities in integrity.extremities(db):
        while graph is not None and graph[0] < head_nid:
            graph = await anext(graphs, None)
        found = graph[1] if graph is not None and graph[0] == head_nid else frozenset()
        if found != extremities:
            check.report(f"room number {head_nid}: {_listed(extremities)}, not {_listed(found)}")
    return check


async def _graphs(db: Connection) -> AsyncIterator[tuple[int, frozenset[EventID]]]:
    """The ends of the graph of each room that has events, rooms in order."""
    room_nid: int | None = None
    ends: set[EventID] = set()
    async for row in integrity.accepted_events(db):
        if row.room_nid != room_nid:
            if room_nid is not None:
                yield room_nid, frozenset(ends)
            room_nid, ends = row.room_nid, set()
        event = _read(row)
        if event is not None:
            await _continue(db, ends, event)
    if room_nid is not None:
        yield room_nid, frozenset(ends)


async def _continue(db: Connection, ends: set[EventID], event: Event) -> None:
    """Soft-failed and rejected events are no ends, so what stands before them is continued."""
    passed: set[EventID] = set()
    waiting = set(event.prev_events)
    while waiting:
        passed |= waiting
        others = waiting - ends
        found = await integrity.previous_of_others(db, others) if others else []
        waiting = {each for raw in found for each in _previous(raw, event.version)} - passed
    ends -= passed
    ends.add(event.event_id)


def _previous(raw: bytes, version: RoomVersion) -> tuple[EventID, ...]:
    references = canonical_json.decode(raw)["prev_events"]
    return tuple(each[0] if version.events_carry_id else each for each in references)


async def _members(db: Connection) -> Check:
    check = Check(MEMBERS)
    async for row in integrity.members(db):
        said = None if row.raw is None else canonical_json.decode(row.raw)["content"]
        membership = None if said is None else said.get("membership")
        if (row.event_nid, row.membership) != (row.state_nid, membership):
            check.report(f"{row.user_id} of room number {row.room_nid}")
    return check


def _listed(event_ids: frozenset[EventID]) -> str:
    return ", ".join(sorted(event_ids)) or "none"
