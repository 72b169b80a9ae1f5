"""The data directory: private to the account that runs Foyer, and used by one server at a time."""

import fcntl
import os
import stat
from pathlib import Path
from typing import Self

from homeserver.errors import FoyerError

_LOCK_NAME = "foyer.lock"


class DataDirError(FoyerError):
    """The data directory cannot be used; the message says what to do."""


class AlreadyRunning(DataDirError):
    """Another process uses the directory. `pid` is None when it could not be read."""

    def __init__(self, message: str, *, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


def prepare_data_dir(data_dir: Path) -> None:
    """Create the directory, open to its owner only, or check that it is ours.

    An existing directory keeps its permission bits. Raises DataDirError when it belongs to another
    account or cannot be created.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = data_dir.stat()
    except FileExistsError as error:
        raise DataDirError(f"{data_dir} is a file, but should be the data directory.") from error
    except OSError as error:
        raise DataDirError(
            f"The data directory {data_dir} cannot be created: {error.strerror}."
        ) from error
    _refuse_foreign(data_dir, status)


def belong_to_data_dir(path: Path, *, data_dir: Path) -> None:
    """Give what root made in an ordinary account's data directory to that account."""
    if os.geteuid() == 0:
        owner = data_dir.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


class DataDirLock:
    """A lock on the data directory: one server, or any number of tools that need it stopped.

    It is the kernel's (`flock` on foyer.lock), so it ends with the process that holds it, however
    that ends, and is never stale.
    """

    def __init__(self, *, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / _LOCK_NAME
        self._fd: int | None = None

    def acquire(self, *, exclusive: bool = True) -> None:
        """Take the lock now or raise AlreadyRunning; never waits.

        exclusive: what a server takes. Shared locks get along with each other.
        Creates the directory. Raises AlreadyRunning, or DataDirError as prepare_data_dir does.
        """
        prepare_data_dir(self._data_dir)
        fd = self._open()
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _read_pid(fd)
            os.close(fd)
            raise AlreadyRunning(self._in_use(pid), pid=pid) from error
        if exclusive:
            _write_pid(fd)
        self._fd = fd

    def release(self) -> None:
        """Let the next one in. Does nothing when the lock is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open(self) -> int:
        # O_NOFOLLOW: the server may run as root, and must not write through somebody's link.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self._path, flags, 0o600)
            belong_to_data_dir(self._path, data_dir=self._data_dir)
        except OSError as error:
            raise DataDirError(f"{self._path} cannot be opened: {error.strerror}.") from error
        return fd

    def _in_use(self, pid: int | None) -> str:
        who = "Another process" if pid is None else f"Process {pid}"
        return f"{who} is already using the data directory {self._data_dir}."


def _refuse_foreign(data_dir: Path, status: os.stat_result) -> None:
    """Raise DataDirError unless the directory is ours; root may use anybody's."""
    if os.geteuid() not in (0, status.st_uid):
        raise DataDirError(
            f"The data directory {data_dir} belongs to user id {status.st_uid}, but this is run by "
            f"user id {os.geteuid()}: run it as its owner, or give the directory to this user."
        )
    if not stat.S_IWUSR & status.st_mode and os.geteuid() != 0:
        raise DataDirError(f"The data directory {data_dir} is not writable for its owner.")


def _read_pid(fd: int) -> int | None:
    digits = os.pread(fd, 20, 0).strip()
    return int(digits) if digits.isdigit() else None


def _write_pid(fd: int) -> None:
    """Say who holds it. A full disk must not keep the server from starting to say so itself."""
    os.ftruncate(fd, 0)
    try:
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.ftruncate(fd, 0)
