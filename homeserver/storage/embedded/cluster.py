"""The files of the embedded Postgres: the cluster, the lock on it, and who runs on it.

    data_dir/postgres        the cluster, owned by the account of Postgres
    data_dir/postgres.new    a cluster that initdb has not finished
    data_dir/postgres.lock   locked (flock) by whatever Postgres process uses the cluster

Every Postgres program is started with the lock as an open file, and hands it on to its children.
So the kernel keeps the lock exactly as long as the last of them lives: there are no process ids to
believe in, which after a kill or a reboot, or seen from another container, belong to somebody else.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from homeserver.storage.data_dir import belong_to_data_dir
from homeserver.storage.embedded.account import Account
from homeserver.storage.embedded.binaries import MAJOR_VERSION
from homeserver.storage.embedded.failure import EmbeddedPostgresError

_KEPT_LOG_FILES = 5
_TAIL_BYTES = 8192


def short_name(data_dir: Path) -> str:
    """A name for this data directory at this place, for processes and directories elsewhere."""
    return "foyer-" + hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster in a data directory."""

    data_dir: Path

    @property
    def path(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def unfinished(self) -> Path:
        return self.data_dir / "postgres.new"

    def exists(self) -> bool:
        """Whether there is one. Raises EmbeddedPostgresError for a link: root would follow it."""
        if self.path.is_symlink():
            raise EmbeddedPostgresError(
                f"{self.path} is a link, but must be a directory: link or mount the whole data "
                "directory instead."
            )
        return self.path.exists()

    def prepare(self, account: Account) -> None:
        """Make an existing cluster one that Postgres accepts, after a move, a copy or a crash.

        Call it holding the lock. Raises EmbeddedPostgresError for one of another version.
        """
        self._check_version()
        status = self.path.stat()
        if account.borrowed and status.st_uid != account.uid:  # copied or restored by root
            account.give_tree(self.path)
        if status.st_mode & 0o077:
            self.path.chmod(0o700)
        # Of a server that is gone, as the lock proves; its number may be somebody else's by now.
        (self.path / "postmaster.pid").unlink(missing_ok=True)

    def begin(self, account: Account) -> Path:
        """An empty directory for initdb, in place of whatever an interrupted one left."""
        if self.unfinished.exists():
            shutil.rmtree(self.unfinished)
        self.unfinished.mkdir(mode=0o700)
        account.give(self.unfinished)
        return self.unfinished

    def finish(self) -> None:
        """What initdb made becomes the cluster, whole or not at all."""
        self.unfinished.rename(self.path)
        with _opened(self.data_dir, os.O_RDONLY | os.O_DIRECTORY) as directory:
            os.fsync(directory)

    def try_lock(self) -> int | None:
        """The lock as an open file, to be inherited and closed, or None while Postgres runs."""
        path = self.data_dir / "postgres.lock"
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        belong_to_data_dir(path, data_dir=self.data_dir)
        return fd if _lock(fd, fcntl.LOCK_EX) else None

    def in_use(self) -> bool:
        """Whether any Postgres process uses it now."""
        try:
            fd = os.open(self.data_dir / "postgres.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if not _lock(fd, fcntl.LOCK_SH):
            return True
        os.close(fd)
        return False

    def processes(self) -> list[int]:
        """Those that use it and can be seen from here (a container sees only its own)."""
        marker = short_name(self.data_dir)
        numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in numbers if _is_marked(pid, marker)]

    def postmaster(self) -> int | None:
        """The one of `processes` that the others obey, or None when it is gone."""
        first_line = self._status_lines()[:1]
        return next((pid for pid in self.processes() if str(pid) in first_line), None)

    def is_ready(self, pid: int) -> bool:
        """Whether the postmaster with this process id takes connections."""
        # src/include/utils/pidfile.h: line 1 is the process id, line 8 the status.
        lines = self._status_lines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def log_files(self) -> list[Path]:
        """The log files, oldest first; their names are times."""
        return sorted(self.path.glob("log/postgres-*.log"))

    def log_tail(self) -> list[str]:
        """The last lines of the newest log file."""
        files = self.log_files()
        return _tail(files[-1]) if files else []

    def prune_log(self) -> None:
        """Keep the newest files; Postgres begins a new one at each size limit."""
        for path in self.log_files()[:-_KEPT_LOG_FILES]:
            path.unlink(missing_ok=True)

    def _status_lines(self) -> list[str]:
        try:
            with _opened(self.path / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW) as fd:
                return os.read(fd, 4096).decode().split("\n")
        except OSError:
            return []

    def _check_version(self) -> None:
        try:
            found = (self.path / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self.path} is not a Postgres database: restore it from a backup, or move it "
                "away to begin with an empty one."
            ) from error
        if found != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"The database in {self.path} was made by Postgres {found}, and this Foyer brings "
                f"Postgres {MAJOR_VERSION}: dump it with the version that made it, and load it "
                "into a new one."
            )


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, kind: int) -> bool:
    """Take the lock if it is free; else close the file."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return False
    return True


def _tail(path: Path) -> list[str]:
    with _opened(path, os.O_RDONLY | os.O_NOFOLLOW) as fd:
        start = max(0, os.fstat(fd).st_size - _TAIL_BYTES)
        return os.pread(fd, _TAIL_BYTES, start).decode(errors="replace").splitlines()


def _is_marked(pid: int, marker: str) -> bool:
    """Whether it is a Postgres process with that cluster name.

    The command line is what everybody may read; the working directory and the open files of
    another account's process are hidden even from the root of most containers.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it ended meanwhile
        return False
    postmaster = words[0].endswith("/postgres") and f"cluster_name={marker}" in words
    return postmaster or words[0].startswith(f"postgres: {marker}: ")
