"""An answer to a sync, from pieces of JSON that are ready. Pure.

What many readers are told in common is made once; here it is only put together.
Source: C-S API v1.19 `sync.yaml`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.sync.filters import SyncFilter, narrowed
from homeserver.sync.token import SyncToken

_KEPT = tuple((name,) for name in ("event_id", "type", "state_key", "sender", "origin_server_ts"))
"""Of a narrowed event these stay in any case, for an event without them is none; see "A server
may include more fields than were requested"."""


@dataclass(slots=True)
class Timeline:
    """events: the oldest first. prev_batch: where what was before them ends."""

    events: Sequence[bytes]
    limited: bool
    prev_batch: str


@dataclass(slots=True)
class RoomPart:
    """What there is to tell of a room that somebody is in, or was. state_after: whether `state`
    is as of the end of the timeline. summary: JSON, or nothing.
    """

    timeline: Timeline
    state: Sequence[bytes] = ()
    state_after: bool = False
    summary: bytes = b""
    ephemeral: Sequence[bytes] = ()
    account_data: Sequence[bytes] = ()
    counts: bytes = b""

    def json(self) -> bytes:
        return shared_json(self) + own_json(self)


@dataclass(slots=True)
class SyncAnswer:
    """Everything that one reader is told, by room ID and section. changed, left: whose devices
    changed, and who shares no room any more. stock: what `stock_json` made of his device's; it is
    told beside everything else.
    """

    token: SyncToken
    join: dict[str, bytes] = field(default_factory=dict)
    invite: dict[str, bytes] = field(default_factory=dict)
    knock: dict[str, bytes] = field(default_factory=dict)
    leave: dict[str, bytes] = field(default_factory=dict)
    presence: Sequence[bytes] = ()
    account_data: Sequence[bytes] = ()
    to_device: Sequence[bytes] = ()
    changed: Collection[str] = ()
    left: Collection[str] = ()
    stock: bytes = b""

    @property
    def is_empty(self) -> bool:
        return not (
            self.join
            or self.presence
            or self.account_data
            or self.invite
            or self.leave
            or self.knock
            or self.to_device
            or self.changed
            or self.left
        )

    def json(self) -> bytes:
        parts = [b'{"next_batch":"%b"%b' % (str(self.token).encode(), self.stock)]
        sections = [b'"join":{%b}' % _members(self.join)] if self.join else []
        for name, rooms in (
            (b"invite", self.invite),
            (b"knock", self.knock),
            (b"leave", self.leave),
        ):
            if rooms:
                sections.append(b'"%b":{%b}' % (name, _members(rooms)))
        if sections:
            parts.append(b'"rooms":{%b}' % b",".join(sections))
        if self.account_data:
            parts.append(b'"account_data":' + events_json(self.account_data))
        if self.presence:
            parts.append(b'"presence":' + events_json(self.presence))
        if self.to_device:
            parts.append(b'"to_device":' + events_json(self.to_device))
        if self.changed or self.left:
            parts.append(b'"device_lists":' + device_lists_json(self.changed, self.left))
        return b",".join(parts) + b"}"


def shared_json(part: RoomPart) -> bytes:
    """What all readers with the same filter are told of a room; `own_json` goes behind it."""
    timeline = part.timeline
    text = b'{"timeline":{"events":[%b],"limited":%b,"prev_batch":"%b"},"%b":%b' % (
        b",".join(timeline.events),
        b"true" if timeline.limited else b"false",
        timeline.prev_batch.encode(),
        b"state_after" if part.state_after else b"state",
        events_json(part.state),
    )
    return text + b',"summary":' + part.summary if part.summary else text


def own_json(part: RoomPart) -> bytes:
    """What one reader is told of a room; the end of its object."""
    text = part.counts
    if part.ephemeral:
        text += b',"ephemeral":' + events_json(part.ephemeral)
    if part.account_data:
        text += b',"account_data":' + events_json(part.account_data)
    return text + b"}"


def left_json(part: RoomPart) -> bytes:
    """A room that the reader has left has neither a summary nor anything of the moment."""
    return shared_json(part) + own_json(part)


def events_json(events: Iterable[bytes]) -> bytes:
    return b'{"events":[%b]}' % b",".join(events)


def ephemeral_json(event_type: str, content: Mapping[str, Any]) -> bytes:
    """An event that is no part of a room's history."""
    return orjson.dumps({"type": event_type, "content": content})


def account_data_json(event_type: str, content: bytes) -> bytes:
    return b'{"type":%b,"content":%b}' % (orjson.dumps(event_type), content)


def presence_json(sender: str, content: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": "m.presence", "sender": sender, "content": content})


def device_lists_json(changed: Iterable[str], left: Iterable[str]) -> bytes:
    return orjson.dumps({"changed": sorted(changed), "left": sorted(left)})


def stock_json(counts: Mapping[str, int], unused: Sequence[str]) -> bytes:
    """What a device has to hand out: one-time keys by algorithm, and algorithms of fallback keys
    that nobody was given yet. Some clients take an algorithm that is not named for one of which
    nothing is known. Source: C-S API v1.19 "Extensions to /sync".
    """
    return b',"device_one_time_keys_count":%b,"device_unused_fallback_key_types":%b' % (
        orjson.dumps(told_key_counts(counts)),
        orjson.dumps(list(unused)),
    )


def told_key_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {"signed_curve25519": 0, **counts}


def stripped_json(name: bytes, events: Sequence[Mapping[str, Any]]) -> bytes:
    """name: invite_state, knock_state."""
    return b'{"%b":{"events":%b}}' % (name, orjson.dumps(list(events)))


def counts_json(
    notifications: int, highlights: int, threads: Mapping[str, tuple[int, int]] | None
) -> bytes:
    """threads: by the ID of the root; None where the client did not ask for them."""
    text = b',"unread_notifications":{"notification_count":%d,"highlight_count":%d}' % (
        notifications,
        highlights,
    )
    if not threads:
        return text
    told = {
        root: {"notification_count": of[0], "highlight_count": of[1]}
        for root, of in threads.items()
    }
    return text + b',"unread_thread_notifications":' + orjson.dumps(told)


def summary_json(joined: int, invited: int, heroes: Sequence[str] | None) -> bytes:
    """heroes: None for a room that has a name."""
    summary: dict[str, Any] = {"m.joined_member_count": joined, "m.invited_member_count": invited}
    if heroes is not None:
        summary["m.heroes"] = list(heroes)
    return orjson.dumps(summary)


def dressed(event: bytes, wanted: SyncFilter) -> bytes:
    """An event with the fields that the client asked for. Source: "event_fields"."""
    if wanted.fields is None:
        return event
    return orjson.dumps(narrowed(orjson.loads(event), (*_KEPT, *wanted.fields)))


def _members(rooms: Mapping[str, bytes]) -> bytes:
    return b",".join([b"%b:%b" % (orjson.dumps(room_id), part) for room_id, part in rooms.items()])
