"""What an event means to native clients: which frames, and for whom.

An event is told to the members of its room; a membership also to the person it is about, the
subject, in other words. No I/O: what must be looked up comes as an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from types import MappingProxyType
from typing import Any
from uuid import UUID

from clientapi.native import render
from clientapi.native.cursor import Cursor, parse_cursor
from clientapi.native.framing import json_frame
from homeserver.actions.room_settings import DELETED_TYPE
from homeserver.events.content import membership_of
from homeserver.events.stored import Status
from homeserver.identifiers import UserID, native_uuid
from homeserver.messages import (
    ANNOTATION,
    MESSAGE_TYPES,
    REACTION_TYPE,
    REDACTION_TYPE,
    REPLACE,
    relation_of,
)
from homeserver.streams.people import Person
from homeserver.streams.tail import Committed
from homeserver.values import value
from homeserver.views.live import Removed, RemovedEdit, RemovedMessage, RemovedReaction
from homeserver.views.messages import MessageView
from homeserver.views.room_settings import RoomDetails
from schema.wire.times import timestamp

MEMBER_TYPE = "m.room.member"
_SHOWN_STATE = frozenset(
    {
        "m.room.avatar",
        "m.room.encryption",
        "m.room.history_visibility",
        "m.room.join_rules",
        "m.room.name",
        "m.room.power_levels",
        "m.room.topic",
    }
)


class Kind(IntEnum):
    """What a client is told about an event, and so what must be looked up for it."""

    NOTHING = auto()
    MESSAGE = auto()
    REACTION = auto()
    EDIT = auto()
    REDACTION = auto()
    MEMBERSHIP = auto()
    ROOM = auto()
    ROOM_END = auto()


AT_ONCE = frozenset({Kind.NOTHING, Kind.MESSAGE, Kind.REACTION})
"""Kinds whose events say all that their frames need."""


class Step(IntEnum):
    """What a membership event does to who hears a room."""

    NONE = auto()
    ENTERS = auto()
    LEAVES = auto()
    ENDS = auto()
    """The room itself does."""

    def take(self, rooms: dict[int, int], committed: Committed) -> None:
        """rooms: those of the subject, with the position since when."""
        if self is Step.ENTERS:
            rooms[committed.room.room_nid] = committed.position
        elif self is Step.LEAVES:
            rooms.pop(committed.room.room_nid, None)


@dataclass(frozen=True, slots=True)
class RoomContext:
    """A room, and the subject of a membership in it; None: not there (any more)."""

    room: RoomDetails | None
    subject: Person | None


@dataclass(frozen=True, slots=True)
class Edited:
    """The message that an edit is of, as it is now."""

    message: MessageView


@dataclass(frozen=True, slots=True)
class Redacted:
    """What a redaction took away, and the message as it is without an edit that it took."""

    removed: Removed
    message: MessageView | None


Related = Edited | Redacted | RoomContext | None
"""What was looked up for an event; None: there was nothing (any more)."""


@value(kw_only=True)
class Publication:
    """The frames of one event, as bytes."""

    members: tuple[bytes, ...] = ()
    """For everybody who hears the room, but not for the subject."""
    room_changed: Callable[[UUID], bytes] | None = None
    """`room.updated` as a member reads it; one of them serves for several changes in a row."""
    subject_id: UserID | None = None
    subject: tuple[bytes, ...] = ()
    step: Step = Step.NONE


NOTHING = Publication()


def kind_of(committed: Committed) -> Kind:
    """Only accepted events reach people (`Status`)."""
    stored = committed.stored
    if stored.facts.status is not Status.ACCEPTED:
        return Kind.NOTHING
    if stored.facts.is_message:
        return Kind.MESSAGE
    return _state_kind(committed) if stored.event.is_state else _relation_kind(committed)


def _state_kind(committed: Committed) -> Kind:
    event = committed.stored.event
    if event.type == MEMBER_TYPE:
        changed = membership_of(event) != committed.prev_membership
        return Kind.MEMBERSHIP if changed else Kind.NOTHING
    if event.state_key:
        return Kind.NOTHING
    if event.type == DELETED_TYPE:
        return Kind.ROOM_END
    return Kind.ROOM if event.type in _SHOWN_STATE else Kind.NOTHING


def _relation_kind(committed: Committed) -> Kind:
    event = committed.stored.event
    if event.type == REDACTION_TYPE:
        return Kind.REDACTION
    relation = relation_of(event)
    match relation.rel_type if relation is not None else None:
        case str(rel_type) if rel_type == REPLACE and event.type in MESSAGE_TYPES:
            return Kind.EDIT
        case str(rel_type) if rel_type == ANNOTATION and event.type == REACTION_TYPE:
            return Kind.REACTION
        case _:
            return Kind.NOTHING


def membership_step(committed: Committed) -> Step:
    """Whether an event makes its subject hear the room, or hear it no more."""
    if kind_of(committed) is not Kind.MEMBERSHIP:
        return Step.NONE
    if membership_of(committed.stored.event) == "join":
        return Step.ENTERS
    return Step.LEAVES if committed.prev_membership == "join" else Step.NONE


def publish(committed: Committed, kind: Kind, related: Related, receipts: int) -> Publication:
    """The frames of an event. receipts: position in their stream that the cursor shall name."""
    return _PUBLISHERS[kind](committed, related, str(Cursor(committed.position, receipts)))


def message_new(committed: Committed, cursor: str, *, blank: bool = False) -> bytes:
    """blank: the message was deleted since, so what it said is not told any more."""
    message = render.new_message(committed)
    if blank:
        message["content"] = ""
        message.pop("encrypted", None)
    return json_frame({"type": "message.new", "message": message, "cursor": cursor})


def _nothing(_committed: Committed, _related: Related, _cursor: str) -> Publication:
    return NOTHING


def _message_new(committed: Committed, _related: Related, cursor: str) -> Publication:
    return Publication(members=(message_new(committed, cursor),))


def _edited(_committed: Committed, related: Related, cursor: str) -> Publication:
    """An edit that is not valid edits nothing: the message is then as it was."""
    if not isinstance(related, Edited) or related.message.edited_at_ms is None:
        return NOTHING
    return _message_updated(related.message, cursor)


def _message_updated(message: MessageView, cursor: str) -> Publication:
    rendered = render.message(message, personal=False)
    frame = {"type": "message.updated", "message": rendered, "cursor": cursor}
    return Publication(members=(json_frame(frame),))


def _reaction_added(committed: Committed, _related: Related, cursor: str) -> Publication:
    relation = relation_of(committed.stored.event)
    assert relation is not None
    return _reaction(
        "reaction.added", committed, native_uuid(relation.event_id), relation.key or "", cursor
    )


def _redacted(committed: Committed, related: Related, cursor: str) -> Publication:
    match related:
        case Redacted(RemovedMessage(uuid)):
            return _message_deleted(committed, uuid, cursor)
        case Redacted(RemovedReaction(uuid, key)):
            return _reaction("reaction.removed", committed, uuid, key, cursor)
        case Redacted(RemovedEdit(), message) if message is not None:
            return _message_updated(message, cursor)
        case _:
            return NOTHING


def _message_deleted(committed: Committed, message_uuid: UUID, cursor: str) -> Publication:
    frame = {
        "type": "message.deleted",
        "message_id": message_uuid,
        "room_id": committed.room.uuid,
        "user_id": committed.sender.uuid,
        "deleted_at": timestamp(committed.stored.event.origin_server_ts),
        "cursor": cursor,
    }
    return Publication(members=(json_frame(frame),))


def _reaction(
    frame_type: str, committed: Committed, message_uuid: UUID, key: str, cursor: str
) -> Publication:
    frame = {
        "type": frame_type,
        "message_id": message_uuid,
        "room_id": committed.room.uuid,
        "user_id": committed.sender.uuid,
        "key": key,
        "cursor": cursor,
    }
    return Publication(members=(json_frame(frame),))


def _room_changed(_committed: Committed, related: Related, cursor: str) -> Publication:
    if not isinstance(related, RoomContext) or related.room is None:
        return NOTHING
    return Publication(room_changed=_room_updated(related.room, cursor))


def _room_ended(committed: Committed, related: Related, cursor: str) -> Publication:
    """Anybody with power in a room can send the event; only a deleted room is no room any more."""
    if not isinstance(related, RoomContext) or related.room is not None:
        return NOTHING
    frame = {"type": "room.deleted", "room_id": committed.room.uuid, "cursor": cursor}
    return Publication(members=(json_frame(frame),), step=Step.ENDS)


def _membership(committed: Committed, related: Related, cursor: str) -> Publication:
    """A membership takes effect even if nothing could be looked up for it."""
    context = related if isinstance(related, RoomContext) else RoomContext(None, None)
    match membership_of(committed.stored.event), committed.prev_membership:
        case "join", _:
            return _joined(committed, context, cursor)
        case "invite", _:
            return _invited(committed, context, cursor)
        case _, "join":
            return _left(committed, context, cursor)
        case (("leave" | "ban"), "invite"):
            return _uninvited(committed, cursor)
        case _:
            return NOTHING


def _joined(committed: Committed, context: RoomContext, cursor: str) -> Publication:
    subject_id = _subject_id(committed)
    reader, room = native_uuid(subject_id), context.room
    changed = _membership_change(room, cursor)
    before = cursor if changed is None else _cursor_before(cursor)
    own = (
        None if room is None else {"type": "room.joined", "room": render.room(room, reader=reader)}
    )
    return Publication(
        members=_member_frames("member.joined", committed, context.subject, None, before),
        room_changed=changed,
        subject_id=subject_id,
        subject=() if own is None else (json_frame({**own, "cursor": cursor}),),
        step=Step.ENTERS,
    )


def _left(committed: Committed, context: RoomContext, cursor: str) -> Publication:
    """Of a deleted room nobody is told who leaves it: all do."""
    reason = "deleted" if context.room is None else _leaving_reason(committed)
    subject = None if context.room is None else context.subject
    changed = _membership_change(context.room, cursor)
    before = cursor if changed is None else _cursor_before(cursor)
    return Publication(
        members=_member_frames("member.left", committed, subject, reason, before),
        room_changed=changed,
        subject_id=_subject_id(committed),
        subject=(_room_left(committed, reason, cursor),),
        step=Step.LEAVES,
    )


def _invited(committed: Committed, context: RoomContext, cursor: str) -> Publication:
    subject_id = _subject_id(committed)
    if context.room is None:
        return NOTHING
    frame = {
        "type": "room.invited",
        "room": render.room_outline(context.room, reader=native_uuid(subject_id)),
        "by": render.inviter(committed.sender),
        "cursor": cursor,
    }
    return Publication(subject_id=subject_id, subject=(json_frame(frame),))


def _uninvited(committed: Committed, cursor: str) -> Publication:
    """An invitation was declined, or taken back: only who was invited needs to know."""
    frame = _room_left(committed, _leaving_reason(committed), cursor)
    return Publication(subject_id=_subject_id(committed), subject=(frame,))


def _room_left(committed: Committed, reason: str, cursor: str) -> bytes:
    """`reason`: left, removed, banned or deleted."""
    room_uuid = committed.room.uuid
    frame = {"type": "room.left", "room_id": room_uuid, "reason": reason, "cursor": cursor}
    return json_frame(frame)


def _member_frames(
    frame_type: str, committed: Committed, subject: Person | None, reason: str | None, cursor: str
) -> tuple[bytes, ...]:
    if subject is None:
        return ()
    frame: dict[str, Any] = {
        "type": frame_type,
        "room_id": committed.room.uuid,
        "user_id": subject.uuid,
        "user_name": subject.name,
        "cursor": cursor,
    }
    return (json_frame(frame if reason is None else {**frame, "reason": reason}),)


def _membership_change(room: RoomDetails | None, cursor: str) -> Callable[[UUID], bytes] | None:
    """A room whose members cannot be listed is not sent for each who comes or goes: in a room of
    thousands that would be megabytes, and `member.joined` says the same.
    """
    if room is None or room.member_count > render.MAX_LISTED_MEMBERS:
        return None
    return _room_updated(room, cursor)


def _cursor_before(cursor: str) -> str:
    """For the first of the frames of one event: who does not get the last one gets all again."""
    events, receipts = parse_cursor(cursor)
    return str(Cursor(events - 1, receipts))


def _room_updated(room: RoomDetails, cursor: str) -> Callable[[UUID], bytes]:
    made: dict[str | None, bytes] = {}

    def for_reader(reader: UUID) -> bytes:
        name = render.room_name(room, reader=reader)
        if name not in made:
            frame = {"type": "room.updated", "room": render.room(room, reader=reader)}
            made[name] = json_frame({**frame, "cursor": cursor})
        return made[name]

    return for_reader


def _leaving_reason(committed: Committed) -> str:
    event = committed.stored.event
    if membership_of(event) == "ban":
        return "banned"
    return "left" if event.sender == event.state_key else "removed"


def _subject_id(committed: Committed) -> UserID:
    return UserID(committed.stored.event.state_key or "")


_PUBLISHERS: Mapping[Kind, Callable[[Committed, Related, str], Publication]] = MappingProxyType(
    {
        Kind.NOTHING: _nothing,
        Kind.MESSAGE: _message_new,
        Kind.REACTION: _reaction_added,
        Kind.EDIT: _edited,
        Kind.REDACTION: _redacted,
        Kind.MEMBERSHIP: _membership,
        Kind.ROOM: _room_changed,
        Kind.ROOM_END: _room_ended,
    }
)
