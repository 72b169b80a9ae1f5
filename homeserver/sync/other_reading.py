"""Reading what a sync tells beside rooms: invitations, account data, what is of the moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from homeserver.storage import account_data, receipts, sync_reads
from homeserver.storage.sync_reads import OwnRoom
from homeserver.sync.reading import MAX_RECEIPTS, Reading
from homeserver.sync.shown import from_outside


@dataclass(slots=True)
class OtherReading(Reading):
    """After the rooms: some of it is told of rooms that are told."""

    async def read(self, own: Sequence[OwnRoom]) -> None:
        """own: all rooms that the reader has to do with."""
        await self._strangers(own)
        await self._account_data()
        await self._ephemeral()
        await self._presence()

    async def _strangers(self, own: Sequence[OwnRoom]) -> None:
        """Rooms that the reader is invited to or knocked at, as somebody outside knows them."""
        after = self.after
        rooms = [
            each
            for each in own
            if each.membership in ("invite", "knock")
            and (after is None or (each.position is not None and each.position > after))
        ]
        if not rooms:
            return
        self.inputs.strangers = await from_outside(self.db, rooms, self.who.ignored_ids)

    async def _account_data(self) -> None:
        """All of a room that is new to the reader."""
        after = 0 if self.since is None else self.since.account_data
        fresh = {nid for nid, room in self.inputs.rooms.items() if room.visit.is_fresh}
        upto = self.inputs.token.account_data
        rows = await account_data.changed(
            self.db, self.who.by.user_nid, after=0 if fresh else after, upto=upto
        )
        self.inputs.account_data = [
            row for row in rows if row.position > after or row.room_nid in fresh
        ]

    async def _ephemeral(self) -> None:
        """Receipts, and who writes, in rooms that the reader is in."""
        by, since, joined = self.who.by, self.since, self.inputs.joined
        fresh = [
            nid
            for nid, room in self.inputs.rooms.items()
            if room.visit.is_fresh and not room.visit.is_left
        ]
        if self.wanted.ephemeral.allows_none:
            fresh = []
        rows = await receipts.of_rooms(self.db, fresh, by.user_nid) if fresh else []
        if since is not None and since.receipts < self.inputs.token.receipts:
            upto = self.inputs.token.receipts
            new = await receipts.changed(
                self.db, by.user_nid, after=since.receipts, upto=upto, limit=MAX_RECEIPTS
            )
            if len(new) == MAX_RECEIPTS:
                self.inputs.token = replace(self.inputs.token, receipts=new[-1].position)
            rows += [row for row in new if row.room_nid not in fresh]
        for row in rows:
            if row.room_nid in joined:
                self.inputs.receipts.setdefault(row.room_nid, []).append(row)
        self._typing(fresh)

    def _typing(self, fresh: Sequence[int]) -> None:
        typing, joined, since = self.sources.typing, self.inputs.joined, self.since
        changed = None
        if since is not None and since.boot == self.sources.boot:
            changed = typing.changed_since(since.typing)
        rooms = joined.keys() if changed is None else changed & joined.keys()
        recently = typing.recently_changed() if changed is None else frozenset()
        for room_nid in {*rooms, *fresh}:
            people = [person.user_id for person in typing.writing_in(room_nid)]
            # Where nobody writes, only who may believe otherwise is told so: whoever asked another
            # process before, of rooms where somebody did, or of which there is something to tell.
            is_known = changed is not None or room_nid in self.inputs.rooms or room_nid in recently
            if people or (since is not None and is_known and room_nid not in fresh):
                self.inputs.typing[room_nid] = people

    async def _presence(self) -> None:
        """How those are who share a room with the reader: all who are here, or what changed."""
        sources, by = self.sources, self.who.by
        if self.wanted.presence.allows_none:
            return
        who = self._changed_presence()
        if any(room.visit.is_fresh for room in self.inputs.rooms.values()):
            who |= set(sources.presence.here())
        if not who:
            return
        small = await sync_reads.members_of_small(
            self.db, self.inputs.joined, max_members=sources.max_presence_members
        )
        others = who.intersection(chain.from_iterable(small.values())) - {by.user_nid}
        people = await sync_reads.user_ids(self.db, others) if others else {}
        for user_nid, user_id in people.items():
            if self.wanted.presence.allows("m.presence", user_id, has_url=False):
                self.inputs.presence.append((user_id, sources.presence.state(user_nid)))

    def _changed_presence(self) -> set[int]:
        presence, since = self.sources.presence, self.since
        if since is None:
            return set(presence.here())
        known = since.boot == self.sources.boot
        changed = presence.changed_since(since.presence) if known else None
        if changed is None:
            # Another process was asked before, and said that somebody is here who has left since.
            return {*presence.here(), *presence.gone()}
        return set(changed)
