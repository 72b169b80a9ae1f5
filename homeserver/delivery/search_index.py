"""The search index: every message can be found by its words as they are after its edits, and
every name and topic of a room by its own.

Each batch looks at the messages as they are now and sets what they can be found by, so doing it
twice, or late, comes to the same. While the tail has what comes next in memory, and it is only
messages that were just written here, nothing is read for that.
"""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from homeserver import search_terms
from homeserver.delivery.follower import Follower
from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import native_uuid
from homeserver.messages import REDACTION_TYPE, REPLACE, new_content_of, relation_of, text_of
from homeserver.room_summary import topic_of
from homeserver.search_terms import name_lexeme, room_lexeme, sender_lexeme, topic_lexeme
from homeserver.storage import events, message_search, timeline
from homeserver.storage.database import Connection, Database
from homeserver.storage.message_search import FACE_TYPES
from homeserver.streams.tail import Committed, EventTail

CURSOR = "search_index"
BATCH = 500
_KINDS = {"m.room.name": name_lexeme(), "m.room.topic": topic_lexeme()}


def search_index(
    *,
    database: Database,
    tail: EventTail,
    observe: Callable[[int], None] = lambda _: None,
    turn_poll_s: float = 5.0,
) -> Follower:
    """The follower that keeps the index, woken by new events. See Follower."""

    async def advance(db: Connection, position: int) -> int:
        recent = (tail.since(position) or ())[:BATCH]
        if recent and all(map(_says_it_all, recent)):
            return await _index_recent(db, recent)
        return await _index_next(db, position)

    follower = Follower(
        database=database,
        name=CURSOR,
        advance=advance,
        full_step=BATCH,
        observe=observe,
        turn_poll_s=turn_poll_s,
    )
    tail.subscribe(follower.wake)
    return follower


def _says_it_all(committed: Committed) -> bool:
    """Whether nothing else can say what the event means to the index.

    A message of another server may come after its own edit; one that was written here is edited
    and deleted by events that stand behind it in the stream, and are looked at in their turn.
    """
    event, facts = committed.stored.event, committed.stored.facts
    if _is_found(committed.stored):
        return facts.session_nid is not None
    relation = relation_of(event)
    return event.type != REDACTION_TYPE and (relation is None or relation.rel_type != REPLACE)


async def _index_recent(db: Connection, recent: Sequence[Committed]) -> int:
    """Takes events that say all themselves; returns the position of the last."""
    messages = [each.stored for each in recent if _is_found(each.stored)]
    words = {_position(each): _words(each, {}) for each in messages}
    await _put(db, messages, words)
    return recent[-1].position


async def _index_next(db: Connection, position: int) -> int:
    """Brings the index up to date with the next events after a position; returns the last's."""
    touched = await message_search.touched(db, position, BATCH)
    uuids = touched.messages
    if touched.redactions:
        uuids |= await _redacted(db, touched.redactions)
    if uuids:
        await _index(db, uuids)
    return touched.upto


async def _redacted(db: Connection, redaction_nids: tuple[int, ...]) -> frozenset[UUID]:
    """Messages that redactions changed: those redacted, and those of which an edit was."""
    redactions = await events.by_nids(db, redaction_nids)
    targets = frozenset(
        native_uuid(stored.event.redacts)
        for stored in redactions.values()
        if stored.event.redacts is not None
    )
    return targets | await message_search.messages_edited_by(db, targets)


async def _index(db: Connection, uuids: frozenset[UUID]) -> None:
    found = await events.by_uuids(db, uuids)
    messages = [each for each in found.values() if _is_in_stream(each)]
    edits = await timeline.edits(db, messages)
    words = {_position(each): _words(each, edits) for each in messages}
    await message_search.remove(db, [position for position in words if not words[position]])
    await _put(db, messages, words)


async def _put(
    db: Connection, messages: Sequence[StoredEvent], words: Mapping[int, Sequence[str]]
) -> None:
    """words: of each message, by its position."""
    found_by = {
        _position(each): [*_places(each), *words[_position(each)]]
        for each in messages
        if words[_position(each)]
    }
    if found_by:
        await message_search.put(db, found_by)


def _words(message: StoredEvent, edits: Mapping[UUID, StoredEvent]) -> list[str]:
    """What the text can be found by; nothing for one that is deleted, encrypted or a picture."""
    if message.facts.redacted_by is not None:
        return []
    edit = edits.get(message.facts.uuid)
    if message.event.is_state:
        return search_terms.lexemes(_face_of(message.event))
    content = message.event.content if edit is None else new_content_of(edit.event)
    return search_terms.lexemes(text_of(content))


def _face_of(event: Event) -> str:
    """C-S API v1.19 "Search Categories": `content.name`, or `content.topic` with the plain text of
    `m.topic`.
    """
    entries = {event.type: event}
    texts = [event.content.get(event.type.removeprefix("m.room.")), topic_of(entries)]
    return " ".join(dict.fromkeys(text for text in texts if isinstance(text, str)))


def _places(message: StoredEvent) -> tuple[str, ...]:
    """Room, sender and kind."""
    places = room_lexeme(message.facts.room_nid), sender_lexeme(message.facts.sender_nid)
    return (*places, _KINDS[message.event.type]) if message.event.is_state else places


def _is_found(stored: StoredEvent) -> bool:
    event = stored.event
    return stored.facts.is_message or (event.type in FACE_TYPES and event.state_key == "")


def _is_in_stream(stored: StoredEvent) -> bool:
    return _is_found(stored) and stored.facts.position is not None


def _position(stored: StoredEvent) -> int:
    assert stored.facts.position is not None
    return stored.facts.position
