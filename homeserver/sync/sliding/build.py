"""From what was read to an answer of sliding sync. Pure.

Source: MSC4186 "Response Body"; MSC3959 (account data), MSC3960 (receipts), MSC3961 (typing).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.client_event import stripped_event
from homeserver.identifiers import RoomID
from homeserver.receipt_content import receipt_contents
from homeserver.requester import Requester
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.one_time_keys import Stock
from homeserver.storage.sync_reads import TimelineRow
from homeserver.sync.bodies import event_json
from homeserver.sync.build import batch_before
from homeserver.sync.counts import RoomCounts
from homeserver.sync.sliding.encryption import extensions, tell_nothing
from homeserver.sync.sliding.inputs import RoomNews, SlidingInputs
from homeserver.sync.sliding.reading import ACCOUNT_DATA, RECEIPTS, TYPING
from homeserver.sync.sliding.request import RoomResult, SlidingAnswer, SlidingRequest
from homeserver.sync.sliding.room_config import RoomConfig
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import membership_at


def counted_rooms(inputs: SlidingInputs) -> list[int]:
    """Rooms whose counts of notifications the answer needs."""
    joined = [nid for nid, room in inputs.news.items() if not room.visit.is_left]
    return [*joined, *inputs.counts_only]


@dataclass(slots=True)
class Builder:
    """since: where the client stands; None: nowhere. counts: of the `counted_rooms`.
    stock: what the device has to hand out.
    """

    inputs: SlidingInputs
    request: SlidingRequest
    by: Requester
    since: SyncToken | None
    now_ms: int
    counts: Mapping[int, RoomCounts]
    stock: Stock

    def answer(self, pos: str) -> SlidingAnswer:
        return SlidingAnswer(
            pos=pos,
            lists=self.inputs.windows,
            rooms=self._rooms(),
            extensions=self._extensions(),
        )

    def _rooms(self) -> dict[RoomID, RoomResult]:
        rooms = {room.wish.own.room_id: self._room(room) for room in self.inputs.news.values()}
        for own, events in self.inputs.strangers:
            rooms[own.room_id] = RoomResult(
                membership=own.membership,
                lists=self.inputs.wishes[own.room_nid].lists,
                initial=True,
                bump_stamp=own.position,
                stripped_state=[stripped_event(each.event) for each in events],
            )
        for room_nid in self.inputs.counts_only:
            wish = self.inputs.wishes[room_nid]
            result = RoomResult(membership=wish.own.membership, lists=wish.lists)
            self._count(result, room_nid)
            rooms[wish.own.room_id] = result
        if self.inputs.tells_dms and self.since is not None:
            self._tell_dms(rooms)
        return rooms

    def _tell_dms(self, rooms: dict[RoomID, RoomResult]) -> None:
        """Which rooms are direct has changed, so it is told of all that are in view."""
        for wish in self.inputs.wishes.values():
            result = rooms.get(wish.own.room_id)
            if result is None:
                result = RoomResult(membership=wish.own.membership, lists=wish.lists)
                rooms[wish.own.room_id] = result
            result.is_dm = wish.facts.is_dm

    def _room(self, room: RoomNews) -> RoomResult:
        visit, wish = room.visit, room.wish
        own = wish.own
        result = RoomResult(
            membership=own.membership,
            lists=wish.lists,
            initial=visit.is_fresh or wish.told_upto is None,
            bump_stamp=own.position
            if visit.is_left
            else self.inputs.bumps.get(own.room_nid, own.position),
            required_state=[self._event(nid, None) for nid in room.state],
        )
        if result.initial and wish.facts.is_dm:
            result.is_dm = True
        self._put_timeline(result, room)
        if visit.is_fresh or visit.known < visit.end:
            self._put_face(result, room)
        if not visit.is_left:
            self._count(result, own.room_nid)
        return result

    def _put_timeline(self, result: RoomResult, room: RoomNews) -> None:
        kept = room.kept
        result.timeline = [self._event(row.event_nid, self._beside(room, row)) for row in kept]
        first = kept[0].position if kept else min(room.visit.upto, self.inputs.token.events) + 1
        result.prev_batch = batch_before(first)
        result.limited = room.limited
        if self.since is not None:
            result.num_live = sum(row.position > self.since.events for row in kept)
        told_upto = room.wish.told_upto
        if room.wish.expands_timeline and told_upto is not None:
            result.expanded = bool(kept) and kept[0].position <= told_upto

    def _put_face(self, result: RoomResult, room: RoomNews) -> None:
        """What a room looks like, where its state has changed."""
        face = self.inputs.faces[room.visit.room_nid]
        result.name, result.avatar = face.name, face.avatar
        result.is_unnamed = face.name is None and not result.initial
        result.has_no_avatar = face.avatar is None and not result.initial
        if room.size is not None:
            result.joined_count, result.invited_count = room.size.joined, room.size.invited
            if face.name is None:
                result.heroes = self._heroes(room)

    def _heroes(self, room: RoomNews) -> list[dict[str, str]]:
        assert room.size is not None
        heroes = room.size.heroes_for(self.by.user_id) or ()
        return [self._hero(room.visit.room_nid, user_id) for user_id in heroes]

    def _hero(self, room_nid: int, user_id: str) -> dict[str, str]:
        hero = {"user_id": user_id}
        body = self.inputs.heroes.get((room_nid, user_id))
        if body is not None:
            content = orjson.loads(body.head + b"}")["content"]
            for name in ("displayname", "avatar_url"):
                if isinstance(content.get(name), str):
                    hero[name] = content[name]
        return hero

    def _count(self, result: RoomResult, room_nid: int) -> None:
        """Without those in threads, which an extension of its own tells."""
        counts = self.counts.get(room_nid)
        if counts is not None:
            threads = counts.threads.values()
            result.notification_count = counts.notification_count - sum(of[0] for of in threads)
            result.highlight_count = counts.highlight_count - sum(of[1] for of in threads)

    def _beside(self, room: RoomNews, row: TimelineRow) -> str | None:
        body = self.inputs.bodies[row.event_nid]
        if body.membership is not None and body.state_key == self.by.user_id:
            return body.membership
        return membership_at(room.visit, row)

    def _event(self, event_nid: int, membership: str | None) -> bytes:
        return event_json(
            self.inputs.bodies[event_nid],
            now_ms=self.now_ms,
            session_nid=self.by.session_nid,
            membership=membership,
            relations=self.inputs.relations.get(event_nid, b""),
        )

    def _extensions(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        found |= extensions(self.inputs.encryption, self.request, self.stock)
        if ACCOUNT_DATA in self.request.extensions and self.inputs.account_data:
            found[ACCOUNT_DATA] = self._account_data()
        if RECEIPTS in self.request.extensions:
            receipts = {
                self._room_id(nid): {"type": "m.receipt", "content": contents[0]}
                for nid, rows in self.inputs.receipts.items()
                if (contents := receipt_contents(rows))
            }
            if receipts:
                found[RECEIPTS] = {"rooms": receipts}
        if TYPING in self.request.extensions and self.inputs.typing:
            found[TYPING] = {
                "rooms": {
                    self._room_id(nid): {"type": "m.typing", "content": {"user_ids": people}}
                    for nid, people in self.inputs.typing.items()
                }
            }
        return found

    def _account_data(self) -> dict[str, Any]:
        of_all: list[dict[str, Any]] = []
        rooms: dict[str, list[dict[str, Any]]] = {}
        for row in self.inputs.account_data:
            event = {"type": row.type, "content": orjson.Fragment(row.content)}
            if row.room_nid == GLOBAL:
                of_all.append(event)
            else:
                rooms.setdefault(self._room_id(row.room_nid), []).append(event)
        return {"global": of_all, "rooms": rooms}

    def _room_id(self, room_nid: int) -> RoomID:
        return self.inputs.wishes[room_nid].own.room_id


def is_empty(answer: SlidingAnswer) -> bool:
    """Whether there is nothing to tell."""
    return not answer.rooms and tell_nothing(answer.extensions)


def wanted_configs(inputs: SlidingInputs) -> dict[int, RoomConfig]:
    """What the connection was asked for, by room."""
    return {nid: wish.config for nid, wish in inputs.wishes.items()}
