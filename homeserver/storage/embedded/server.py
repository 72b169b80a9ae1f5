"""The embedded Postgres as Foyer sees it: start, watch, stop."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from homeserver.storage.data_dir import DataDirError, prepare_data_dir
from homeserver.storage.embedded.account import Account, choose_account
from homeserver.storage.embedded.claim import claim, until_free
from homeserver.storage.embedded.cluster import Cluster, short_name
from homeserver.storage.embedded.failure import EmbeddedPostgresError, explain, plain_errors
from homeserver.storage.embedded.process import Directories, Running, launch
from homeserver.storage.embedded.settings import as_arguments
from homeserver.storage.embedded.socket_dir import (
    PORT,
    find_socket_dir,
    prepare_socket_dir,
    remove_socket_dir,
    socket_path,
)

_DATABASE = "foyer"
_ROLE = "foyer"
_SUPERUSER = "postgres"

_INITDB_ARGUMENTS = (
    f"--username={_SUPERUSER}",
    "--encoding=UTF8",
    "--locale-provider=builtin",  # the wheel has no ICU, and the system's locales change with it
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--auth-local=trust",  # whoever may reach the socket: see socket_dir.py
    "--auth-host=reject",
    "--sync-method=syncfs",  # one call where fsync takes a thousand
    "--no-instructions",
)

_POLL_S = 0.01
_REPORT_EVERY_S = 10.0
_CRASH_STOP_S = 10.0
_CONNECT_TIMEOUT_S = 60.0
_PRUNE_EVERY_S = 15.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 5.0

_DRIVER_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """A Postgres server of our own on the data directory, for as long as this process lives.

    The caller holds the DataDirLock. Call `start` and `watch` from a thread that lives as long as
    the server (the main one): when it ends, and so when Foyer is killed, Postgres shuts down.
    """

    def __init__(
        self, *, data_dir: Path, settings: Mapping[str, str] | None = None, grace_s: float = 60.0
    ) -> None:
        """settings: Postgres settings over ours, with units: {"shared_buffers": "1GB"}.

        grace_s: how long a shutdown may take to write everything out; after it the shutdown is cut
        short, and the next start recovers.
        """
        self._data_dir = data_dir.absolute()
        self._cluster = Cluster(self._data_dir)
        self._settings = dict(settings or {})
        self._grace_s = grace_s
        self._running: Running | None = None
        self._socket_dir: Path | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> str:
        """Start the server, on a new cluster if there is none, and return the database's DSN.

        Waits as long as Postgres needs to recover from a crash. A server that an earlier Foyer
        left behind is stopped first. The DSN stays the same over restarts by `watch`.
        Raises EmbeddedPostgresError, DataDirError.
        """
        self._stopping = False
        socket_dir = await self._begin()
        try:
            await _ensure_database(socket_dir)
        except BaseException:
            await self.stop()
            raise
        return _dsn(socket_dir)

    async def watch(self) -> None:
        """Start the server again whenever it ends, until `stop`; a task of the caller.

        Pauses between attempts grow from nothing to five seconds, so a server that cannot
        start (a full disk) comes back by itself when it can.
        """
        self._watcher = asyncio.create_task(self._keep_running())
        try:
            await self._watcher
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    async def stop(self) -> None:
        """Shut down, writing everything out; does nothing when nothing runs."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
            self._watcher = None
        if self._running is not None:
            await _end(self._running, grace_s=self._grace_s)
            self._running = None
            await until_free(self._cluster)
        if self._socket_dir is not None:
            await asyncio.to_thread(
                remove_socket_dir, data_dir=self._data_dir, directory=self._socket_dir
            )

    async def _begin(self) -> Path:
        """Start the server and wait until it is ready; where its socket is."""
        with plain_errors("Postgres could not be started"):
            await asyncio.to_thread(prepare_data_dir, self._data_dir)
            lock = await claim(self._cluster, grace_s=self._grace_s)
            try:
                account = choose_account(data_dir=self._data_dir, cluster=self._cluster.path)
                if not self._cluster.exists():
                    await self._create_cluster(account, lock)
                await asyncio.to_thread(self._cluster.prepare, account)
                socket_dir = prepare_socket_dir(data_dir=self._data_dir, account=account)
                running = await self._launch(account, socket_dir, lock)
            finally:
                os.close(lock)
        try:
            await self._until_ready(running)
        except BaseException:
            await _end(running, grace_s=0)
            await until_free(self._cluster)
            raise
        self._running, self._socket_dir = running, socket_dir
        return socket_dir

    async def _create_cluster(self, account: Account, lock: int) -> None:
        directory = await asyncio.to_thread(self._cluster.begin, account)
        with Directories(account=account) as directories:
            running = await launch(
                "initdb",
                [f"--pgdata={directories.path_of(directory)}", *_INITDB_ARGUMENTS],
                account=account,
                open_files=(lock, *directories.open_files),
                when_foyer_dies=signal.SIGKILL,
            )
        try:
            if await running.process.wait() != 0:
                raise explain("The database could not be created", running.last_lines())
        finally:
            running.signal(signal.SIGKILL)
            running.forget()
        await asyncio.to_thread(self._cluster.finish)

    async def _launch(self, account: Account, socket_dir: Path, lock: int) -> Running:
        with Directories(account=account) as directories:
            settings = {
                **self._settings,
                "unix_socket_directories": directories.path_of(socket_dir),
                "port": str(PORT),
                "cluster_name": short_name(self._data_dir),
            }
            cluster = directories.path_of(self._cluster.path)
            return await launch(
                "postgres",
                ["-D", cluster, *as_arguments(settings)],
                account=account,
                open_files=(lock, *directories.open_files),
                when_foyer_dies=signal.SIGINT,
            )

    async def _until_ready(self, running: Running) -> None:
        """Wait while it lives: replaying the log after a crash takes what it takes."""
        clock = asyncio.get_running_loop().time
        report_at = clock() + _REPORT_EVERY_S
        while not self._cluster.is_ready(running.pid):
            if running.has_ended():
                raise explain("Postgres could not be started", self._last_words(running))
            if clock() > report_at:
                log.info("Postgres is still starting", last_words=self._cluster.log_tail()[-1:])
                report_at = clock() + _REPORT_EVERY_S
            await asyncio.sleep(_POLL_S)

    def _last_words(self, running: Running) -> list[str]:
        """What a server that ended wrote last: in the log, or before it opened that."""
        lines = running.last_lines()
        if any("redirecting log output" in line for line in lines):
            return lines + self._cluster.log_tail()
        return lines

    async def _keep_running(self) -> None:
        pause_s = 0.0
        while True:
            if await self._lives_long():
                pause_s = 0.0
            await asyncio.sleep(pause_s)
            pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            await self._try_to_begin(next_attempt_s=pause_s)

    async def _lives_long(self) -> bool:
        """Wait for the end of the server that runs, if one does; whether it had been steady."""
        if self._running is None:
            return False
        clock = asyncio.get_running_loop().time
        began = clock()
        while not await self._running.ends_within(_PRUNE_EVERY_S):
            await asyncio.to_thread(self._cluster.prune_log)
        log.error(
            "Postgres has ended and is started again",
            status=self._running.process.returncode,
            last_words=self._last_words(self._running)[-1:],
        )
        self._running.forget()
        self._running = None
        return clock() - began > _STEADY_S

    async def _try_to_begin(self, *, next_attempt_s: float) -> None:
        try:
            await self._begin()
        except (EmbeddedPostgresError, DataDirError) as error:
            # The sentence is the whole story: a traceback at each attempt would bury it.
            log.error("Postgres is still away", reason=str(error), next_attempt_s=next_attempt_s)  # noqa: TRY400
        except Exception:  # whatever else it is, giving up would make it final
            log.exception("Postgres is still away", next_attempt_s=next_attempt_s)
        else:
            log.info("Postgres is back")


def running_dsn(data_dir: Path) -> str | None:
    """The DSN of the server that runs on this data directory now, or None. For tools.

    Raises EmbeddedPostgresError when the data directory is not open to who runs the tool.
    """
    data_dir = data_dir.absolute()
    with plain_errors("The data directory could not be read"):
        if not data_dir.is_dir() or not Cluster(data_dir).in_use():
            return None
        directory = find_socket_dir(data_dir)
    if directory is None or not _is_listening(socket_path(directory)):
        return None
    return _dsn(directory)


async def _end(running: Running, *, grace_s: float) -> None:
    """Fast shutdown; after the grace an immediate one, and at last a kill."""
    for number, patience_s in ((signal.SIGINT, grace_s), (signal.SIGQUIT, _CRASH_STOP_S)):
        running.signal(number)
        if await running.ends_within(patience_s):
            break
    else:
        running.signal(signal.SIGKILL)
        await running.process.wait()
    running.forget()


async def _ensure_database(socket_dir: Path) -> None:
    """The role and the database that Foyer uses. Raises EmbeddedPostgresError.

    The role is no superuser, so an injected statement cannot read or write files or run programs.
    """
    try:
        async with _superuser(socket_dir) as connection:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", _ROLE):
                await connection.execute(f"CREATE ROLE {_ROLE} LOGIN IN ROLE pg_monitor")
            if not await connection.fetchval(
                "SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE
            ):
                await connection.execute(f"CREATE DATABASE {_DATABASE} OWNER {_ROLE}")
    except (asyncpg.PostgresError, *_DRIVER_ERRORS, OSError) as error:
        raise explain("Postgres could not be started", [str(error) or repr(error)]) from error


@asynccontextmanager
async def _superuser(socket_dir: Path) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        host=str(socket_dir),
        port=PORT,
        user=_SUPERUSER,
        database="postgres",
        timeout=_CONNECT_TIMEOUT_S,
    )
    try:
        yield connection
    finally:
        await connection.close()


def _dsn(socket_dir: Path) -> str:
    return f"postgresql://{_ROLE}@/{_DATABASE}?host={quote(str(socket_dir), safe='')}&port={PORT}"


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
