"""Rows and files fit, whatever happens between the one and the other."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

import pytest

from homeserver.clock import SystemClock
from homeserver.errors import InvalidInput, StoreUnavailable
from homeserver.identifiers import ServerName
from homeserver.storage import media, media_files
from homeserver.storage.database import Connection, Database
from homeserver.storage.media import NewMedia
from homeserver.storage.media_files import FileRecord
from mediarepo.files import Files
from mediarepo.spool import Spool
from mediarepo.store.filesystem import FilesystemStore

DATA = b"a file"
HASH = hashlib.sha256(DATA).digest()


class World:
    """What a process has, and what stays when it is gone."""

    def __init__(self, database: Database, folder: Path, executor: ThreadPoolExecutor) -> None:
        self.database = database
        self.store = FilesystemStore(folder=folder / "files", executor=executor)
        self._folder = folder
        self._executor = executor
        self.spool, self.files = self.process()

    def process(self) -> tuple[Spool, Files]:
        spool = Spool(folder=self._folder / "spool", executor=self._executor)
        files = Files(
            database=self.database,
            stores={self.store.name: self.store},
            new_store=self.store.name,
            spool=spool,
            clock=SystemClock(),
        )
        return spool, files

    def starts_again(self) -> None:
        self.spool.close()
        self.spool, self.files = self.process()

    async def keep(self, before: list[bytes]) -> None:
        """A file whose content goes from the store just before its row is written."""

        async def record(db: Connection, file: FileRecord) -> None:
            for each in before:
                await self.store.delete(each)

        await self.files.keep(pieces(), max_bytes=100, record=self.files.claiming(record))

    async def row(self) -> FileRecord | None:
        async with self.database.connection() as db:
            return await media_files.get(db, HASH)

    def left(self) -> Iterator[bytes]:
        return (
            each.read_bytes()
            for each in (self._folder / "spool").rglob("*")
            if each.is_file() and each.name != "lock"
        )


def new_media(file: FileRecord) -> NewMedia:
    return NewMedia(
        origin=ServerName("example.org"),
        media_id=token_hex(12),
        user_nid=None,
        file=file,
        content_type="text/plain",
        filename=None,
    )


async def pieces() -> AsyncIterator[bytes]:
    yield DATA[:2]
    yield DATA[2:]


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    with ThreadPoolExecutor(2) as executor:
        yield World(database, tmp_path, executor)


class TestStore:
    async def test_a_file_has_a_row_and_nothing_stays_spooled(self, world: World) -> None:
        await world.keep([])
        assert await world.row() == FileRecord(HASH, len(DATA), "filesystem")
        assert await world.store.size(HASH) == len(DATA)
        assert [*world.left()] == []

    async def test_a_file_that_somebody_removed_just_before_is_put_back(self, world: World) -> None:
        await world.keep([HASH])
        assert world.store.path(HASH).read_bytes() == DATA
        assert [*world.left()] == []

    async def test_what_cannot_be_put_back_is_when_the_server_starts_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(sha256: bytes, source: Path) -> None:
            raise StoreUnavailable("The disk does not work.")

        monkeypatch.setattr(world.store, "put", fail)
        with pytest.raises(StoreUnavailable):
            await world.keep([HASH])
        assert await world.row() is not None
        assert [*world.left()] == [DATA]
        monkeypatch.undo()
        world.starts_again()
        assert await world.files.recover() == 0
        assert world.store.path(HASH).read_bytes() == DATA
        assert [*world.left()] == []


class TestReceived:
    async def test_what_comes_in_tiny_pieces_takes_no_more_memory(self, world: World) -> None:
        count = 300_000

        async def tiny() -> AsyncIterator[bytes]:
            for number in range(count):
                yield number.to_bytes(3)

        tracemalloc.start()
        try:
            async with world.files.received(tiny(), max_bytes=3 * count) as spooled:
                _, most = tracemalloc.get_traced_memory()
                assert spooled.path.read_bytes()[-3:] == (count - 1).to_bytes(3)
        finally:
            tracemalloc.stop()
        assert (spooled.size, most < 10 * count) == (3 * count, True)


class TestAtOnce:
    """Some upload the same file, some of them in vain, and somebody removes it meanwhile."""

    async def uploads(self, world: World, files: Files, turn: int) -> None:
        async def record(file: FileRecord) -> tuple[FileRecord, None]:
            await asyncio.sleep(turn % 4 / 1000)  # some give others time to remove what they put
            async with world.database.connection() as db:
                kept = await media.insert_claiming(db, new_media(file), 1)
            assert kept.file is not None
            return kept.file, None

        await files.keep(pieces(), max_bytes=100, record=record)

    async def uploads_in_vain(self, files: Files) -> None:
        async def refuse(_file: FileRecord) -> tuple[FileRecord, None]:
            raise InvalidInput("This one is not wanted.")

        with pytest.raises(InvalidInput):
            await files.keep(pieces(), max_bytes=100, record=refuse)

    async def removes(self, world: World, files: Files) -> None:
        async with world.database.transaction() as db:
            await db.execute("DELETE FROM media WHERE sha256 = $1", HASH)
            await media_files.mark_unused(db, [HASH], 1)
        await files.discard(HASH)

    async def test_there_is_a_file_if_and_only_if_there_is_a_row(self, world: World) -> None:
        first, (_, second) = world.files, world.process()
        for turn in range(60):
            await asyncio.gather(
                self.uploads(world, first, turn),
                self.uploads_in_vain(second),
                self.removes(world, second),
                self.uploads(world, second, turn // 4),
                self.removes(world, first),
            )
            is_there = await world.store.size(HASH) is not None
            assert is_there == (await world.row() is not None)
            assert [*world.left()] == []


class TestRecover:
    async def test_a_file_without_a_row_goes(self, world: World) -> None:
        async with world.files.received(pieces(), max_bytes=100) as spooled:
            await world.store.put(spooled.sha256, spooled.path)
            spooled.path.with_name(f"{HASH.hex()}-again").hardlink_to(spooled.path)
        world.starts_again()
        assert await world.files.recover() == 1
        assert await world.store.size(HASH) is None
        assert await world.row() is None
