"""Runs the steps of a machine on a store."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from e2e.client.key_sharing import Audience
from e2e.client.machine import Machine
from e2e.client.primitives import Entropy
from e2e.client.records import FETCHED, Note
from e2e.client.store.protocol import Store
from e2e.client.vault import NotLoaded, Vault

T = TypeVar("T")


class Keeper:
    """One step at a time. What a step returns is handed out after the store has its changes, so a
    message that leaves was stored, and a crash repeats no state of a ratchet.
    """

    def __init__(self, *, store: Store, vault: Vault, machine: Machine) -> None:
        self._store = store
        self._vault = vault
        self._machine = machine
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        user_id: str,
        device_id: str,
        entropy: Entropy,
        audience: Audience = Audience.CROSS_SIGNED,
    ) -> "Keeper":
        """Makes the device's keys if the store has none.
        Raises BadKeys for a store of another device, BadSecret for one of another key.
        """
        vault = Vault(await store.load(without=FETCHED), fetched=FETCHED)
        Machine.prepare(vault, user_id=user_id, device_id=device_id)
        await store.write(vault.changes())
        vault.commit()
        machine = Machine(vault=vault, entropy=entropy, audience=audience)
        return cls(store=store, vault=vault, machine=machine)

    async def run(self, step: Callable[[Machine], T]) -> T:
        """Raises what the step raises, and what the store raises: then nothing has changed."""
        async with self._turn:
            while True:
                try:
                    result = step(self._machine)
                except NotLoaded as need:
                    self._vault.rollback()
                    self._vault.learn(await self._store.fetch(need.keys))
                    continue
                except BaseException:
                    self._vault.rollback()
                    raise
                await self._keep()
                return result

    async def note(self, name: str) -> str | None:
        """Text that the client on top keeps beside."""
        async with self._turn:
            found = self._vault.get(Note, name)
            return None if found is None else found.text

    async def run_and_note(self, step: Callable[[Machine], T], name: str, text: str) -> T:
        """A step, and a note that is kept exactly if the step's changes are."""

        def both(machine: Machine) -> T:
            result = step(machine)
            self._vault.put(name, Note(text))
            return result

        return await self.run(both)

    async def close(self) -> None:
        await self._store.close()

    async def _keep(self) -> None:
        changes = self._vault.changes()
        if not changes:
            return
        # Not to be cut off half-way: the store may have the changes, so memory must, too.
        writing = asyncio.ensure_future(self._store.write(changes))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            self._settle(writing)
            raise
        except BaseException:
            self._vault.rollback()
            raise
        self._vault.commit()

    def _settle(self, writing: "asyncio.Future[None]") -> None:
        if writing.exception() is None:
            self._vault.commit()
        else:
            self._vault.rollback()
