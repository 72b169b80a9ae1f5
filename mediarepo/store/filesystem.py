"""Files in a folder: `ab/abcd…`."""

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from homeserver.errors import StoreUnavailable
from mediarepo.store.store import CHUNK_BYTES, Held, Missing, hash_of_key, key_of
from mediarepo.threads import in_thread

NAME = "filesystem"
_LISTED_AT_ONCE = 1_000

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemStore:
    """A `Store`. executor: threads that wait for the disk."""

    def __init__(self, *, folder: Path, executor: Executor) -> None:
        self._folder = folder
        self._safe_folders: set[Path] = set()
        """Those that are there after a crash, too."""
        self.executor = executor

    @property
    def name(self) -> str:
        return NAME

    def path(self, sha256: bytes) -> Path:
        """Where a file is, if it is here."""
        return self._folder / key_of(sha256)

    async def put(self, sha256: bytes, source: Path) -> None:
        """source: in the same file system."""
        await self.run(self.put_now, sha256, source)

    def put_now(self, sha256: bytes, source: Path) -> None:
        """The same for who is in a thread already. Raises OSError.

        It is a second name for the same file, so the first one still tells what was going on. File
        systems with a journal write all of it with the first call of `_sync`, so it is best to have
        made every change by then; the other calls find nothing to do.
        """
        target = self.path(sha256)
        folder = target.parent
        changed = {folder}
        if folder not in self._safe_folders:
            changed.update(each.parent for each in (folder, *_make_folders(folder)))
        with suppress(FileExistsError):
            os.link(source, target)
        with suppress(FileNotFoundError):  # removed again meanwhile: who claims it puts it back
            _sync(target)
        for each in changed:
            _sync(each)
        self._safe_folders.add(folder)

    async def open(
        self, sha256: bytes, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        if end is not None and end - start <= CHUNK_BYTES:
            if chunk := await self.run(_read, self.path(sha256), start, end):
                yield chunk
            return
        descriptor = await self.descriptor(sha256)
        try:
            while end is None or start < end:
                size = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - start)
                chunk = await self.run(os.pread, descriptor, size, start)
                if not chunk:
                    return
                yield chunk
                start += len(chunk)
        finally:
            os.close(descriptor)

    async def descriptor(self, sha256: bytes) -> int:
        """Of an open file, which the caller closes. Raises Missing, StoreUnavailable."""
        opened: list[int] = []
        try:
            await self.run(lambda: opened.append(_open(self.path(sha256))))
        except BaseException:
            for each in opened:  # by a thread whose caller was cancelled meanwhile
                os.close(each)
            raise
        return opened[0]

    async def size(self, sha256: bytes) -> int | None:
        return await self.run(_size, self.path(sha256))

    async def delete(self, sha256: bytes) -> None:
        await self.run(_delete, self.path(sha256))

    async def list(self) -> AsyncIterator[Held]:
        found = _files(self._folder)
        while some := await self.run(lambda: list(islice(found, _LISTED_AT_ONCE))):
            for held in some:
                yield held

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread. Raises Missing for a file that is not there, else StoreUnavailable."""
        try:
            return await in_thread(self.executor, work, *args, **kwargs)
        except OSError as error:
            raise store_error(error) from error


def store_error(error: OSError) -> StoreUnavailable:
    """What a failure of the file system means to a caller."""
    if error.errno == errno.ENOENT:
        return Missing("The file is not where it should be.")
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StoreUnavailable("The server has no space left for files.")
    return StoreUnavailable(f"The server's disk does not work: {error.strerror}.")


def _make_folders(folder: Path) -> Iterator[Path]:
    """Those that were not there, the outer one first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        yield each


def _sync(path: Path) -> None:
    """What is in a file or a folder is there after a crash, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(path: Path, start: int, end: int) -> bytes:
    descriptor = _open(path)
    try:
        return os.pread(descriptor, end - start, start)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Held]:
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory) / name
            sha256 = hash_of_key(str(path.relative_to(folder)))
            size = None if sha256 is None else _size(path)
            if sha256 is not None and size is not None:
                yield Held(sha256, size)
