"""Reading what a sync tells a device beside rooms: messages to it, and whose devices changed."""

from dataclasses import dataclass, replace

from e2e.device_lists import changes_since
from homeserver.storage import to_device
from homeserver.sync.reading import Reading

MAX_TO_DEVICE = 100
"""Messages of one answer. Source: "100 messages is recommended as a reasonable limit"."""


@dataclass(slots=True)
class EncryptionReading(Reading):
    """After the rooms: who came and went there is known then."""

    async def read(self) -> None:
        await self._to_device()
        await self._device_lists()

    async def _to_device(self) -> None:
        """What does not fit comes with the next answer."""
        after = 0 if self.since is None else self.since.to_device
        rows = await to_device.waiting(
            self.db, self.who.by.session_nid, after=after, limit=MAX_TO_DEVICE + 1
        )
        self.inputs.to_device = [event for _, event in rows[:MAX_TO_DEVICE]]
        if len(rows) > MAX_TO_DEVICE:
            position, _ = rows[MAX_TO_DEVICE - 1]
            self.inputs.token = replace(self.inputs.token, to_device=position)

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
