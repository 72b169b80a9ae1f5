"""Writing publications to those whom they are for, and letting memberships take effect.

Memberships take effect between frames: who joins hears everything from there on, who leaves is
told so and then hears nothing more of the room.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from clientapi.native.audience import Audience, Listener
from clientapi.native.connection import Connection
from clientapi.native.fanout import Fanout
from clientapi.native.publications import (
    Kind,
    Publication,
    Related,
    RoomContext,
    Step,
    publish,
)
from homeserver.metrics import Metrics
from homeserver.streams.tail import Committed

_OF_THE_ROOM = frozenset({Kind.MEMBERSHIP, Kind.ROOM})


@dataclass(slots=True, eq=False)
class Waiting:
    """An event that is not told yet, and what is looked up for it, if anything is."""

    committed: Committed
    kind: Kind
    looking_up: "asyncio.Task[Related] | None" = None

    @property
    def is_ready(self) -> bool:
        return self.looking_up is None or self.looking_up.done()

    @property
    def related(self) -> Related:
        """What was found."""
        if self.looking_up is None or self.looking_up.cancelled():
            return None
        return self.looking_up.result()

    def continues(self, first: "Waiting") -> bool:
        """Whether it changes the same room as an event right before it, and the room that was
        looked up is the room after both.
        """
        if self.kind not in _OF_THE_ROOM or first.kind not in _OF_THE_ROOM or not self.is_ready:
            return False
        mine, its = self.related, first.related
        return (
            isinstance(mine, RoomContext)
            and isinstance(its, RoomContext)
            and mine.room is its.room
            and mine.room is not None
        )

    def give_up(self) -> None:
        if self.looking_up is not None:
            self.looking_up.cancel()


class Broadcast:
    """Writes publications."""

    def __init__(
        self,
        *,
        audience: Audience,
        fanout: Fanout,
        metrics: Metrics,
        on_move: Callable[[Committed, Step], None],
    ) -> None:
        """on_move: somebody hears a room now, or does no more."""
        self._audience = audience
        self._fanout = fanout
        self._on_move = on_move
        self._deliveries = metrics.deliveries

    def run(self, run: Sequence[Waiting], receipts: int) -> None:
        """Events to publish in order: one, or several that change the same room.

        Who joins in a run gets the room as it is after it, so he is not told about the rest.
        receipts: position that cursors name beside the events'.
        """
        first = run[0].committed
        room_nid = first.room.room_nid
        hears = self._audience.in_room(room_nid)
        if run[0].kind not in _OF_THE_ROOM:
            if hears:
                publication = publish(first, run[0].kind, run[0].related, receipts)
                self._to_room(first, publication, is_message=run[0].kind is Kind.MESSAGE)
            return
        publications = [publish(each.committed, each.kind, each.related, receipts) for each in run]
        hearing = set(hears)
        joining = {each.subject_id for each in publications if each.step is Step.ENTERS}
        for waiting, publication in zip(run, publications, strict=True):
            self._membership(waiting.committed, publication, hearing, joining)
        self._room_changed(publications, hearing & set(self._audience.in_room(room_nid)))

    def _to_room(self, committed: Committed, publication: Publication, *, is_message: bool) -> None:
        hearing = self._audience.in_room(committed.room.room_nid)
        for frame in publication.members:
            self._fanout.write(hearing, frame)
        if publication.step is Step.ENDS:
            self._audience.close_room(committed.room.room_nid)
        if is_message:
            own = self._audience.of_user(committed.stored.facts.sender_nid)
            self._deliveries.inc(max(0, len(hearing) - len(own)))

    def _membership(
        self,
        committed: Committed,
        publication: Publication,
        hearing: Collection[Connection],
        joining: Collection[str | None],
    ) -> None:
        room_nid = committed.room.room_nid
        subject = self._audience.user_by_id(publication.subject_id)
        if publication.step is Step.LEAVES and subject is not None:
            self._audience.leave(subject, room_nid)
        for frame in publication.members:
            present = self._audience.in_room(room_nid)
            self._fanout.write([each for each in present if each in hearing], frame)
        if publication.step is Step.ENTERS and subject is not None:
            self._audience.enter(subject, room_nid, committed.position)
        if publication.step is not Step.NONE:
            self._on_move(committed, publication.step)
        if publication.step is Step.NONE and publication.subject_id in joining:
            # An invitation that the same change answers is no news.
            return
        self._to_subject(publication, subject)

    def _to_subject(self, publication: Publication, subject: Listener | None) -> None:
        if subject is not None:
            for frame in publication.subject:
                self._fanout.write(subject.connections, frame)

    def _room_changed(
        self, publications: Sequence[Publication], readers: Collection[Connection]
    ) -> None:
        """The last change in a run tells them all."""
        changes = [each.room_changed for each in publications if each.room_changed is not None]
        if changes:
            for reader in readers:
                self._fanout.write((reader,), changes[-1](reader.by.user_uuid))
