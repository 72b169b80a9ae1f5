"""Where the Unix socket of the embedded Postgres is.

A socket's path may have 107 bytes, and data directories are often deeper. The socket stands in the
data directory where that is short enough, else in a short directory of its own, which is written
down in the data directory for the command line tools. Either way it stands in two directories: the
outer one is ours and closed to everybody else, so nobody can put anything in the way; the inner one
belongs to the account of Postgres. Who passes the outer one is trusted.

Not $XDG_RUNTIME_DIR: it goes away when its user logs out, with the server still running.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from homeserver.storage.data_dir import belong_to_data_dir
from homeserver.storage.embedded.account import Account
from homeserver.storage.embedded.cluster import short_name
from homeserver.storage.embedded.failure import EmbeddedPostgresError

PORT = 5432
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_MAX_SOCKET_PATH_BYTES = 107  # sun_path in unix(7), less the final zero
_IN_DATA_DIR = "socket"
_RECORD = "socket-directory"
_INNER = "pg"


def prepare_socket_dir(*, data_dir: Path, account: Account) -> Path:
    """An empty directory for the socket, owned by the account; the same one at every start.

    Call it while no server runs on this data. Raises EmbeddedPostgresError.
    """
    outer = data_dir / _IN_DATA_DIR
    if _fits(outer):
        _make_private(outer, data_dir=data_dir)
        (data_dir / _RECORD).unlink(missing_ok=True)
    else:
        outer = _recorded(data_dir, {os.geteuid()}) or _make_short(data_dir)
        _record(outer, data_dir=data_dir)
    inner = outer / _INNER
    if inner.exists():
        shutil.rmtree(inner)
    inner.mkdir(mode=0o700)
    account.give(inner)
    return inner


def find_socket_dir(data_dir: Path) -> Path | None:
    """The directory that the last server on this data used, or None."""
    owners = {0, os.geteuid(), data_dir.stat().st_uid}
    outer = data_dir / _IN_DATA_DIR
    if _fits(outer):
        return outer / _INNER if _is_private(outer, owners) else None
    recorded = _recorded(data_dir, owners)
    return None if recorded is None else recorded / _INNER


def remove_socket_dir(*, data_dir: Path, directory: Path) -> None:
    """Leave nothing behind outside the data directory."""
    outer = directory.parent
    if outer.parent != data_dir:
        shutil.rmtree(outer, ignore_errors=True)


def socket_path(directory: Path) -> Path:
    """The socket in a directory of prepare_socket_dir."""
    return directory / _SOCKET_NAME


def _fits(outer: Path) -> bool:
    return len(os.fsencode(socket_path(outer / _INNER))) <= _MAX_SOCKET_PATH_BYTES


def _recorded(data_dir: Path, owners: Collection[int]) -> Path | None:
    """The short directory of an earlier start, or None when this data never had one.

    The record of a copied or moved data directory does not count: the copy has another name.
    """
    try:
        outer = Path((data_dir / _RECORD).read_text().strip())
    except FileNotFoundError:
        return None
    if not outer.name.startswith(short_name(data_dir)) or not _is_private(outer, owners):
        return None
    return outer


def _record(outer: Path, *, data_dir: Path) -> None:
    path = data_dir / _RECORD
    path.unlink(missing_ok=True)
    with path.open("x") as file:  # never through a link
        file.write(f"{outer}\n")
    belong_to_data_dir(path, data_dir=data_dir)


def _make_short(data_dir: Path) -> Path:
    """A private directory under a short path. /run is for root only, and never swept."""
    name = short_name(data_dir)
    bases = [Path("/run"), Path("/tmp")] if os.geteuid() == 0 else [Path("/tmp")]  # noqa: S108
    for base in (base for base in bases if os.access(base, os.W_OK)):
        outer = base / name
        try:
            outer.mkdir(mode=0o700)
        except FileExistsError:
            if not _is_private(outer, {os.geteuid()}):  # somebody took the name
                return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
        return outer
    raise EmbeddedPostgresError(
        f"The path {data_dir} is too long for a socket, and /tmp is not writable: use a data "
        "directory with a shorter path."
    )


def _make_private(outer: Path, *, data_dir: Path) -> None:
    outer.mkdir(mode=0o700, exist_ok=True)
    if outer.is_symlink():
        raise EmbeddedPostgresError(f"{outer} is a link, but should be a directory: remove it.")
    outer.chmod(0o700)
    belong_to_data_dir(outer, data_dir=data_dir)


def _is_private(directory: Path, owners: Collection[int]) -> bool:
    """Whether it is a directory (no link) of one of these users that nobody else may enter."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid in owners and not status.st_mode & 0o077
