"""Rendering pages in which nothing is hidden: most events without making values of them first."""

from collections.abc import Collection, Sequence

import orjson

from homeserver.client_event import JsonObject, without_scope
from homeserver.event_filter import EventFilter
from homeserver.events import canonical_json
from homeserver.events.redaction import redact
from homeserver.identifiers import UserID
from homeserver.message_json import Message, message_head
from homeserver.requester import Requester
from homeserver.storage import events
from homeserver.storage.database import Connection
from homeserver.storage.plain_events import PlainRow
from homeserver.values import value
from homeserver.views.client_events import ClientEvents
from homeserver.views.erasure import Erased
from homeserver.views.page_cache import CachedPage, Outline, is_member_throughout
from homeserver.views.room_access import OpenRoom


@value
class Rendered:
    """A page. events: in order; those of which more had to be known as objects. senders: of all."""

    events: Sequence[Message | JsonObject]
    senders: frozenset[UserID]


def is_plain(room: OpenRoom, only: EventFilter, ignored: Collection[UserID]) -> bool:
    """Whether every event of the room is for this reader, and its stored form is plain JSON."""
    return (
        room.readable.is_all_visible
        and not ignored
        and only.allows_all_of_room
        and only.allows_room(room.record.room_id)
        and room.record.version.strict_canonical_json
    )


async def render_rows(
    db: Connection,
    by: Requester,
    room: OpenRoom,
    rows: Sequence[PlainRow],
    client_events: ClientEvents,
) -> Rendered:
    """In the order given. No query, unless there is more to know of some events."""
    more = [row.event_nid for row in rows if row.raw is None]
    whole: dict[int, JsonObject] = {}
    if more:
        stored = await events.by_nids(db, more)
        shown = await client_events.render(
            db, by, list(stored.values()), rooms={room.room_nid: room.readable}
        )
        whole = dict(zip(stored, shown, strict=True))
    writer = _Writer(room, client_events.erased)
    rendered = [
        whole[row.event_nid] if row.raw is None else writer.message(row, row.raw) for row in rows
    ]
    senders = writer.senders.union(UserID(each["sender"]) for each in whole.values())
    return Rendered(rendered, frozenset(senders))


def cacheable(
    room: OpenRoom, rows: Sequence[PlainRow], rendered: Rendered, outline: Outline
) -> CachedPage | None:
    """A page for others to read, too, if it is one that can be kept: at the ends of a room there
    may be more at any time.
    """
    versions = frozenset(row.state_version for row in rows)
    messages = [each for each in rendered.events if isinstance(each, Message)]
    if outline.end is None or len(messages) < len(rows):
        return None
    if not is_member_throughout(room.readable, versions):
        return None
    return CachedPage(outline=outline, messages=messages, versions=versions)


class _Writer:
    """Writes the messages of one room, for one reader."""

    def __init__(self, room: OpenRoom, erased: Erased) -> None:
        self._room = room
        self._room_id = orjson.dumps(room.record.room_id)
        self._erased = erased
        self._memberships: dict[int, bytes] = {}
        self.senders: set[UserID] = set()

    def message(self, row: PlainRow, raw: bytes) -> Message:
        membership = self._membership(row.state_version)
        pdu = canonical_json.decode_strict(raw)
        if self._erased and pdu["sender"] in self._erased and membership != b"join":
            pdu = redact(pdu, self._room.record.version)
        self.senders.add(pdu["sender"])
        own = None if row.txn_id is None else without_scope(row.txn_id)
        return Message(
            head=message_head(
                pdu, event_id=row.event_id, room_id=self._room_id, membership=membership
            ),
            sent_at=pdu["origin_server_ts"],
            session_nid=row.session_nid,
            txn_id=None if own is None else canonical_json.compact(orjson.dumps(own)),
        )

    def _membership(self, state_version: int) -> bytes:
        """The reader's; events between two changes of the state share it."""
        known = self._memberships.get(state_version)
        if known is None:
            known = self._room.readable.membership_before(state_version).encode()
            self._memberships[state_version] = known
        return known
