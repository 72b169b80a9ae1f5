"""One Postgres for a whole test run, shared by all of its workers.

It runs in a process of its own (`python -m tests.support.postgres <directory>`), because no worker
knows whether it is the last. Who uses it holds a shared lock on a file; the server's process waits
for the exclusive one, which it gets when the last user has let go or has died, then stops.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from homeserver.storage.embedded import EmbeddedPostgres
from homeserver.storage.migrate import migrate

TEMPLATE = "foyer_template"
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",
}
_ROOT = Path(__file__).parents[2]


@contextmanager
def shared_postgres(directory: Path) -> Iterator[str]:
    """The DSN of the run's server, started by the first who asks. directory: same for all."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield _started(directory)
    finally:
        os.close(fd)


@asynccontextmanager
async def fresh_database(dsn: str, *, template: str | None = TEMPLATE) -> AsyncIterator[str]:
    """The DSN of a database of its own: migrated, or empty with template None."""
    name = f"test_{uuid4().hex}"
    # Copying files is four times as fast as writing the copy to the log, without fsync.
    await _administer(
        dsn,
        f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} OWNER foyer STRATEGY file_copy",
    )
    try:
        yield with_database(dsn, name)
    finally:
        await _administer(dsn, f"DROP DATABASE {name} WITH (FORCE)")


def with_database(dsn: str, name: str, *, user: str | None = None) -> str:
    """The same server, another database (and user)."""
    parts = urlsplit(dsn)
    netloc = parts.netloc if user is None else f"{user}@"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))


def database_name(dsn: str) -> str:
    """The name of the DSN's database."""
    return urlsplit(dsn).path.lstrip("/")


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(with_database(dsn, "postgres", user="postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _started(directory: Path) -> str:
    """The DSN in the file that the server's process writes; start that process if nobody has."""
    answer = directory / "dsn"
    with (directory / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if answer.exists():
            return answer.read_text()
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, str(directory)],
            cwd=_ROOT,
            stdout=(directory / "server.log").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while not answer.exists():
            if process.poll() is not None:
                raise RuntimeError((directory / "server.log").read_text())
            time.sleep(0.01)
        return answer.read_text()


async def _serve(directory: Path) -> None:
    server = EmbeddedPostgres(data_dir=directory / "data", settings=_SETTINGS)
    dsn = await server.start()
    answer = directory / "dsn"
    try:
        await _prepare_template(dsn)
        (directory / "dsn.new").write_text(dsn)
        (directory / "dsn.new").rename(answer)
        with (directory / "users.lock").open("r+") as users:
            await asyncio.to_thread(fcntl.flock, users, fcntl.LOCK_EX)
            answer.unlink()
            await server.stop()
            shutil.rmtree(directory / "data")
    finally:
        answer.unlink(missing_ok=True)
        await server.stop()


async def _prepare_template(dsn: str) -> None:
    await _administer(dsn, f"CREATE DATABASE {TEMPLATE} OWNER foyer")
    await migrate(with_database(dsn, TEMPLATE))


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
