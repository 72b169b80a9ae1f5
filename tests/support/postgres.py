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
from dataclasses import dataclass
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
_MOST_USES = 100
"""Of a database: each time it is emptied, the catalogue keeps the rows of its former files."""

# What the template has is kept beside it; the function brings a copy of the template back to that.
# False: its tables themselves were changed.
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
CREATE FUNCTION pristine.restore() RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        name text;
        used text;
    BEGIN
        PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
        IF pristine.shape() <> (SELECT shape FROM pristine.shapes) THEN
            RETURN false;
        END IF;
        SELECT string_agg(oid::regclass::text, ', ') INTO used FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND pg_relation_size(oid) > 0;
        EXECUTE 'TRUNCATE ' || used || ' CASCADE';
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


@dataclass(slots=True)
class _Migrated:
    """A database. uses: how often it was used."""

    dsn: str
    uses: int = 0


_free: list[_Migrated] = []
"""Of this process: databases that are as they were when they came from the template."""


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
        database = _Migrated(await _create(dsn, "template0"), uses=_MOST_USES)
    elif _free:
        database = _free.pop()
    else:
        database = _Migrated(await _create(dsn, template))
    database.uses += 1
    try:
        yield database.dsn
    finally:
        if database.uses < _MOST_USES and await _restore(database.dsn):
            _free.append(database)
        else:
            await _administer(dsn, f"DROP DATABASE {database_name(database.dsn)} WITH (FORCE)")


async def _create(dsn: str, template: str) -> str:
    name = f"test_{uuid4().hex}"
    # Copying files is four times as fast as writing the copy to the log, without fsync.
    await _administer(
        dsn, f"CREATE DATABASE {name} TEMPLATE {template} OWNER foyer STRATEGY file_copy"
    )
    return with_database(dsn, name)


async def _restore(dsn: str) -> bool:
    """Whether it is again as it came from the template."""
    connection = await asyncpg.connect(with_database(dsn, database_name(dsn), user="postgres"))
    try:
        return bool(await connection.fetchval("SELECT pristine.restore()"))
    finally:
        await connection.close()


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
