"""From what was read to an answer. Pure.

Source: C-S API v1.19 "Syncing", `sync.yaml`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from homeserver.client_event import stripped_event
from homeserver.identifiers import UserID
from homeserver.presence_content import presence_content
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.receipt_content import receipt_contents
from homeserver.requester import Requester
from homeserver.storage.account_data import GLOBAL, AccountDataRow
from homeserver.storage.receipts import ReadRow
from homeserver.storage.sync_reads import TimelineRow
from homeserver.sync.answer import (
    RoomPart,
    SyncAnswer,
    Timeline,
    account_data_json,
    counts_json,
    dressed,
    ephemeral_json,
    presence_json,
    stripped_json,
    summary_json,
)
from homeserver.sync.bodies import Body, event_json
from homeserver.sync.counts import RoomCounts
from homeserver.sync.filters import SyncFilter
from homeserver.sync.inputs import RoomInput, SyncInputs
from homeserver.sync.request import SyncRequest
from homeserver.sync.summaries import RoomSize
from homeserver.sync.token import SyncToken
from homeserver.sync.visits import membership_at

_STRANGERS = {"invite": b"invite_state", "knock": b"knock_state"}


def answer(
    inputs: SyncInputs,
    request: SyncRequest,
    by: Requester,
    *,
    now_ms: int,
    counts: Mapping[int, RoomCounts],
) -> SyncAnswer:
    """counts: of rooms that the reader is in; those without are not told."""
    return _Builder(inputs, request, by, now_ms, counts).whole()


def told_rooms(inputs: SyncInputs, request: SyncRequest, by: Requester) -> list[int]:
    """Rooms that the reader is in and that have a place in the answer; their counts are needed."""
    return [nid for nid in inputs.joined if _is_told(inputs, request, by, nid)]


def _is_told(inputs: SyncInputs, request: SyncRequest, by: Requester, room_nid: int) -> bool:
    room = inputs.rooms.get(room_nid)
    if room is not None and (room.kept or room.state or room.size or room.visit.is_fresh):
        return True
    if request.full_state and room is not None:
        return True
    wanted = request.wanted
    shows = wanted.ephemeral.allows_room(inputs.joined[room_nid].room_id)
    for read in inputs.receipts.get(room_nid, ()):
        if read.reader_nid == by.user_nid or (shows and wanted.ephemeral.allows_type("m.receipt")):
            return True
    if room_nid in inputs.typing and shows and wanted.ephemeral.allows_type("m.typing"):
        return True
    return any(
        row.room_nid == room_nid and wanted.room_account_data.allows_type(row.type)
        for row in inputs.account_data
    )


@dataclass(slots=True)
class _Builder:
    inputs: SyncInputs
    request: SyncRequest
    by: Requester
    now_ms: int
    counts: Mapping[int, RoomCounts]

    @property
    def wanted(self) -> SyncFilter:
        return self.request.wanted

    def whole(self) -> SyncAnswer:
        inputs, wanted = self.inputs, self.wanted
        result = SyncAnswer(inputs.token)
        of_rooms: dict[int, list[AccountDataRow]] = {}
        for row in inputs.account_data:
            of_rooms.setdefault(row.room_nid, []).append(row)
        for room_nid in told_rooms(inputs, self.request, self.by):
            part = self._joined(room_nid, of_rooms.get(room_nid, ()))
            result.join[inputs.joined[room_nid].room_id] = part.json()
        for room_nid, room in inputs.rooms.items():
            if room.visit.is_left and (room.kept or room.state):
                part = self._part(room)
                part.account_data = self._account_data(room, of_rooms.get(room_nid, ()))
                result.leave[room.visit.room.room_id] = part.json()
        for own, events in inputs.strangers:
            stripped = [stripped_event(each.event) for each in events]
            section = result.invite if own.membership == "invite" else result.knock
            section[own.room_id] = stripped_json(_STRANGERS[own.membership], stripped)
        mine = of_rooms.get(GLOBAL, [])
        if self.request.since is None:
            mine = self._with_push_rules(mine)
        result.account_data = global_account_data(mine, wanted)
        result.presence = [
            presence_json(user_id, presence_content(state, now_ms=self.now_ms))
            for user_id, state in inputs.presence
        ]
        result.to_device = inputs.to_device
        changes = inputs.device_lists
        result.changed, result.left = changes.changed, changes.left
        return result

    def _with_push_rules(self, rows: Sequence[AccountDataRow]) -> list[AccountDataRow]:
        """Who has never changed a rule has rules all the same."""
        kept = next((row for row in rows if row.type == PUSH_RULES), None)
        rules = Ruleset.of(None if kept is None else orjson.loads(kept.content))
        content = orjson.dumps(rules.as_json(self.by.user_id))
        shown = AccountDataRow(0, self.by.user_nid, GLOBAL, PUSH_RULES, content)
        return [*(row for row in rows if row is not kept), shown]

    def _joined(self, room_nid: int, account_data: Sequence[AccountDataRow]) -> RoomPart:
        own, room = self.inputs.joined[room_nid], self.inputs.rooms.get(room_nid)
        part = self._silent() if room is None else self._part(room)
        part.ephemeral = ephemeral(
            own.room_id,
            self.wanted,
            typing=self.inputs.typing.get(room_nid),
            receipts=self.inputs.receipts.get(room_nid, ()),
        )
        part.account_data = room_account_data(own.room_id, account_data, self.wanted)
        part.counts = told_counts(self.counts.get(room_nid), self.wanted)
        return part

    def _silent(self) -> RoomPart:
        """A room in which nothing was said."""
        timeline = Timeline(
            (), limited=False, prev_batch=batch_before(self.inputs.token.events + 1)
        )
        return RoomPart(timeline, state_after=self.request.state_after)

    def _part(self, room: RoomInput) -> RoomPart:
        visit, bodies = room.visit, self.inputs.bodies
        timeline = [
            self._event(bodies[row.event_nid], self._beside(room, row)) for row in room.kept
        ]
        first = (
            room.kept[0].position if room.kept else min(visit.upto, self.inputs.token.events) + 1
        )
        return RoomPart(
            timeline=Timeline(timeline, room.limited, batch_before(first)),
            state=[
                self._event(body, None)
                for nid in room.state
                if self._allows_state(body := bodies[nid])
            ],
            state_after=self.request.state_after,
            summary=b"" if room.size is None else summary_of(room.size, self.by.user_id),
        )

    def _beside(self, room: RoomInput, row: TimelineRow) -> str | None:
        body = self.inputs.bodies[row.event_nid]
        if body.membership is not None and body.state_key == self.by.user_id:
            return body.membership
        return membership_at(room.visit, row)

    def _allows_state(self, body: Body) -> bool:
        return self.wanted.state.allows(body.type, body.sender, has_url=body.has_url)

    def _event(self, body: Body, membership: str | None) -> bytes:
        text = event_json(
            body,
            now_ms=self.now_ms,
            session_nid=self.by.session_nid,
            membership=membership,
            relations=self.inputs.relations.get(body.event_nid, b""),
        )
        return dressed(text, self.wanted)

    def _account_data(self, room: RoomInput, rows: Sequence[AccountDataRow]) -> list[bytes]:
        return room_account_data(room.visit.room.room_id, rows, self.wanted)


def batch_before(position: int) -> str:
    """Where pages of what was before an event begin."""
    return str(SyncToken(events=max(position - 1, 0)))


def global_account_data(rows: Iterable[AccountDataRow], wanted: SyncFilter) -> list[bytes]:
    return [
        account_data_json(row.type, row.content)
        for row in rows
        if wanted.account_data.allows_type(row.type)
    ]


def room_account_data(
    room_id: str, rows: Iterable[AccountDataRow], wanted: SyncFilter
) -> list[bytes]:
    shown = wanted.room_account_data
    if not shown.allows_room(room_id):
        return []
    return [account_data_json(row.type, row.content) for row in rows if shown.allows_type(row.type)]


def ephemeral(
    room_id: str,
    wanted: SyncFilter,
    *,
    typing: Sequence[UserID] | None,
    receipts: Sequence[ReadRow],
) -> list[bytes]:
    """typing: who writes; None: that has not changed."""
    shown = wanted.ephemeral
    if not shown.allows_room(room_id):
        return []
    found = []
    if typing is not None and shown.allows_type("m.typing"):
        found.append(ephemeral_json("m.typing", {"user_ids": list(typing)}))
    if receipts and shown.allows_type("m.receipt"):
        newest = {(each.reader_nid, each.kind, each.thread): each for each in receipts}
        found += [
            ephemeral_json("m.receipt", content) for content in receipt_contents(newest.values())
        ]
    return found


def summary_of(size: RoomSize, reader: str) -> bytes:
    return summary_json(size.joined, size.invited, size.heroes_for(reader))


def told_counts(counts: RoomCounts | None, wanted: SyncFilter) -> bytes:
    """C-S API v1.19 "Receiving notifications"."""
    if counts is None:
        return b""
    notifications, highlights = counts.notification_count, counts.highlight_count
    if not wanted.threads:
        return counts_json(notifications, highlights, None)
    # "these counts will only be for the main timeline rather than all events in the room"
    notifications -= sum(of[0] for of in counts.threads.values())
    highlights -= sum(of[1] for of in counts.threads.values())
    return counts_json(notifications, highlights, counts.threads)
