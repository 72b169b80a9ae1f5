"""What operators do with media: look, remove, put into quarantine, move, verify.

Everything goes some rows at a time and each step counts by itself, so what was interrupted goes on
when it is started again.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256 as new_sha256
from uuid import UUID

from homeserver.clock import Clock
from homeserver.errors import StoreUnavailable
from homeserver.storage import media_expiry, media_files
from homeserver.storage.database import Connection, Database
from homeserver.storage.media_expiry import Removed, Selection
from homeserver.storage.media_files import FileRecord
from mediarepo.files import Files
from mediarepo.store import Missing, Store

AT_ONCE = 200
_SHOWN = 10
_NO_HASH = b""

Told = Callable[[int, int], None]
"""Called with a number of files that are done, and their bytes."""


@dataclass(slots=True)
class Finding:
    """A rule, and what breaks it: how many, and the first of them as text."""

    rule: str
    broken: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.broken += 1
        if len(self.first) < _SHOWN:
            self.first.append(what)


class Maintenance:
    """announce: tells processes that run what changed, by UUID."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        stores: dict[str, Store],
        announce: Callable[[UUID], None],
        clock: Clock,
    ) -> None:
        self._database = database
        self._files = files
        self._stores = stores
        self._announce = announce
        self._clock = clock

    async def count(self, selection: Selection) -> tuple[int, int]:
        """How many media are selected, and their bytes."""
        async with self._database.connection() as db:
            return await media_expiry.count(db, selection)

    async def purge(self, selection: Selection, progress: Told) -> int:
        """Removes media, then files that nothing is made of any more; returns how many media."""

        async def some(db: Connection) -> Sequence[Removed]:
            now_ms = self._clock.now_ms()
            return await media_expiry.remove_selected(db, selection, now_ms, AT_ONCE)

        total = 0
        while removed := await self._database.retrying(some):
            for each in removed:
                self._announce(each.uuid)
            total += len(removed)
            progress(len(removed), sum(each.size for each in removed))
        await self._discard_unused()
        return total

    async def quarantine(self, selection: Selection, *, lift: bool) -> int:
        """Puts media into quarantine, or lets them out; returns how many."""
        at_ms = None if lift else self._clock.now_ms()
        after: UUID | None = None
        total = 0
        while True:
            async with self._database.transaction() as db:
                found = await media_expiry.quarantine(
                    db, selection, at_ms, after=after, limit=AT_ONCE
                )
            for each in found:
                self._announce(each)
            if not found:
                return total
            total, after = total + len(found), found[-1]

    async def quarantine_content(self, sha256: bytes, *, lift: bool) -> int:
        """The same for content, wherever it stands or will stand; returns how many have it."""
        async with self._database.transaction() as db:
            if lift:
                await media_files.release(db, sha256)
            else:
                await media_files.quarantine(db, sha256, self._clock.now_ms())
            uuids = await media_files.media_of(db, sha256)
        for each in uuids:
            self._announce(each)
        return len(uuids)

    async def totals(self, store: str | None = None) -> tuple[int, int]:
        """How many files a store has, or all, and their bytes."""
        async with self._database.connection() as db:
            return await media_files.totals(db, store=store)

    async def move(self, target: str, progress: Told) -> int:
        """Brings all files from elsewhere into a store; returns how many.

        A file is in both until its row says where it is.
        """
        total = 0
        for source in self._stores.keys() - {target}:
            async for file in self._pages(store=source):
                if await self._move(file, target):
                    total += 1
                progress(1, file.size)
        return total

    async def _move(self, file: FileRecord, target: str) -> bool:
        async with self._files.on_disk(file) as path:
            await self._stores[target].put(file.sha256, path)
        async with self._database.transaction() as db:
            now = await media_files.lock(db, file.sha256)
            if now is not None and now.store == file.store:
                await media_files.set_store(db, file.sha256, target)
        if now is None:
            await self._files.remove_unknown(file.sha256, target)
            return False
        await self._files.remove_copy(file.sha256, file.store)
        return True

    async def verify(self, *, contents: bool, progress: Told) -> list[Finding]:
        """Compares rows and stores, both ways. contents: also read every file.

        Raises StoreUnavailable.
        """
        missing = Finding("Every file that the database knows is in its store, in full size")
        broken = Finding("Every file has the content that its name says")
        unknown = Finding("Every file in a store is known to the database")
        async for file in self._pages():
            await self._look_at(file, missing, broken if contents else None)
            progress(1, file.size)
        for store in self._stores.values():
            await self._look_for_unknown(store, unknown)
        return [missing, *([broken] if contents else []), unknown]

    async def _look_at(self, file: FileRecord, missing: Finding, broken: Finding | None) -> None:
        """A file that moved or went while it was looked for is no finding."""
        digits = file.sha256.hex()
        if await self._stores[file.store].size(file.sha256) != file.size:
            async with self._database.connection() as db:
                now = await media_files.get(db, file.sha256)
            if now == file:
                missing.add(digits)
        elif broken is not None and await self._hash(file) not in {file.sha256, None}:
            broken.add(digits)

    async def _hash(self, file: FileRecord) -> bytes | None:
        digest = new_sha256()
        try:
            async for chunk in self._files.open(file):
                digest.update(chunk)
        except Missing:
            return None
        return digest.digest()

    async def _look_for_unknown(self, store: Store, unknown: Finding) -> None:
        batch: list[bytes] = []
        async for held in store.list():
            batch.append(held.sha256)
            if len(batch) == AT_ONCE:
                await self._check_known(store, batch, unknown)
                batch = []
        await self._check_known(store, batch, unknown)

    async def _check_known(self, store: Store, hashes: list[bytes], unknown: Finding) -> None:
        async with self._database.connection() as db:
            known = await media_files.known(db, hashes)
        for sha256 in hashes:
            file = known.get(sha256)
            if (file is None or file.store != store.name) and not await self._is_coming(
                sha256, store
            ):
                unknown.add(f"{store.name}: {sha256.hex()}")

    async def _is_coming(self, sha256: bytes, store: Store) -> bool:
        """Whether somebody is just about to commit its row, or has just removed the file."""
        async with self._database.transaction() as db:
            now_ms = self._clock.now_ms()
            is_new = await media_files.lock_unknown(db, sha256, store=store.name, now_ms=now_ms)
            is_there = await store.size(sha256) is not None
            if is_new:
                await media_files.forget(db, sha256, now_ms)
                return not is_there
            now = await media_files.get(db, sha256)
        return not is_there or (now is not None and now.store == store.name)

    async def _discard_unused(self) -> None:
        while True:
            async with self._database.connection() as db:
                hashes = await media_files.unused(db, AT_ONCE)
            if not any([await self._files.discard(each) for each in hashes]):
                return

    async def _pages(self, store: str | None = None) -> AsyncIterator[FileRecord]:
        after = _NO_HASH
        while True:
            async with self._database.connection() as db:
                page = await media_files.page(db, after=after, limit=AT_ONCE, store=store)
            if not page:
                return
            for each in page:
                yield each
            after = page[-1].sha256


def are_whole(findings: Iterable[Finding]) -> bool:
    return not any(each.broken for each in findings)


def require_store(stores: Sequence[str], name: str) -> None:
    """Raises StoreUnavailable."""
    if name not in stores:
        raise StoreUnavailable(f"There is no store {name!r}: media.s3.bucket is missing.")
