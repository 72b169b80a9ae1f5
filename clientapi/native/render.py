"""Records as the objects of the native protocol: plain values, ready for orjson.

What is rendered here is held against `schema.wire` by tests. A field that has nothing to say is
left out where the schema gives it a default.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from uuid import UUID

from homeserver.attachments import PATH, AttachedFile, file_in, path_of
from homeserver.events.content import RoomEncryption
from homeserver.events.event import Event
from homeserver.identifiers import RoomID, native_uuid
from homeserver.messages import (
    ENCRYPTED_TYPE,
    Ciphertext,
    ciphertext_of,
    reply_of,
    shown_text_of,
    thread_of,
)
from homeserver.streams.people import Person
from homeserver.streams.tail import Committed
from homeserver.views.messages import MessageView, Reaction
from homeserver.views.room_settings import RoomDetails
from homeserver.views.users import UserView
from schema.wire.times import timestamp

MAX_LISTED_MEMBERS = 250

_UNNAMED = "file"
_PICTURE = "picture"

Rendered = dict[str, Any]


def new_message(committed: Committed) -> Rendered:
    """A message that was just written: without edits, reactions and answers."""
    stored, sender = committed.stored, committed.sender
    event = stored.event
    reply_to, thread = reply_of(event), thread_of(event)
    rendered = {
        "id": stored.facts.uuid,
        "room_id": committed.room.uuid,
        "user_id": sender.uuid,
        "user_name": sender.name,
        "content": shown_text_of(event.content),
        "created_at": timestamp(event.origin_server_ts),
        "reply_to": None if reply_to is None else native_uuid(reply_to),
        "attachments": _attachments(file_in(event.content)),
    }
    if thread is not None:
        rendered["thread_id"] = native_uuid(thread)
    if event.type == ENCRYPTED_TYPE:
        _encrypt(rendered, event)
    return rendered


def message(view: MessageView, *, personal: bool) -> Rendered:
    """A message as it is now. personal: with what only the reader it was read for may be told."""
    rendered = {
        "id": view.uuid,
        "room_id": view.room_uuid,
        "user_id": view.sender.uuid,
        "user_name": view.sender.name,
        "content": view.text,
        "created_at": timestamp(view.created_at_ms),
        "reply_to": view.reply_to,
        "attachments": _attachments(view.file),
        **_said(
            thread_id=view.thread,
            thread_count=view.thread_count or None,
            edited_at=moment(view.edited_at_ms),
            reactions=[reaction(each, personal=personal) for each in view.reactions] or None,
            deleted_at=moment(view.deleted_at_ms),
        ),
    }
    if view.carrier is not None:
        _encrypt(rendered, view.carrier)
    return rendered


def _encrypt(rendered: Rendered, event: Event) -> None:
    """Puts the ciphertext of an event in the place of the content, if it has one."""
    said = ciphertext_of(event)
    if said is not None:
        del rendered["content"]
        rendered["encrypted"] = _ciphertext(said, event)


def _ciphertext(said: Ciphertext, event: Event) -> Rendered:
    """See `schema.wire.objects.Encrypted`."""
    return {
        "algorithm": said.algorithm,
        "ciphertext": said.ciphertext,
        "session_id": said.session_id,
        "event_id": event.event_id,
        "sender": event.sender,
        **_said(sender_key=said.sender_key, device_id=said.device_id, reference=said.reference),
    }


def attachment(file: AttachedFile) -> Rendered:
    """See `schema.wire.objects.Attachment`."""
    return {
        "id": file.uuid,
        "url": f"{PATH}/{file.place}/{quote(file.filename, safe='') or _UNNAMED}",
        "filename": file.filename,
        "size": file.size,
        "mime_type": file.content_type,
        **_said(width=file.width, height=file.height, blurhash=file.blurhash),
    }


def picture(url: str | None) -> str | None:
    """Where the picture of a person or a room is. A file has a path on this server, as attachments
    have; what a client named otherwise is told as it was named.
    """
    path = None if url is None else path_of(url)
    return url if path is None else f"{path}/{_PICTURE}"


def _attachments(file: AttachedFile | None) -> list[Rendered]:
    return [] if file is None else [attachment(file)]


def reaction(view: Reaction, *, personal: bool) -> Rendered:
    """Everybody who reacted with one key. personal: whether to say that the reader is one."""
    rendered = {"key": view.key, "count": view.count, "users": list(view.users)}
    return {**rendered, "mine": view.mine} if personal else rendered


def room(view: RoomDetails, *, reader: UUID) -> Rendered:
    """A room for one of its members; see `RoomOutline`."""
    listed = view.members[:MAX_LISTED_MEMBERS]
    return {
        "id": view.uuid,
        "name": room_name(view, reader=reader),
        "type": view.kind,
        "members": [person.uuid for person in listed],
        "member_count": view.member_count,
        "created_at": timestamp(view.created_at_ms),
        "public": view.public,
        "history_visibility": view.history_visibility,
        **_said(
            members_truncated=view.member_count > len(listed) or None,
            topic=view.topic,
            avatar_url=picture(view.avatar_url),
        ),
        **encryption(view.room_id, view.encryption),
    }


def room_outline(view: RoomDetails, *, reader: UUID) -> Rendered:
    """A room for somebody who is invited: not who is in it."""
    return {
        "id": view.uuid,
        "name": room_name(view, reader=reader),
        "type": view.kind,
        "members": [],
        **_said(topic=view.topic, avatar_url=picture(view.avatar_url)),
        **encryption(view.room_id, view.encryption),
    }


def encryption(room_id: RoomID, view: RoomEncryption | None) -> Rendered:
    """What is told of a room where messages must be encrypted; nothing of any other."""
    if view is None:
        return {}
    said = _said(
        algorithm=view.algorithm,
        rotation_period_ms=view.rotation_period_ms,
        rotation_period_msgs=view.rotation_period_msgs,
    )
    return {"encryption": said, "matrix_id": room_id}


def room_name(view: RoomDetails, *, reader: UUID) -> str | None:
    """A direct room without a name has the name of the other person."""
    if view.name is not None or view.kind != "direct":
        return view.name
    return next((person.name for person in view.members if person.uuid != reader), None)


def user(view: UserView) -> Rendered:
    """See `schema.wire.objects.User`."""
    return {
        "id": view.uuid,
        "name": view.name,
        "email": view.email,
        "avatar_url": picture(view.avatar_url),
        "status": view.status,
    }


def user_ref(person: Person) -> Rendered:
    """Just enough of a person to name them."""
    return {"id": person.uuid, "name": person.name}


def inviter(person: Person) -> Rendered:
    """See `schema.wire.objects.Inviter`."""
    return {**user_ref(person), "user_id": person.user_id}


def presence(user_uuid: UUID, status: str, last_seen_ms: int | None) -> Rendered:
    """See `schema.wire.objects.Presence`."""
    return {"user_id": user_uuid, "status": status, "last_seen": moment(last_seen_ms)}


def moment(ms: int | None) -> str | None:
    """A time that may be unknown."""
    return None if ms is None else timestamp(ms)


def messages(views: Iterable[MessageView]) -> list[Rendered]:
    """A page, for the reader it was read for."""
    return [message(view, personal=True) for view in views]


def _said(**fields: Any) -> Rendered:
    """Those that have something to say."""
    return {name: value for name, value in fields.items() if value is not None}
