"""Migrations: forward only, each once, never edited."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from homeserver.errors import Unavailable
from homeserver.storage.migrate import MigrationError, migrate, pending, read_migrations
from tests.support.postgres import fresh_database

ONE = "CREATE TABLE one (id int);"
TWO = "CREATE TABLE two (id int); INSERT INTO two VALUES (2);"


@pytest.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    async with fresh_database(postgres, template=None) as dsn:
        yield dsn


@pytest.fixture
async def connection(dsn: str) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text(ONE)
    (tmp_path / "0002_two.sql").write_text(TWO)
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


class TestMigrating:
    async def test_all_run_in_order_on_an_empty_database(self, connection, source):
        assert await migrate(connection, source=source) == ["0001_one", "0002_two"]
        assert await connection.fetchval("SELECT id FROM two") == 2

    async def test_none_runs_twice(self, dsn, source):
        await migrate(dsn, source=source)
        assert await migrate(dsn, source=source) == []

    async def test_a_new_one_runs_alone(self, connection, source):
        await migrate(connection, source=source)
        (source / "0003_three.sql").write_text("CREATE TABLE three ()")
        assert await pending(connection, source=source) == ["0003_three"]
        assert await migrate(connection, source=source) == ["0003_three"]
        assert await pending(connection, source=source) == []

    async def test_all_are_pending_on_an_empty_database(self, connection, source):
        assert await pending(connection, source=source) == ["0001_one", "0002_two"]

    async def test_one_that_fails_leaves_nothing_and_those_before_it_stay(self, connection, source):
        (source / "0002_two.sql").write_text("CREATE TABLE two (id int); SELECT 1 / 0;")
        with pytest.raises(MigrationError, match="0002_two failed: division by zero"):
            await migrate(connection, source=source)
        assert await connection.fetchval("SELECT to_regclass('two')") is None
        (source / "0002_two.sql").write_text(TWO)
        assert await migrate(connection, source=source) == ["0002_two"]

    async def test_of_several_processes_one_works_and_the_others_find_nothing_to_do(
        self, dsn, source
    ):
        (source / "0001_one.sql").write_text(f"{ONE} SELECT pg_sleep(0.05);")
        results = await asyncio.gather(*(migrate(dsn, source=source) for _ in range(4)))
        assert sorted(results) == [[], [], [], ["0001_one", "0002_two"]]

    async def test_the_programs_own_migrations_fit_an_empty_database(self, dsn):
        names = await migrate(dsn)
        assert names == [migration.name for migration in read_migrations()]
        assert names[0] == "0001_foundation"

    async def test_no_database_is_unavailable(self, tmp_path):
        with pytest.raises(Unavailable):
            await migrate(f"postgresql://foyer@/foyer?host={tmp_path}")


class TestWhatDoesNotFit:
    async def test_an_edited_migration_is_named(self, connection, source):
        await migrate(connection, source=source)
        (source / "0001_one.sql").write_text(f"{ONE} -- harmless?")
        with pytest.raises(MigrationError, match="0001_one is not the one that has run"):
            await migrate(connection, source=source)

    async def test_a_newer_database_is_refused(self, connection, source):
        await migrate(connection, source=source)
        (source / "0002_two.sql").unlink()
        with pytest.raises(MigrationError, match="made by a newer Foyer: it has migration 0002"):
            await migrate(connection, source=source)

    async def test_a_database_that_lacks_one_in_between_is_refused(self, connection, source):
        await migrate(connection, source=source)
        await connection.execute("DELETE FROM schema_migrations WHERE number = 1")
        with pytest.raises(MigrationError, match="0002_two has run, but not 0001"):
            await migrate(connection, source=source)

    async def test_the_lock_is_free_after_a_refusal(self, connection, dsn, source):
        await migrate(connection, source=source)
        (source / "0002_two.sql").unlink()
        with pytest.raises(MigrationError):
            await migrate(connection, source=source)
        (source / "0002_two.sql").write_text(TWO)
        assert await migrate(dsn, source=source) == []


class TestFiles:
    def test_a_gap_in_the_numbers_is_refused(self, source):
        (source / "0004_four.sql").write_text("")
        with pytest.raises(MigrationError, match="0004_four stands where 0003 is expected"):
            read_migrations(source)

    def test_two_with_one_number_are_refused(self, source):
        (source / "0002_too.sql").write_text("")
        with pytest.raises(MigrationError, match="stands where 0003 is expected"):
            read_migrations(source)

    @pytest.mark.parametrize("name", ["1_one.sql", "0003-three.sql", "0003_Three.sql", "x.sql"])
    def test_a_wrong_name_is_refused(self, source, name):
        (source / name).write_text("")
        with pytest.raises(MigrationError, match="is not named like"):
            read_migrations(source)
