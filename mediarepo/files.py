"""Putting files into a store and taking them out, so that rows and files always fit.

    spooled → put into the store, synced → row claimed, with the rows that use it → looked after

As long as a file is spooled it may stand in the store without a row, or have a row without standing
there: after a crash `recover` removes the one, and mends the other. The latter is rare. A file goes
while its row is locked, so nobody can claim it meanwhile; who put it there just before, and claims
it just afterwards, finds it gone, and puts it there again before anybody hears of it.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from homeserver.clock import Clock
from homeserver.errors import Unavailable
from homeserver.storage import media_files
from homeserver.storage.database import Connection, Database
from homeserver.storage.media_files import FileRecord
from mediarepo.spool import Arrived, Spool, Spooled
from mediarepo.store import Missing, Store
from mediarepo.store.filesystem import FilesystemStore

T = TypeVar("T")

Record = Callable[[FileRecord], Awaitable[tuple[FileRecord, T]]]
"""Commits the row of a file that was put into a store, and the rows that use it. Returns where the
file is by its row, which may have been there before, and what else there is to tell.
"""

_MAX_LEFT_OVER = 10_000

log = structlog.get_logger(__name__)


class Files:
    """All files, wherever they are kept.

    stores: by their names; new_store: the name of the one where new files go.
    """

    def __init__(
        self,
        *,
        database: Database,
        stores: Mapping[str, Store],
        new_store: str,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._database = database
        self._stores = stores
        self._new_store = new_store
        self._spool = spool
        self._clock = clock
        self._left_over: set[bytes] = set()

    async def keep(self, stream: AsyncIterable[bytes], *, max_bytes: int, record: Record[T]) -> T:
        """Stores what comes; returns what `record` returns. When this returns it is safe.

        Raises TooLarge, StoreUnavailable, Unavailable, and what the stream and `record` raise:
        then nothing is stored.
        """
        async with self._spool.receive(stream, max_bytes=max_bytes) as arrived:
            try:
                spooled = await self._put(arrived)
                kept = await record(self._new_file(spooled))
            except BaseException:
                if arrived.spooled is not None:
                    await self._forget_if_unknown(arrived.spooled.sha256)
                raise
            return await self._settle(spooled, *kept)

    @asynccontextmanager
    async def received(
        self, stream: AsyncIterable[bytes], *, max_bytes: int
    ) -> AsyncIterator[Spooled]:
        """What comes, on the disk of this machine for as long as the block lasts. Raises as the
        first half of `keep` does.
        """
        async with self._spool.receive(stream, max_bytes=max_bytes) as arrived:
            yield await self._spool.run(arrived.finish)

    async def store(self, spooled: Spooled, record: Record[T]) -> T:
        """Stores what was received. Raises as `keep` does."""
        try:
            # A store that fails may have kept it all the same.
            await self._stores[self._new_store].put(spooled.sha256, spooled.path)
            kept = await record(self._new_file(spooled))
        except BaseException:
            await self._forget_if_unknown(spooled.sha256)
            raise
        return await self._settle(spooled, *kept)

    async def _put(self, arrived: Arrived) -> Spooled:
        """Into the store; in the same turn of a thread where that is a folder."""
        store = self._stores[self._new_store]
        if isinstance(store, FilesystemStore):
            return await self._spool.run(partial(_finish_into, store, arrived))
        spooled = await self._spool.run(arrived.finish)
        await store.put(spooled.sha256, spooled.path)
        return spooled

    def _new_file(self, spooled: Spooled) -> FileRecord:
        return FileRecord(spooled.sha256, spooled.size, self._new_store)

    async def _settle(self, spooled: Spooled, file: FileRecord, result: T) -> T:
        """What was recorded is where its row says, and nowhere else."""
        if not await self._is_there(file):
            await self._look_after(spooled)
        if file.store != self._new_store:
            await self.remove_copy(spooled.sha256, self._new_store)
        return result

    def claiming(self, record: Callable[[Connection, FileRecord], Awaitable[T]]) -> Record[T]:
        """For rows of any kind: they are written in the transaction that claims the file."""

        async def commit(new: FileRecord) -> tuple[FileRecord, T]:
            async with self._database.transaction() as db:
                file = await media_files.claim(db, new, self._clock.now_ms())
                return file, await record(db, file)

        return commit

    async def open(
        self, file: FileRecord, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, and without, `end`. Raises StoreUnavailable."""
        chunks = self._stores[file.store].open(file.sha256, start=start, end=end)
        try:
            first = await anext(chunks)
        except StopAsyncIteration:
            return
        except Missing:
            now = await self._elsewhere(file)
            chunks = self._stores[now.store].open(file.sha256, start=start, end=end)
        else:
            yield first
        async for chunk in chunks:
            yield chunk

    @asynccontextmanager
    async def descriptor(self, file: FileRecord) -> AsyncIterator[int | None]:
        """Of a file, for as long as the block lasts; None: it is not on the disk of this machine.

        Raises StoreUnavailable.
        """
        try:
            descriptor = await self._descriptor(file)
        except Missing:
            descriptor = await self._descriptor(await self._elsewhere(file))
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    async def _descriptor(self, file: FileRecord) -> int | None:
        store = self._stores[file.store]
        return await store.descriptor(file.sha256) if isinstance(store, FilesystemStore) else None

    def path(self, file: FileRecord) -> Path | None:
        """Where a file is on the disk of this machine; None: it is elsewhere."""
        store = self._stores[file.store]
        return store.path(file.sha256) if isinstance(store, FilesystemStore) else None

    @asynccontextmanager
    async def on_disk(self, file: FileRecord) -> AsyncIterator[Path]:
        """A path that the file can be read from for as long as the block lasts; never write there.

        Raises StoreUnavailable.
        """
        path = self.path(file)
        if path is not None and not path.exists():
            path = self.path(await self._elsewhere(file))
        if path is not None:
            yield path
            return
        async with self.received(self.open(file), max_bytes=file.size) as spooled:
            yield spooled.path

    async def _elsewhere(self, file: FileRecord) -> FileRecord:
        """Where a file is now that was moved meanwhile. Raises Missing."""
        async with self._database.connection() as db:
            now = await media_files.get(db, file.sha256)
        if now is None or now.store == file.store:
            raise Missing("The file is not where it should be.")
        return now

    async def discard(self, sha256: bytes) -> bool:
        """Removes a file that nothing is made of any more; whether there was one to remove."""
        async with self._database.transaction() as db:
            file = await media_files.lock_unused(db, sha256)
            if file is None:
                return False
            await self._stores[file.store].delete(sha256)
            await media_files.forget(db, sha256, self._clock.now_ms())
        return True

    async def recover(self) -> int:
        """Removes what processes that were cut off left behind, and mends what they left half done;
        returns how many files were removed.

        Raises Unavailable.
        """
        removed = 0
        for sha256 in tuple(self._left_over):
            removed += await self.remove_unknown(sha256, self._new_store)
            self._left_over.discard(sha256)
        for left in self._spool.abandoned():
            for spooled in left.files:
                if await self.remove_unknown(spooled.sha256, self._new_store):
                    removed += 1
                else:
                    await self._mend(spooled)
            self._spool.clear(left)
        return removed

    async def remove_unknown(self, sha256: bytes, store: str) -> bool:
        """Removes a file from a store unless there is a row of it; whether it was removed."""
        now_ms = self._clock.now_ms()
        async with self._database.transaction() as db:
            if not await media_files.lock_unknown(db, sha256, store=store, now_ms=now_ms):
                return False
            await self._stores[store].delete(sha256)
            await media_files.forget(db, sha256, now_ms)
        return True

    async def remove_copy(self, sha256: bytes, store: str) -> None:
        """Removes a file from a store unless that is where it belongs."""
        async with self._database.transaction() as db:
            file = await media_files.lock(db, sha256)
            if file is not None and file.store != store:
                await self._stores[store].delete(sha256)

    async def _is_there(self, file: FileRecord) -> bool:
        path = self.path(file)
        if path is not None:  # a thread would take longer than to look at what was just put there
            return path.exists()
        return await self._stores[file.store].size(file.sha256) == file.size

    async def _look_after(self, spooled: Spooled) -> None:
        """What cannot be mended now is when the server starts again."""
        try:
            await self._mend(spooled)
        except BaseException:
            self._spool.leave(spooled)
            raise

    async def _mend(self, spooled: Spooled) -> None:
        """Puts a file where its row says that it is, unless it is there."""
        async with self._database.transaction() as db:
            file = await media_files.lock(db, spooled.sha256)
            if file is None:
                return
            store = self._stores[file.store]
            if await store.size(file.sha256) != file.size:
                await store.put(file.sha256, spooled.path)

    async def _forget_if_unknown(self, sha256: bytes) -> None:
        """Where that is impossible now, `recover` tries again."""
        try:
            await self.remove_unknown(sha256, self._new_store)
        except Unavailable as error:
            if len(self._left_over) < _MAX_LEFT_OVER:
                self._left_over.add(sha256)
            log.warning("media_left_over", sha256=sha256.hex(), reason=str(error))


def _finish_into(store: FilesystemStore, arrived: Arrived) -> Spooled:
    spooled = arrived.finish()
    store.put_now(spooled.sha256, spooled.path)
    return spooled
