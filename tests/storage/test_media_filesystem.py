"""Files in a folder: what is answered survives a loss of power."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest

from mediarepo.store import Missing
from mediarepo.store.filesystem import FilesystemStore

THREADS = 2
DATA = b"a file"
HASH = sha256(DATA).digest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemStore]:
    with ThreadPoolExecutor(THREADS) as executor:
        yield FilesystemStore(folder=tmp_path / "media" / "files", executor=executor)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "spooled"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes that were synced, in order."""
    seen: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        seen.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def inode(path: Path) -> int:
    return path.stat().st_ino


class TestPut:
    async def test_the_file_and_every_folder_that_changed_are_safe(
        self, store: FilesystemStore, source: Path, synced: list[int], tmp_path: Path
    ) -> None:
        await store.put(HASH, source)
        path = store.path(HASH)
        assert path.read_bytes() == DATA
        assert set(synced) == {inode(each) for each in (path, *path.parents[:4])}
        assert path.parents[3] == tmp_path

    async def test_a_file_that_is_there_may_not_be_safe_yet(
        self, store: FilesystemStore, source: Path, synced: list[int]
    ) -> None:
        """Whoever put it there may still be waiting for the disk."""
        await store.put(HASH, source)
        synced.clear()
        await store.put(HASH, source)
        path = store.path(HASH)
        assert set(synced) == {inode(path), inode(path.parent)}

    async def test_a_file_that_is_removed_meanwhile_is_for_others_to_put_back(
        self, store: FilesystemStore, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def link_and_lose(one: Path, other: Path) -> None:
            link(one, other)
            other.unlink()

        monkeypatch.setattr(os, "link", link_and_lose)
        await store.put(HASH, source)
        with pytest.raises(Missing):
            await store.descriptor(HASH)


class TestDescriptor:
    async def test_who_gives_up_while_it_is_opened_leaves_nothing_open(
        self, store: FilesystemStore, source: Path
    ) -> None:
        await store.put(HASH, source)
        may_go_on = Event()
        busy = [asyncio.create_task(store.run(may_go_on.wait)) for _ in range(THREADS)]
        opening = asyncio.create_task(store.descriptor(HASH))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.gather(*busy)
        assert store.path(HASH) not in open_files()


def open_files() -> set[Path]:
    """Of this process."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder itself, which was just read
            found.add(each.readlink())
    return found
