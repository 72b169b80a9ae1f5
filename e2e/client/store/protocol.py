"""What a store is."""

from collections.abc import Collection, Mapping
from typing import Protocol

from e2e.client.errors import CryptoError
from e2e.client.vault import Changes, Key


class StoreInUse(CryptoError):
    """Another process has the store open. Two that use one ratchet would repeat its states."""


class Store(Protocol):
    """Rows of one device. One process has it open at a time."""

    async def load(self, *, without: Collection[str]) -> dict[Key, bytes]:
        """All rows but those of these kinds."""
        ...

    async def fetch(self, keys: Collection[Key]) -> Mapping[Key, bytes | None]:
        """These rows; None for what is not there."""
        ...

    async def write(self, changes: Changes) -> None:
        """All or nothing, and durable when it returns."""
        ...

    async def close(self) -> None: ...
