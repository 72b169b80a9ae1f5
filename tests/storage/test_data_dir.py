"""The data directory and the lock on it."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from homeserver.storage.data_dir import (
    AlreadyRunning,
    DataDirError,
    DataDirLock,
    prepare_data_dir,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "data"


def hold_until_killed(data_dir: Path, held: "multiprocessing.synchronize.Event") -> None:
    DataDirLock(data_dir=data_dir).acquire()
    held.set()
    multiprocessing.Event().wait()


def error_as(uid: int, data_dir: Path) -> str:
    """What another account is told."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_become_and_prepare, (uid, data_dir))


def _become_and_prepare(uid: int, data_dir: Path) -> str:
    os.setuid(uid)
    try:
        prepare_data_dir(data_dir)
    except DataDirError as error:
        return str(error)
    return ""


class TestDirectory:
    def test_a_new_one_is_open_to_its_owner_only(self, data_dir):
        prepare_data_dir(data_dir)
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700

    def test_an_existing_one_keeps_its_permissions(self, data_dir):
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o750)
        prepare_data_dir(data_dir)
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o750

    def test_a_file_is_refused(self, data_dir):
        data_dir.parent.mkdir()
        data_dir.touch()
        with pytest.raises(DataDirError, match="is a file"):
            prepare_data_dir(data_dir)

    def test_one_below_a_file_cannot_be_created(self, data_dir):
        data_dir.parent.touch()
        with pytest.raises(DataDirError, match="cannot be created"):
            prepare_data_dir(data_dir)

    @needs_root
    def test_somebody_elses_is_refused(self):
        assert "belongs to user id 0" in error_as(NOBODY, Path("/usr"))

    @needs_root
    def test_root_uses_anybodys_and_leaves_it_to_them(self, data_dir):
        data_dir.mkdir(parents=True)
        os.chown(data_dir, NOBODY, NOBODY)
        with DataDirLock(data_dir=data_dir):
            assert {path.stat().st_uid for path in data_dir.iterdir()} == {NOBODY}


class TestLock:
    def test_a_second_server_is_refused_and_told_by_whom(self, data_dir):
        with DataDirLock(data_dir=data_dir):
            with pytest.raises(AlreadyRunning, match=f"Process {os.getpid()} is already") as caught:
                DataDirLock(data_dir=data_dir).acquire()
            assert caught.value.pid == os.getpid()

    def test_after_the_release_the_next_one_gets_it(self, data_dir):
        first, second = DataDirLock(data_dir=data_dir), DataDirLock(data_dir=data_dir)
        first.acquire()
        first.release()
        second.acquire()
        second.release()

    def test_releasing_twice_is_fine(self, data_dir):
        lock = DataDirLock(data_dir=data_dir)
        lock.acquire()
        lock.release()
        lock.release()

    def test_it_ends_with_a_process_that_is_killed(self, data_dir):
        context = multiprocessing.get_context("fork")
        held = context.Event()
        other = context.Process(target=hold_until_killed, args=(data_dir, held))
        other.start()
        held.wait()
        with pytest.raises(AlreadyRunning) as caught:
            DataDirLock(data_dir=data_dir).acquire()
        assert caught.value.pid == other.pid
        other.kill()
        other.join()
        DataDirLock(data_dir=data_dir).acquire()

    def test_tools_may_share_it_but_not_with_a_server(self, data_dir):
        tool, another = DataDirLock(data_dir=data_dir), DataDirLock(data_dir=data_dir)
        tool.acquire(exclusive=False)
        another.acquire(exclusive=False)
        with pytest.raises(AlreadyRunning):
            DataDirLock(data_dir=data_dir).acquire()
        tool.release()
        another.release()

    def test_a_link_in_its_place_is_not_followed(self, data_dir, tmp_path):
        data_dir.mkdir(parents=True)
        (data_dir / "foyer.lock").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataDirError, match="cannot be opened"):
            DataDirLock(data_dir=data_dir).acquire()
