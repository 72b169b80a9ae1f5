"""Receipts as Matrix clients are told of them. Pure.

Source: C-S API v1.19 "Receipts", `m.receipt`.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from homeserver.identifiers import EventID, UserID

_UNTHREADED = ""

Content = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""By event, type of receipt, and user."""


class Receipt(Protocol):
    """How far somebody read. `thread`: '' for the whole room, 'main', or the ID of a root."""

    @property
    def event_id(self) -> EventID: ...
    @property
    def reader_id(self) -> UserID: ...
    @property
    def ts(self) -> int: ...
    @property
    def thread(self) -> str: ...
    @property
    def is_private(self) -> bool: ...


def receipt_contents(receipts: Iterable[Receipt]) -> list[Content]:
    """The contents of `m.receipt` events that tell of the receipts of one room: one, or none where
    there is nothing to tell.

    Only where somebody has read up to the same event in two threads there are more, because a
    content has but one place for them. A receipt for the whole room says all that those for
    threads at the same event say.
    """
    contents: list[Content] = []
    for receipt in sorted(receipts, key=lambda each: each.thread != _UNTHREADED):
        kind = "m.read.private" if receipt.is_private else "m.read"
        for content in contents:
            users = content.setdefault(receipt.event_id, {}).setdefault(kind, {})
            there = users.setdefault(receipt.reader_id, _receipt(receipt))
            if there.get("thread_id", _UNTHREADED) in (_UNTHREADED, receipt.thread):
                break
        else:
            users = {receipt.reader_id: _receipt(receipt)}
            contents.append({receipt.event_id: {kind: users}})
    return contents


def _receipt(receipt: Receipt) -> dict[str, Any]:
    if receipt.thread == _UNTHREADED:
        return {"ts": receipt.ts}
    return {"ts": receipt.ts, "thread_id": receipt.thread}
