"""Reading what a sync tells a device beside rooms: messages to it, and whose devices changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from e2e.device_lists import changes_since
from homeserver.storage import to_device
from homeserver.storage.database import Connection
from homeserver.sync.reading import Reading

MAX_TO_DEVICE = 100
"""Messages of one answer. Source: "100 messages is recommended as a reasonable limit"."""


async def waiting_messages(
    db: Connection,
    session_nid: int,
    *,
    after: int,
    upto: int,
    limit: int = MAX_TO_DEVICE,
    max_bytes: int | None = None,
) -> tuple[Sequence[bytes], int]:
    """The oldest messages to a device after a position, and up to where these are all. What does
    not fit comes with the next answer. upto: where the stream stands.
    """
    rows = await to_device.waiting(db, session_nid, after=after, limit=limit + 1)
    told = rows[: fitting([event for _, event in rows[:limit]], max_bytes)]
    return [event for _, event in told], told[-1][0] if len(rows) > len(told) else upto


def fitting(messages: Sequence[bytes], max_bytes: int | None) -> int:
    """How many of the messages have so many bytes together; at least the first."""
    if max_bytes is None:
        return len(messages)
    sizes = accumulate(map(len, messages))
    return max(1, sum(size <= max_bytes for size in sizes))


@dataclass(slots=True)
class EncryptionReading(Reading):
    """After the rooms: who came and went there is known then."""

    async def read(self) -> None:
        await self._to_device()
        await self._device_lists()

    async def _to_device(self) -> None:
        token = self.inputs.token
        self.inputs.to_device, told = await waiting_messages(
            self.db,
            self.who.by.session_nid,
            after=0 if self.since is None else self.since.to_device,
            upto=token.to_device,
        )
        self.inputs.token = replace(token, to_device=told)

    async def _device_lists(self) -> None:
        """ "only present on an incremental sync" """
        if self.since is not None:
            self.inputs.device_lists = await changes_since(
                self.db,
                self.who.by,
                self.inputs.own,
                self.inputs.moved,
                after=self.since.device_lists,
            )
