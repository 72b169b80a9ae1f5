"""Messages, edits, reactions and their deletion.

Source: C-S API v1.19 "Instant Messaging", "Event replacements", "Event annotations and reactions",
"Threading", "Redactions".
"""

from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

from homeserver.actions.attachments import Attachments
from homeserver.actions.lookups import (
    CREATE,
    ENCRYPTION,
    POWER_LEVELS,
    Lookups,
    levels_of,
    member_key,
    no_such_message,
    require_member,
)
from homeserver.actions.members import Members
from homeserver.actions.standing import require_active
from homeserver.actions.transactions import SendOnce, Sent, Transactions, sent
from homeserver.attachments import file_content
from homeserver.errors import EncryptionRequired, InvalidInput, NotAllowed, NotFound, TooLarge
from homeserver.events.build import Draft
from homeserver.events.stored import RoomRecord, StoredEvent
from homeserver.identifiers import EventID
from homeserver.messages import (
    ENCRYPTED_TYPE,
    MESSAGE_TYPE,
    REACTION_TYPE,
    REDACTION_TYPE,
    Ciphertext,
    edit_content,
    encrypted_edit,
    reaction_content,
    related,
    text_content,
    thread_of,
)
from homeserver.requester import Requester
from homeserver.rooms.batch import Origin
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append, Compose
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import events, relations
from homeserver.storage.database import Database

MAX_REACTION_CHARS = 100
_EDITED_TYPES = frozenset({MESSAGE_TYPE, ENCRYPTED_TYPE})


class Send:
    """What members say in rooms."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        members: Members,
        transactions: Transactions,
        attachments: Attachments,
        max_message_bytes: int,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._members = members
        self._transactions = transactions
        self._attachments = attachments
        self._max_message_bytes = max_message_bytes

    async def message(
        self,
        by: Requester,
        room_uuid: UUID,
        said: str | Ciphertext,
        *,
        reply_to: UUID | None = None,
        thread: UUID | None = None,
        attachments: Sequence[UUID] = (),
        ref: str | None = None,
    ) -> Sent:
        """Says something, with files or without. Each file is an event, and the last one is what
        the text and the answer belong to (decision 0006). In an encrypted room, only ciphertexts.

        Raises NotFound, NotAllowed, InvalidInput, TooLarge, Unavailable.
        """
        require_active(by)
        self._check(said, needed=not attachments)

        async def say(origin: Origin) -> Sent:
            room = await self._lookups.room(room_uuid)
            answered = None if reply_to is None else await self._related(room, reply_to, "reply_to")
            root = None if thread is None else await self._thread_root(room, thread)
            if isinstance(said, Ciphertext):
                content = _encrypted_content(said, reply_to=answered, thread=root)
                return await self._append(by, room, ENCRYPTED_TYPE, [content], origin)
            if not attachments:
                content = text_content(said, reply_to=answered, thread=root)
                return await self._append(by, room, MESSAGE_TYPE, [content], origin)
            files = await self._attachments.find(by, attachments)
            contents = [related(file_content(each, ""), thread=root) for each in files[:-1]]
            caption = said if said.strip() else ""
            last = related(file_content(files[-1], caption), reply_to=answered, thread=root)
            return await self._append(by, room, MESSAGE_TYPE, [*contents, last], origin)

        return await self._once(by, ref, say)

    async def edit(
        self, by: Requester, message: UUID, said: str | Ciphertext, *, ref: str | None = None
    ) -> Sent:
        """Puts something else in the place of what an own message says. "The original event and
        replacement event must have the same type", so what is encrypted stays so.
        """
        require_active(by)
        self._check(said)

        async def edit(origin: Origin) -> Sent:
            target, room = await self._lookups.message(message)
            if not target.facts.is_message or target.event.type not in _EDITED_TYPES:
                raise no_such_message()
            if target.event.sender != by.user_id:
                await self._members.require(by, room)
                raise NotAllowed("You can only edit your own messages.")
            content = _edit_of(target, said)
            return await self._append(by, room, target.event.type, [content], origin)

        return await self._once_about_a_message(by, ref, edit)

    async def react(
        self, by: Requester, message: UUID, key: str, *, ref: str | None = None
    ) -> Sent:
        """Adds a reaction; the same one twice is the same one."""
        require_active(by)
        _check_reaction(key)

        async def react(origin: Origin) -> Sent:
            target, room = await self._lookups.message(message)
            if not target.facts.is_message:
                raise no_such_message()
            await self._members.require(by, room)
            existing = await self._reaction(by, message, key)
            if existing is not None:
                return sent(room, existing)
            content = reaction_content(key, target.event.event_id)
            return await self._append(by, room, REACTION_TYPE, [content], origin)

        return await self._once_about_a_message(by, ref, react)

    async def unreact(
        self, by: Requester, message: UUID, key: str, *, ref: str | None = None
    ) -> Sent:
        """Takes an own reaction back. Raises NotFound if there is none."""

        async def unreact(origin: Origin) -> Sent:
            target, room = await self._lookups.message(message)
            await self._members.require(by, room)
            existing = await self._reaction(by, target.facts.uuid, key)
            if existing is None:
                raise NotFound("You have not reacted with this.", kind="reaction")
            return await self._redact(by, room, existing, origin)

        return await self._once_about_a_message(by, ref, unreact)

    async def delete(self, by: Requester, message: UUID, *, ref: str | None = None) -> Sent:
        """Deletes an own message, or anybody's if one's role allows it."""

        async def delete(origin: Origin) -> Sent:
            target, room = await self._lookups.message(message)
            if target.event.is_state:
                raise no_such_message()
            return await self._redact(by, room, target, origin)

        return await self._once_about_a_message(by, ref, delete)

    def _once(self, by: Requester, ref: str | None, send: SendOnce) -> Awaitable[Sent]:
        """Everything that a request asks for is done once for its `ref`: what it finds the second
        time is what the first one made of it.
        """
        return self._transactions.once(by, None if ref is None else f"n:{ref}", send)

    async def _once_about_a_message(self, by: Requester, ref: str | None, send: SendOnce) -> Sent:
        """Who may not know of a room may not know of its messages: an ID that one of them has, and
        one that nobody has, are answered alike.
        """
        try:
            return await self._once(by, ref, send)
        except NotFound as error:
            if error.kind == "room":
                raise no_such_message() from None
            raise

    def _append(
        self,
        by: Requester,
        room: RoomRecord,
        event_type: str,
        contents: Sequence[dict[str, Any]],
        origin: Origin,
    ) -> Awaitable[Sent]:
        """All of it or nothing; the answer is about the last. Of an encrypted room it is known that
        it is one, like its members, and of any other that it is none.
        """
        drafts = [
            Draft(room_id=room.room_id, sender=by.user_id, type=event_type, content=each)
            for each in contents
        ]

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            _check_encryption(head, event_type)
            return drafts

        return self._commit(by, room, compose, origin)

    async def _redact(
        self, by: Requester, room: RoomRecord, target: StoredEvent, origin: Origin
    ) -> Sent:
        draft = Draft(
            room_id=room.room_id,
            sender=by.user_id,
            type=REDACTION_TYPE,
            content={},
            redacts=target.event.event_id,
        )

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            _check_redaction(head, by, target)
            return (draft,)

        return await self._commit(by, room, compose, origin, target=target)

    async def _commit(
        self,
        by: Requester,
        room: RoomRecord,
        compose: Compose,
        origin: Origin,
        *,
        target: StoredEvent | None = None,
    ) -> Sent:
        needs = (member_key(by.user_id), CREATE, POWER_LEVELS, ENCRYPTION)
        request = Append(compose=compose, needs=needs, origin=origin, target=target)
        *_, stored = await self._writer.append(room, request)
        return sent(room, stored)

    async def _reaction(self, by: Requester, message: UUID, key: str) -> StoredEvent | None:
        async with self._database.connection() as db:
            nid = await relations.reaction_nid(db, message, by.user_nid, key)
            return None if nid is None else (await events.by_nids(db, [nid])).get(nid)

    async def _related(self, room: RoomRecord, uuid: UUID, field: str) -> EventID:
        """The event ID of a message of the same room."""
        target = await self._message_of_room(room, uuid, field)
        return target.event.event_id

    async def _thread_root(self, room: RoomRecord, uuid: UUID) -> EventID:
        """A message of a thread stands for the thread, for threads do not nest."""
        target = await self._message_of_room(room, uuid, "thread_id")
        return thread_of(target.event) or target.event.event_id

    async def _message_of_room(self, room: RoomRecord, uuid: UUID, field: str) -> StoredEvent:
        target, its_room = await self._lookups.message(uuid)
        if its_room.room_nid != room.room_nid or not target.facts.is_message:
            raise InvalidInput(f"{field} is not a message of this room.", field=field)
        return target

    def _check(self, said: str | Ciphertext, *, needed: bool = True) -> None:
        if isinstance(said, str):
            self._check_text(said, needed=needed)
        elif not needed:
            raise InvalidInput("An encrypted message names its files inside.", field="attachments")

    def _check_text(self, text: str, *, needed: bool = True) -> None:
        if needed and not text.strip():
            raise InvalidInput("A message needs text.", field="content")
        if "\0" in text:
            raise InvalidInput("A message cannot contain NUL characters.", field="content")
        if len(text.encode("utf-8", "replace")) > self._max_message_bytes:
            raise TooLarge(f"A message has at most {self._max_message_bytes} bytes of text.")


def _encrypted_content(
    said: Ciphertext, *, reply_to: EventID | None, thread: EventID | None
) -> dict[str, Any]:
    """An event has one relation, and answers stand beside it in the same field."""
    if said.reference is None:
        return related(said.content(), reply_to=reply_to, thread=thread)
    if reply_to is not None or thread is not None:
        raise InvalidInput(
            "What belongs to an event is neither an answer nor in a thread.",
            field="encrypted.reference",
        )
    return said.content()


def _edit_of(target: StoredEvent, said: str | Ciphertext) -> dict[str, Any]:
    event_id, is_encrypted = target.event.event_id, target.event.type == ENCRYPTED_TYPE
    if isinstance(said, str):
        if is_encrypted:
            raise EncryptionRequired("This message is encrypted: encrypt its edits, too.")
        return edit_content(said, event_id, target.event.content)
    if not is_encrypted:
        raise InvalidInput("This message is not encrypted.", field="encrypted")
    if said.reference is not None:
        raise InvalidInput("An edit belongs to its message.", field="encrypted.reference")
    return encrypted_edit(said, event_id)


def _check_encryption(head: RoomHead, event_type: str) -> None:
    """A client that knows nothing of encryption shall not tell what others encrypt."""
    is_encrypted = head.event(ENCRYPTION) is not None
    if event_type == MESSAGE_TYPE and is_encrypted:
        raise EncryptionRequired("Messages of this room must be encrypted.")
    if event_type == ENCRYPTED_TYPE and not is_encrypted:
        raise InvalidInput("This room is not encrypted.", field="encrypted")


def _check_reaction(key: str) -> None:
    if not key.strip() or "\0" in key or len(key) > MAX_REACTION_CHARS:
        raise InvalidInput(
            f"A reaction is an emoji or a text of at most {MAX_REACTION_CHARS} characters.",
            field="key",
        )


def _check_redaction(head: RoomHead, by: Requester, target: StoredEvent) -> None:
    """C-S API v1.19 "Redactions": own events, or those of others with the level `redact`."""
    if target.event.sender == by.user_id:
        return
    require_active(by)
    levels = levels_of(head)
    if levels.user(by.user_id) < levels.redact:
        raise NotAllowed("Your role in this room lets you delete your own messages only.")
