"""What everything that is read for one sync has in common."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import events, sync_reads
from homeserver.storage.database import Connection, Database
from homeserver.storage.sync_reads import Positions
from homeserver.streams.people import People
from homeserver.streams.presence import PresenceStream
from homeserver.streams.typing import TypingStream
from homeserver.sync.bodies import Bodies, Body
from homeserver.sync.filters import SyncFilter
from homeserver.sync.inputs import SyncInputs
from homeserver.sync.lazy import ToldMembers
from homeserver.sync.request import SyncRequest
from homeserver.sync.summaries import Summaries
from homeserver.sync.token import SyncToken
from homeserver.views.client_events import ClientEvents
from homeserver.views.history import ReadableRoom

MAX_RECEIPTS = 5_000
"""Of one answer; what is more comes with the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is read beside the database. boot: the process, see `SyncToken`.

    max_presence_members: presence is told through rooms of up to so many members.
    """

    database: Database
    people: People
    bodies: Bodies
    summaries: Summaries
    told: ToldMembers
    client_events: ClientEvents
    typing: TypingStream
    presence: PresenceStream
    max_presence_members: int
    boot: str


@dataclass(frozen=True, slots=True)
class Who:
    """Whose sync it is, and which senders its filter and he himself leave out, by number."""

    by: Requester
    senders: Sequence[int] | None
    not_senders: Sequence[int]
    ignored: Sequence[int]
    ignored_ids: frozenset[UserID]


@dataclass(slots=True)
class Reading:
    """One load: each of its parts adds to `inputs` what it reads."""

    sources: Sources
    db: Connection
    who: Who
    request: SyncRequest
    since: SyncToken | None
    inputs: SyncInputs

    @property
    def wanted(self) -> SyncFilter:
        return self.request.wanted

    @property
    def after(self) -> int | None:
        return None if self.since is None else self.since.events


def within(since: SyncToken | None, now: Positions) -> SyncToken | None:
    """A position from the future, as after a backup was played back, is the newest there is; of
    what encryption needs, rather all is told again.
    """
    if since is None:
        return None
    return replace(
        since,
        events=min(since.events, now.events),
        receipts=min(since.receipts, now.receipts),
        account_data=min(since.account_data, now.account_data),
        to_device=since.to_device if since.to_device <= now.to_device else 0,
        device_lists=since.device_lists if since.device_lists <= now.device_lists else 0,
    )


async def related(
    db: Connection,
    client_events: ClientEvents,
    by: Requester,
    bodies: Iterable[Body],
    readables: Mapping[int, ReadableRoom],
) -> dict[int, bytes]:
    """What `m.relations` is of those events on which something hangs. readables: of their rooms.

    One query where nothing does.
    """
    parents = {body.uuid: body.event_nid for body in bodies if body.state_key is None}
    hung_on = await sync_reads.related(db, parents) if parents else frozenset()
    if not hung_on:
        return {}
    found = await events.by_nids(db, [parents[uuid] for uuid in hung_on])
    rendered = await client_events.render(
        db, by, [*found.values()], with_room_id=False, rooms=readables
    )
    return {
        nid: orjson.dumps(relations)
        for nid, event in zip(found, rendered, strict=True)
        if (relations := event["unsigned"].get("m.relations"))
    }
