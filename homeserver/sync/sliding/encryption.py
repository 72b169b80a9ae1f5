"""The extensions of sliding sync that encryption needs (MSC3885 `to_device`, MSC3884 `e2ee`).

Messages to devices have a position of their own: `since` says what the device has, whatever the
connection was told.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from e2e.device_lists import NO_CHANGES, DeviceListChanges, changes_since, load_changes
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.storage.database import Connection
from homeserver.storage.one_time_keys import Stock
from homeserver.storage.sync_reads import Positions
from homeserver.sync.answer import told_key_counts
from homeserver.sync.encryption_reading import MAX_TO_DEVICE, waiting_messages
from homeserver.sync.journal import News
from homeserver.sync.sliding.request import ExtensionWish, SlidingRequest
from homeserver.sync.token import SyncToken

TO_DEVICE, E2EE = "to_device", "e2ee"
_SINCE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EncryptionNews:
    """to_device: events as JSON, up to `next_batch`."""

    to_device: Sequence[bytes] = ()
    next_batch: int = 0
    device_lists: DeviceListChanges = NO_CHANGES


def position_of(wish: ExtensionWish | None) -> int:
    """What the device says it has. Raises InvalidInput."""
    since = None if wish is None else wish.since
    if not since:
        return 0
    if not _SINCE.fullmatch(since):
        raise InvalidInput("This is no position of this server.", field="to_device.since")
    return int(since)


async def read_news(
    db: Connection,
    by: Requester,
    request: SlidingRequest,
    *,
    done: int,
    since: SyncToken | None,
    now: Positions,
) -> EncryptionNews:
    """done: position of the messages that the device has. since: what the connection was told."""
    events: Sequence[bytes] = ()
    next_batch = now.to_device
    wish = request.extensions.get(TO_DEVICE)
    if wish is not None:
        after = done if done <= now.to_device else 0
        limit = min(wish.limit or MAX_TO_DEVICE, MAX_TO_DEVICE)
        events, next_batch = await waiting_messages(
            db, by.session_nid, after=after, upto=now.to_device, limit=limit
        )
    changes = NO_CHANGES
    if E2EE in request.extensions and since is not None:
        changes = await _changes(db, by, since, now)
    return EncryptionNews(events, next_batch, changes)


async def _changes(
    db: Connection, by: Requester, since: SyncToken, now: Positions
) -> DeviceListChanges:
    """Memberships are looked at only where something happened in rooms."""
    if since.events < now.events:
        return await load_changes(db, by, events=since.events, device_lists=since.device_lists)
    if since.device_lists < now.device_lists:
        return await changes_since(db, by, {}, {}, after=since.device_lists)
    return NO_CHANGES


def extensions(news: EncryptionNews, request: SlidingRequest, stock: Stock) -> dict[str, Any]:
    """What is told always, even where there is nothing new: positions and counts."""
    found: dict[str, Any] = {}
    if TO_DEVICE in request.extensions:
        found[TO_DEVICE] = {
            "next_batch": str(news.next_batch),
            "events": [orjson.Fragment(event) for event in news.to_device],
        }
    if E2EE in request.extensions:
        found[E2EE] = {
            "device_one_time_keys_count": told_key_counts(stock.counts),
            "device_unused_fallback_key_types": list(stock.unused),
        }
        changes = news.device_lists
        if changes:
            found[E2EE]["device_lists"] = {
                "changed": sorted(changes.changed),
                "left": sorted(changes.left),
            }
    return found


def tell_nothing(told: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether extensions say nothing that a client would want to be woken for."""
    return not any(
        body.get("events") or body.get("device_lists") if name in (TO_DEVICE, E2EE) else True
        for name, body in told.items()
    )


def concerns(news: News, request: SlidingRequest) -> bool:
    """Whether a connection with these extensions may have something to tell."""
    if TO_DEVICE not in request.extensions:
        news.to_device = ()
    if E2EE not in request.extensions:
        news.devices = ()
    return not news.is_empty
