"""Events of any type, as Matrix clients send them.

Source: C-S API v1.19 "Sending events to a room", "Transaction identifiers".
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

from homeserver.actions.contents import check_content
from homeserver.actions.lookups import (
    CREATE,
    POWER_LEVELS,
    Lookups,
    member_key,
    require_member,
)
from homeserver.actions.standing import require_active
from homeserver.actions.transactions import Sent, Transactions, sent
from homeserver.errors import DuplicateAnnotation
from homeserver.events import base64
from homeserver.events.build import Draft
from homeserver.identifiers import RoomID, native_uuid
from homeserver.messages import ANNOTATION, Relation, relation_in
from homeserver.requester import Requester
from homeserver.rooms.batch import Origin
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter
from homeserver.storage import relations
from homeserver.storage.database import Database

_SCOPE_BYTES = 9


class SendEvent:
    """What Matrix clients put into rooms."""

    def __init__(
        self,
        *,
        database: Database,
        writer: RoomWriter,
        lookups: Lookups,
        transactions: Transactions,
    ) -> None:
        self._database = database
        self._writer = writer
        self._lookups = lookups
        self._transactions = transactions
        self._annotating: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    async def message(
        self,
        by: Requester,
        room_id: RoomID,
        event_type: str,
        content: Mapping[str, Any],
        *,
        txn_id: str,
        at_ms: int | None = None,
    ) -> Sent:
        """A message event. at_ms: when it shall have happened.

        Raises NotFound, NotAllowed, InvalidContent, DuplicateAnnotation, TooLarge, Unavailable.
        """
        require_active(by)
        check_content(content)
        draft = Draft(
            room_id=room_id,
            sender=by.user_id,
            type=event_type,
            content=content,
            origin_server_ts=at_ms,
        )

        async def append(origin: Origin) -> Sent:
            relation = relation_in(content)
            if relation is None or relation.rel_type != ANNOTATION:
                return await self._append(by, draft, origin)
            async with self._one_annotation(by, draft, relation):
                return await self._append(by, draft, origin, annotates=relation)

        return await self._transactions.once(by, scoped("s", room_id, event_type, txn_id), append)

    async def _append(
        self, by: Requester, draft: Draft, origin: Origin, *, annotates: Relation | None = None
    ) -> Sent:
        assert draft.room_id is not None
        room = await self._lookups.room(native_uuid(draft.room_id))
        doubled = annotates is not None and await self._is_annotated(by, draft, annotates)

        def compose(head: RoomHead) -> Sequence[Draft]:
            require_member(head, room, by)
            if doubled:
                raise DuplicateAnnotation("You have reacted with this already.")
            return (draft,)

        needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
        request = Append(compose=compose, needs=needs, origin=origin)
        (stored,) = await self._writer.append(room, request)
        return sent(room, stored)

    def _one_annotation(
        self, by: Requester, draft: Draft, annotation: Relation
    ) -> AbstractAsyncContextManager[None]:
        """Two requests for the same annotation come one after the other."""
        key = (by.user_id, draft.type, annotation.event_id, annotation.key or "")
        return self._annotating.setdefault(key, asyncio.Lock())

    async def _is_annotated(self, by: Requester, draft: Draft, annotation: Relation) -> bool:
        """C-S API v1.19 "Avoiding duplicate annotations"."""
        parent = native_uuid(annotation.event_id)
        async with self._database.connection() as db:
            return await relations.is_annotated(
                db, parent, by.user_nid, draft.type, annotation.key or ""
            )


def scoped(endpoint: str, *path_and_txn_id: str) -> str:
    """A transaction ID with the path that it was used with: elsewhere it is another one.

    endpoint: a letter that no other endpoint has; native transaction IDs begin with `n:`.
    """
    *path, txn_id = path_and_txn_id
    digest = blake2b("\0".join(path).encode("utf-8", "replace"), digest_size=_SCOPE_BYTES).digest()
    return f"{endpoint}{base64.encode_urlsafe(digest)}:{txn_id}"
