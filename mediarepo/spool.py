"""Files on their way into a store: on the disk of this machine, in a folder of each process.

    spool/<process>/lock             held by the process as long as it lives
    spool/<process>/in-<random>      still coming
    spool/<process>/<sha256>-<random>  has all its bytes; goes when its row is committed

Making it safe is what the store does, which may be elsewhere.

So what a crash left behind tells what may stand in a store without a row, or have a row without
standing there: `abandoned` lists it.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from homeserver.errors import TooLarge
from mediarepo.store.filesystem import store_error
from mediarepo.threads import in_thread

_GATHERED_BYTES = 1_048_576
"""How much of a file is held in memory before it is written: a thread takes its time to begin."""
_GATHERED_OF_MANY = 65_536
"""The same when all files together hold `_HELD_BYTES`."""
_HELD_BYTES = 67_108_864
_SMALL_BYTES = 4_096
_MAX_PIECES = 64
"""That one call writes."""
_RANDOM_BYTES = 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that is all here. size: bytes."""

    path: Path
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """What a process left that has ended. files: of which not both the store and the database may
    know.
    """

    folder: Path
    lock: int
    files: tuple[Spooled, ...]


class Spool:
    """The folder of this process. executor: threads that wait for the disk."""

    def __init__(self, *, folder: Path, executor: Executor) -> None:
        self._top = folder
        self._folder = folder / token_hex(_RANDOM_BYTES)
        self._executor = executor
        self._lock: int | None = None
        self._left: set[Path] = set()
        self._held = 0
        """Bytes of all files that are in memory."""

    def _open(self) -> None:
        """Makes the folder, before the first file comes. Raises OSError."""
        if self._lock is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _try_lock(self._folder)

    def close(self) -> None:
        """Leaves nothing behind but what `abandoned` must find."""
        if self._lock is None:
            return
        if not any(map(_spooled_at, self._folder.iterdir())):
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    @asynccontextmanager
    async def receive(
        self, stream: AsyncIterable[bytes], *, max_bytes: int
    ) -> AsyncIterator["Arrived"]:
        """Takes in what comes, for somebody to finish, and removes it at the end of the block.

        Raises TooLarge, StoreUnavailable, and what the stream raises.
        """
        self._ensure_open()
        arrived = Arrived(self._folder)
        try:
            try:
                await self._take_in(arrived, stream, max_bytes)
            finally:
                held = arrived.held
            yield arrived
        finally:
            # Whatever happened, and even if the task was cancelled, nothing else stays.
            self._held -= held
            arrived.discard(self._left)

    def leave(self, spooled: Spooled) -> None:
        """It stays after the end of the block, for `abandoned`."""
        self._left.add(spooled.path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Where somebody else may write a file, which is removed at the end of the block.

        Raises StoreUnavailable.
        """
        self._ensure_open()
        path = self._folder / f"in-{token_hex(_RANDOM_BYTES)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _ensure_open(self) -> None:
        try:
            self._open()
        except OSError as error:
            raise store_error(error) from error

    async def _take_in(
        self, arrived: "Arrived", stream: AsyncIterable[bytes], max_bytes: int
    ) -> None:
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge(f"A file has at most {max_bytes} bytes here.")
            arrived.hold(chunk)
            self._held += len(chunk)
            most = _GATHERED_BYTES if self._held < _HELD_BYTES else _GATHERED_OF_MANY
            if arrived.held > most:
                await self._write(arrived)

    async def _write(self, arrived: "Arrived") -> None:
        held = arrived.held
        try:
            await self.run(arrived.write)
        finally:
            self._held -= held - arrived.held

    async def run(self, work: Callable[[], T]) -> T:
        """In a thread, to its end even if the task is cancelled. Raises StoreUnavailable."""
        try:
            return await in_thread(self._executor, work)
        except OSError as error:
            raise store_error(error) from error

    def abandoned(self) -> Iterator[Abandoned]:
        """What other processes left, one after the other, each locked until it is `cleared`."""
        for folder in self._top.iterdir() if self._top.exists() else ():
            lock = None if folder == self._folder else _try_lock(folder)
            if lock is not None:
                found = map(_spooled_at, folder.iterdir())
                yield Abandoned(folder, lock, tuple(each for each in found if each is not None))

    def clear(self, left: Abandoned) -> None:
        """It has been looked at."""
        shutil.rmtree(left.folder, ignore_errors=True)
        os.close(left.lock)


async def contents_of(path: Path) -> bytes:
    """Of a file that is small enough to be read at once."""
    return await asyncio.to_thread(path.read_bytes)


async def piece(data: bytes) -> AsyncIterator[bytes]:
    """The stream of a file that is in memory."""
    yield data


class Arrived:
    """One file that comes. `write` and `finish` run in threads, one after the other.

    held: bytes that are in memory. spooled: once it is finished.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"in-{token_hex(_RANDOM_BYTES)}"
        self._hash = new_sha256()
        self._size = 0
        self._descriptor: int | None = None
        self._pieces: list[bytes | bytearray] = []
        self.held = 0
        self.spooled: Spooled | None = None

    def hold(self, piece: bytes) -> None:
        """Until it is written. Small ones are put together: each would take more than it holds."""
        self.held += len(piece)
        last = self._pieces[-1] if self._pieces else None
        if len(piece) >= _SMALL_BYTES:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def write(self) -> None:
        """What is in memory. Raises OSError."""
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        for piece in self._pieces:
            self._hash.update(piece)
        _write_all(self._descriptor, self._pieces)
        self._size += self.held
        self._pieces, self.held = [], 0

    def finish(self) -> Spooled:
        """When all of it was taken in. Raises OSError."""
        self.write()
        digest = self._hash.digest()
        complete = self._path.with_name(f"{digest.hex()}-{token_hex(_RANDOM_BYTES)}")
        self._path.rename(complete)
        self._path = complete
        self.spooled = Spooled(complete, digest, self._size)
        return self.spooled

    def discard(self, left: Collection[Path]) -> None:
        """left: those that stay."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            if self._path not in left:
                self._path.unlink(missing_ok=True)


def _write_all(descriptor: int, pieces: Sequence[bytes | bytearray]) -> None:
    if len(pieces) > _MAX_PIECES:
        pieces = (b"".join(pieces),)
    written = os.writev(descriptor, pieces)
    for piece in pieces:
        left = memoryview(piece)[max(written, 0) :]
        written -= len(piece)
        while left:
            left = left[os.write(descriptor, left) :]


def _try_lock(folder: Path) -> int | None:
    """A descriptor that holds the lock; None: somebody has it, or there is no such folder."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _spooled_at(path: Path) -> Spooled | None:
    """None: it has not all its bytes, or is no file that comes."""
    name, dash, _ = path.name.partition("-")
    if not dash or name == "in":
        return None
    try:
        return Spooled(path, bytes.fromhex(name), path.stat().st_size)
    except (ValueError, FileNotFoundError):
        return None
