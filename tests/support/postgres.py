"""One Postgres for a whole test run, shared by all of its workers.

It runs in a process of its own (`python -m tests.support.postgres <directory>`), because no worker
knows whether it is the last. Who uses it holds a shared lock on a file; the server's process waits
for the exclusive one, which it gets when the last user has let go or has died, then stops.

Who is new to Postgres pays for it: with a process, empty caches, statements to be planned. So each
worker keeps its databases, and connections to them, from one test to the next.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from homeserver.errors import Unavailable
from homeserver.storage.database import Database
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
_MOST_USES = 1000
"""Of a database: the catalogue and the indexes keep a little of each use."""

# What the template has is kept beside it; the function brings a copy of the template back to that,
# alone with its caller and the backends `kept`. False: its tables themselves were changed.
#
# Rows are deleted, as a table with a few of them is truncated in twenty times the time: it gets new
# files, and everybody reads about it in the catalogue again. What was large is truncated, or dead
# rows would add up. Without triggers, the order of the tables is of no importance.
_KEEP = """
CREATE SCHEMA pristine;
CREATE FUNCTION pristine.shape() RETURNS bigint[] LANGUAGE sql AS $$
    SELECT ARRAY[
        (SELECT count(*) + sum(relnatts) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
        (SELECT count(*) FROM pg_trigger),
        (SELECT count(*) FROM pg_constraint),
        (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
        (SELECT count(*) FROM pg_statistic JOIN pg_class c ON c.oid = starelid
            WHERE relnamespace = 'public'::regnamespace)
    ]
$$;
CREATE TABLE pristine.shapes AS SELECT pristine.shape() AS shape;
CREATE FUNCTION pristine.restore(kept integer[]) RETURNS boolean LANGUAGE plpgsql
    SET session_replication_role = replica AS $$
    DECLARE
        name text;
        large text;
    BEGIN
        PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> ALL (kept || pg_backend_pid());
        IF pristine.shape() <> (SELECT shape FROM pristine.shapes) THEN
            RETURN false;
        END IF;
        SELECT string_agg(oid::regclass::text, ', ') INTO large FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND pg_relation_size(oid) > 1000000;
        IF large IS NOT NULL THEN
            EXECUTE 'TRUNCATE ' || large || ' CASCADE';
        END IF;
        FOR name IN SELECT relname FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND pg_relation_size(oid) > 0
        LOOP
            EXECUTE format('DELETE FROM public.%1$I', name);
        END LOOP;
        FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = 'pristine' AND tablename <> 'shapes'
        LOOP
            EXECUTE format('INSERT INTO public.%1$I SELECT * FROM pristine.%1$I', name);
        END LOOP;
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence
            WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
        RETURN true;
    END
$$;
DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT relname FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND pg_relation_size(oid) > 0
        LOOP
            EXECUTE format('CREATE TABLE pristine.%1$I AS TABLE public.%1$I', name);
        END LOOP;
    END
$$;
"""


# For what a test leaves on a connection of the pool.
_RESET = "SELECT pg_advisory_unlock_all(); UNLISTEN *; RESET ALL"
_ENDED = (
    Unavailable,
    asyncpg.AdminShutdownError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    OSError,
)
"""What comes of connections that a test has ended."""


@dataclass(slots=True)
class _Kept:
    """A database of this process. connected: to be used by tests. uses: how often it was used."""

    dsn: str
    administrator: asyncpg.Connection
    connected: Database | None = None
    uses: int = 0

    async def restore(self) -> bool:
        """Whether it is again as it came from the template."""
        try:
            pids = await self._rest()
            return bool(await self.administrator.fetchval("SELECT pristine.restore($1)", pids))
        except _ENDED:
            return False

    async def drop(self) -> None:
        self._disconnect()
        self.administrator.terminate()
        await _administer(self.dsn, f"DROP DATABASE {database_name(self.dsn)} WITH (FORCE)")

    async def close(self) -> None:
        if self.connected is not None:
            await self.connected.close()
        await self.administrator.close()

    async def _rest(self) -> list[int]:
        """The backends of the connections that may be kept: all, or none if one is in use."""
        if self.connected is None:
            return []
        pool = self.connected._pool
        if pool.is_closing() or self.connected.connections_in_use:
            self._disconnect()
            return []
        pids = []
        async with AsyncExitStack() as held:
            for _ in range(pool.get_idle_size()):
                connection = await held.enter_async_context(self.connected.connection())
                await connection.execute(_RESET)
                pids.append(connection.get_server_pid())
        return pids

    def _disconnect(self) -> None:
        if self.connected is not None:
            self.connected._pool.terminate()
        self.connected = None


_free: dict[asyncio.AbstractEventLoop, list[_Kept]] = defaultdict(list)
"""Of this process, by the loop that the connections belong to: databases as they came from the
template."""
_used: dict[str, _Kept] = {}
"""By DSN."""


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
    """The DSN of a database of its own: migrated, or empty with template None.

    A migrated one is emptied and used again: that takes a small part of the time of a new one.
    """
    if template is None:
        async with _empty_database(dsn) as empty:
            yield empty
        return
    free = _free[asyncio.get_running_loop()]
    kept = free.pop() if free else await _kept(dsn, template)
    kept.uses += 1
    _used[kept.dsn] = kept
    try:
        yield kept.dsn
    finally:
        del _used[kept.dsn]
        if kept.uses < _MOST_USES and await kept.restore():
            free.append(kept)
        else:
            await kept.drop()


async def connected_to(dsn: str) -> Database:
    """A pool of connections to a fresh database, which may have been used by earlier tests."""
    kept = _used[dsn]
    if kept.connected is None:
        kept.connected = await Database.connect(dsn, max_connections=8)
    # What a test replaces in it is not replaced for the next one.
    return copy(kept.connected)


async def close_databases() -> None:
    """Of the running loop, which is about to be closed."""
    for kept in _free.pop(asyncio.get_running_loop(), []):
        await kept.close()


@asynccontextmanager
async def _empty_database(dsn: str) -> AsyncIterator[str]:
    created = await _create(dsn, "template0")
    try:
        yield created
    finally:
        await _administer(dsn, f"DROP DATABASE {database_name(created)} WITH (FORCE)")


async def _kept(dsn: str, template: str) -> _Kept:
    created = await _create(dsn, template)
    administrator = await asyncpg.connect(
        with_database(dsn, database_name(created), user="postgres")
    )
    return _Kept(created, administrator)


async def _create(dsn: str, template: str) -> str:
    name = f"test_{uuid4().hex}"
    # Copying files is four times as fast as writing the copy to the log, without fsync.
    await _administer(
        dsn, f"CREATE DATABASE {name} TEMPLATE {template} OWNER foyer STRATEGY file_copy"
    )
    return with_database(dsn, name)


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
    connection = await asyncpg.connect(with_database(dsn, TEMPLATE, user="postgres"))
    try:
        await connection.execute(_KEEP)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
