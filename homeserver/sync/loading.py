"""Reading what a sync is built of from the database.

One snapshot, and a number of queries that does not depend on how many rooms there are or how large
they are. What is large and changes seldom (bodies of events, numbers of members) is in memory.
"""

from collections.abc import Iterable

from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import sync_reads
from homeserver.sync.encryption_reading import EncryptionReading
from homeserver.sync.inputs import SyncInputs
from homeserver.sync.other_reading import OtherReading
from homeserver.sync.reading import Sources, Who, within
from homeserver.sync.request import SyncRequest
from homeserver.sync.room_reading import RoomReading
from homeserver.sync.token import SyncToken


class Inputs:
    """What changed for one reader."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def load(self, by: Requester, request: SyncRequest, *, told_presence: int) -> SyncInputs:
        """told_presence: number of the newest change of presence that everybody was told of.

        Raises Unavailable.
        """
        who = await self._who(by, request)
        typing = self._sources.typing.position
        async with self._sources.database.snapshot() as db:
            now = await sync_reads.positions(db)
            since = within(request.since, now)
            token = SyncToken(
                events=now.events,
                receipts=now.receipts,
                account_data=now.account_data,
                to_device=now.to_device,
                device_lists=now.device_lists,
                boot=self._sources.boot,
                typing=typing,
                presence=told_presence,
            )
            inputs = SyncInputs(token)
            common = self._sources, db, who, request, since, inputs
            own = await RoomReading(*common).read()
            await OtherReading(*common).read(own)
            await EncryptionReading(*common).read()
        return inputs

    async def _who(self, by: Requester, request: SyncRequest) -> Who:
        timeline = request.wanted.timeline
        ignored = await self._sources.client_events.remember_ignored(by)
        wanted = {UserID(each) for each in (*(timeline.senders or ()), *timeline.not_senders)}
        wanted |= ignored
        found = await self._sources.people.by_user_ids(wanted) if wanted else {}

        def nids(user_ids: Iterable[str]) -> list[int]:
            return [found[UserID(each)].user_nid for each in user_ids if UserID(each) in found]

        return Who(
            by=by,
            senders=None if timeline.senders is None else nids(timeline.senders),
            not_senders=nids(timeline.not_senders),
            ignored=nids(ignored),
            ignored_ids=ignored,
        )
