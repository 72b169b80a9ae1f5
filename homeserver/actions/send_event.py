"""Events of any type, as Matrix clients send them.

Source: C-S API v1.19 "Sending events to a room", "Transaction identifiers".
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from homeserver.actions.lookups import (
    CREATE,
    POWER_LEVELS,
    Lookups,
    member_key,
    require_member,
)
from homeserver.actions.transactions import Sent, Transactions, sent
from homeserver.events import base64, canonical_json
from homeserver.events.build import Draft
from homeserver.identifiers import RoomID, native_uuid
from homeserver.requester import Requester
from homeserver.rooms.batch import Origin
from homeserver.rooms.head import RoomHead
from homeserver.rooms.preparing import Append
from homeserver.rooms.writer import RoomWriter

_SCOPE_BYTES = 9


class SendEvent:
    """What Matrix clients put into rooms."""

    def __init__(self, *, writer: RoomWriter, lookups: Lookups, transactions: Transactions) -> None:
        self._writer = writer
        self._lookups = lookups
        self._transactions = transactions

    async def message(
        self,
        by: Requester,
        room_id: RoomID,
        event_type: str,
        content: Mapping[str, Any],
        *,
        txn_id: str,
    ) -> Sent:
        """A message event. Raises NotFound, NotAllowed, InvalidInput, TooLarge, Unavailable."""
        canonical_json.check_strict(content)
        draft = Draft(room_id=room_id, sender=by.user_id, type=event_type, content=content)

        async def append(origin: Origin) -> Sent:
            room = await self._lookups.room(native_uuid(room_id))

            def compose(head: RoomHead) -> Sequence[Draft]:
                require_member(head, room, by)
                return (draft,)

            needs = (member_key(by.user_id), CREATE, POWER_LEVELS)
            request = Append(compose=compose, needs=needs, origin=origin)
            (stored,) = await self._writer.append(room, request)
            return sent(room, stored)

        return await self._transactions.once(by, scoped("s", room_id, event_type, txn_id), append)


def scoped(endpoint: str, *path_and_txn_id: str) -> str:
    """A transaction ID with the path that it was used with: elsewhere it is another one.

    endpoint: a letter that no other endpoint has; native transaction IDs begin with `n:`.
    """
    *path, txn_id = path_and_txn_id
    digest = blake2b("\0".join(path).encode("utf-8", "replace"), digest_size=_SCOPE_BYTES).digest()
    return f"{endpoint}{base64.encode_urlsafe(digest)}:{txn_id}"
