"""Messages as they are now: after their edits, with reactions and threads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.attachments import AttachedFile, file_in
from homeserver.events.event import Event
from homeserver.events.stored import StoredEvent
from homeserver.identifiers import native_uuid
from homeserver.messages import (
    ENCRYPTED_TYPE,
    ciphertext_of,
    new_content_of,
    reply_of,
    shown_text_of,
    thread_of,
)
from homeserver.requester import Requester
from homeserver.storage import timeline
from homeserver.storage.database import Connection
from homeserver.storage.timeline import NOTHING_UNSEEN, ReactionRow, Unseen
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.people import People, Person
from homeserver.views import history


@dataclass(frozen=True, slots=True)
class Reaction:
    """Everybody who reacted with one key. users: the first 50; mine: the reader is one."""

    key: str
    count: int
    users: tuple[UUID, ...]
    mine: bool


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message. `event` is as it was sent; `text` and `file` are after edits, and nothing for a
    deleted message, or one that is encrypted. carrier: of an encrypted message, the event that
    says what it says: the newest edit, or `event`.
    """

    event: Event
    uuid: UUID
    room_uuid: UUID
    position: int
    sender: Person
    text: str
    created_at_ms: int
    edited_at_ms: int | None
    reply_to: UUID | None
    thread: UUID | None
    thread_count: int
    reactions: tuple[Reaction, ...]
    deleted_at_ms: int | None
    file: AttachedFile | None = None
    carrier: Event | None = None


@dataclass(frozen=True, slots=True)
class Hanging:
    """What hangs on some messages, by their UUIDs; deletions by the redaction's number."""

    edits: Mapping[UUID, StoredEvent]
    reactions: Mapping[UUID, Sequence[ReactionRow]]
    thread_counts: Mapping[UUID, int]
    deleted_at: Mapping[int, int]


NOTHING_HANGING = Hanging({}, {}, {}, {})


class Messages:
    """Turns stored events into messages, in two steps: `hanging` reads with the connection that
    found them, and `views` may need another one, so that must have been given back.
    """

    def __init__(self, *, people: People, erased: ErasedUsers) -> None:
        self._people = people
        self._erased = erased

    async def hanging(
        self, db: Connection, messages: Sequence[StoredEvent], by: Requester | None
    ) -> Hanging:
        """Three queries, one more if a message was deleted, and two where there are erased users.

        by: whose reactions are his; None: for nobody in particular.
        """
        if not messages:
            return NOTHING_HANGING
        unseen = await self._unseen(db, messages, by)
        reader_nid = None if by is None else by.user_nid
        redactions = {stored.facts.redacted_by for stored in messages} - {None}
        return Hanging(
            edits=await timeline.edits(db, messages, unseen),
            reactions=await timeline.reactions(db, messages, reader_nid, unseen),
            thread_counts=await timeline.thread_counts(db, messages),
            deleted_at=await timeline.redaction_times(db, [n for n in redactions if n is not None])
            if redactions
            else {},
        )

    async def _unseen(
        self, db: Connection, messages: Sequence[StoredEvent], by: Requester | None
    ) -> Unseen:
        """What erased users did while the reader was not there (`views.erasure`). What is for
        nobody in particular may come to somebody who was not, so there it is left out.
        """
        if not self._erased.known:
            return NOTHING_UNSEEN
        found = await timeline.rooms_with_relations_of(db, messages, self._erased.known)
        if not found:
            return NOTHING_UNSEEN
        senders = {sender_nid for sender_nid, _ in found}
        rooms = {room_nid for _, room_nid in found}
        readable = {} if by is None else await history.of_all(db, by.user_id, rooms)
        stays = [stay for room in readable.values() for stay in room.stays]
        return Unseen(tuple(senders), stays)

    async def views(self, messages: Sequence[StoredEvent], hanging: Hanging) -> list[MessageView]:
        """In the order given. At most one query."""
        senders = await self._people.get_many({stored.facts.sender_nid for stored in messages})
        return [_view(stored, senders[stored.facts.sender_nid], hanging) for stored in messages]


def _view(stored: StoredEvent, sender: Person, hanging: Hanging) -> MessageView:
    event, facts = stored.event, stored.facts
    if facts.redacted_by is not None:
        return _tombstone(stored, sender, hanging)
    assert facts.position is not None
    edit = _readable_edit(hanging.edits.get(facts.uuid))
    content = event.content if edit is None else new_content_of(edit)
    reply_to, thread = reply_of(event), thread_of(event)
    return MessageView(
        event=event,
        uuid=facts.uuid,
        room_uuid=native_uuid(event.room_id),
        position=facts.position,
        sender=sender,
        text=shown_text_of(content),
        file=file_in(content),
        created_at_ms=event.origin_server_ts,
        edited_at_ms=None if edit is None else edit.origin_server_ts,
        reply_to=None if reply_to is None else native_uuid(reply_to),
        thread=None if thread is None else native_uuid(thread),
        thread_count=hanging.thread_counts.get(facts.uuid, 0),
        reactions=tuple(
            Reaction(row.key, row.count, row.reactors, row.mine)
            for row in hanging.reactions.get(facts.uuid, ())
        ),
        deleted_at_ms=None,
        carrier=(edit or event) if event.type == ENCRYPTED_TYPE else None,
    )


def _tombstone(stored: StoredEvent, sender: Person, hanging: Hanging) -> MessageView:
    """What is left of a deleted message: who wrote it, when, and since when it is gone."""
    event, facts = stored.event, stored.facts
    assert facts.position is not None
    assert facts.redacted_by is not None
    return MessageView(
        event=event,
        uuid=facts.uuid,
        room_uuid=native_uuid(event.room_id),
        position=facts.position,
        sender=sender,
        text="",
        created_at_ms=event.origin_server_ts,
        edited_at_ms=None,
        reply_to=None,
        thread=None,
        thread_count=hanging.thread_counts.get(facts.uuid, 0),
        reactions=(),
        deleted_at_ms=hanging.deleted_at.get(facts.redacted_by, event.origin_server_ts),
    )


def _readable_edit(stored: StoredEvent | None) -> Event | None:
    """C-S API v1.19 "Validity of replacement events": it must have an m.new_content, which in an
    encrypted one is inside.
    """
    if stored is None:
        return None
    event = stored.event
    if event.type == ENCRYPTED_TYPE:
        return None if ciphertext_of(event) is None else event
    return event if new_content_of(event) else None
