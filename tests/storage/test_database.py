"""The pool, its transactions, and what it makes of failures."""

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from homeserver.errors import Unavailable
from homeserver.storage import database as module
from homeserver.storage.database import (
    Connection,
    Database,
    OutcomeUnknown,
    TransactionConflict,
)
from homeserver.storage.embedded import EmbeddedPostgres
from homeserver.storage.embedded.cluster import Cluster
from tests.support.postgres import database_name, fresh_database, with_database
from tests.support.stand_in import QUICK


@pytest.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """An empty database with one table."""
    async with fresh_database(postgres, template=None) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE words (word text PRIMARY KEY, count int DEFAULT 0)")
        await connection.close()
        yield dsn


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(dsn, max_connections=4)
    yield database
    await database.close()


async def add(connection: Connection, word: str) -> None:
    await connection.execute("INSERT INTO words VALUES ($1)", word)


async def store(database: Database, *added: str, then: Callable[[], object] = bool) -> None:
    """Add the words in one transaction, which ends with `then`."""
    async with database.transaction() as connection:
        for word in added:
            await add(connection, word)
        then()


async def words(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row["word"] for row in await connection.fetch("SELECT word FROM words ORDER BY 1")]


async def terminate_others(postgres: str, dsn: str) -> None:
    """Cut all connections to the database, as an administrator."""
    name = database_name(dsn)
    administrator = await asyncpg.connect(with_database(postgres, "postgres", user="postgres"))
    await administrator.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
    )
    await administrator.close()


class TestTransaction:
    async def test_it_is_committed_at_the_end(self, db):
        await store(db, "one")
        assert await words(db) == ["one"]

    async def test_it_is_rolled_back_on_an_error(self, db):
        with pytest.raises(ZeroDivisionError):
            await store(db, "one", then=lambda: 1 / 0)
        assert await words(db) == []

    async def test_it_is_rolled_back_when_its_task_is_cancelled(self, db):
        begun = asyncio.Event()

        async def forever() -> None:
            async with db.transaction() as connection:
                await add(connection, "one")
                begun.set()
                await connection.execute("SELECT pg_sleep(1000)")

        task = asyncio.create_task(forever())
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert await words(db) == []

    async def test_it_may_be_cancelled_at_any_moment(self, db):
        """While it begins, writes, is committed or rolled back: it is there or not, and nobody
        finds anything open.
        """
        complaints: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        ended = []
        try:
            for number in range(300):
                task = asyncio.create_task(store(db, f"{number:03}"))
                for _ in range(number % 60):
                    await asyncio.sleep(0)
                await asyncio.sleep(number // 60 * 0.0002)
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    ended.append(f"{number:03}")
        finally:
            loop.set_exception_handler(None)
        assert complaints == []
        assert {*ended} <= {*await words(db)}
        await store(db, "another")

    async def test_it_reads_what_others_committed_meanwhile(self, db):
        async with db.transaction() as connection:
            assert await connection.fetchval("SHOW transaction_isolation") == "read committed"

    async def test_a_savepoint_inside_it_can_fail_alone(self, db):
        async with db.transaction() as connection:
            await add(connection, "one")
            with suppress(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    await add(connection, "one")
            await add(connection, "two")
        assert await words(db) == ["one", "two"]

    async def test_a_caught_error_does_not_let_a_rolled_back_transaction_pass_for_committed(
        self, db
    ):
        async def store_twice() -> None:
            async with db.transaction() as connection:
                await add(connection, "one")
                with suppress(asyncpg.UniqueViolationError):
                    await add(connection, "one")

        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await store_twice()
        assert await words(db) == []

    async def test_a_wrong_statement_stays_an_error_of_its_own(self, db):
        with pytest.raises(asyncpg.UniqueViolationError):
            await store(db, "one", "one")
        with pytest.raises(asyncpg.InterfaceError):
            async with db.transaction() as connection:
                await connection.execute("SELECT $1::int", 1, 2)


class TestSnapshot:
    async def test_all_reads_see_one_moment(self, db):
        async with db.snapshot() as before:
            assert await before.fetchval("SELECT count(*) FROM words") == 0
            await store(db, "one")
            assert await before.fetchval("SELECT count(*) FROM words") == 0
        assert await words(db) == ["one"]

    async def test_it_does_not_write(self, db):
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with db.snapshot() as connection:
                await add(connection, "one")


class TestSettings:
    async def test_every_connection_has_them(self, db):
        async with db.connection() as connection:
            assert await connection.fetchval("SHOW jit") == "off"
            assert await connection.fetchval("SHOW statement_timeout") == "30s"
            assert await connection.fetchval("SHOW timezone") == "UTC"
            assert await connection.fetchval("SHOW application_name") == "foyer"

    async def test_a_dedicated_connection_has_no_statement_timeout_and_can_listen(self, db):
        heard: asyncio.Queue[object] = asyncio.Queue()
        async with db.dedicated() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "0"
            await connection.add_listener("news", lambda *news: heard.put_nowait(news[-1]))
            async with db.connection() as other:
                await other.execute("SELECT pg_notify('news', 'hello')")
            assert await heard.get() == "hello"

    async def test_the_timeout_of_one_transaction_does_not_outlive_it(self, dsn):
        db = await Database.connect(dsn, max_connections=1)
        async with db.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = '1s'")
        async with db.connection() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "30s"
        await db.close()


class TestConflicts:
    async def test_the_loser_of_a_deadlock_is_done_again(self, db):
        await store(db, "one", "two")
        both = asyncio.Barrier(2)
        attempts = 0

        def count(first: str, second: str) -> Callable[[Connection], Awaitable[None]]:
            async def work(connection: Connection) -> None:
                nonlocal attempts
                attempts += 1
                await self.count(connection, first)
                if attempts <= 2:
                    await both.wait()
                await self.count(connection, second)

            return work

        await asyncio.gather(db.retrying(count("one", "two")), db.retrying(count("two", "one")))
        assert attempts == 3
        async with db.connection() as connection:
            assert await connection.fetchval("SELECT array_agg(count) FROM words") == [2, 2]

    async def count(self, connection: Connection, word: str) -> None:
        await connection.execute("UPDATE words SET count = count + 1 WHERE word = $1", word)

    async def test_who_always_loses_is_told_after_a_few_attempts(self, db):
        attempts = 0

        async def lose(connection: Connection) -> None:
            nonlocal attempts
            attempts += 1
            await connection.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

        with pytest.raises(TransactionConflict):
            await db.retrying(lose, attempts=3)
        assert attempts == 3

    async def test_other_errors_are_not_repeated(self, db):
        attempts = 0

        async def fail(connection: Connection) -> None:
            nonlocal attempts
            attempts += 1
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await db.retrying(fail)
        assert attempts == 1


class TestLostConnections:
    async def test_a_cut_connection_is_unavailable_and_the_next_use_gets_a_new_one(
        self, postgres, dsn, db
    ):
        async def store_with_a_cut() -> None:
            async with db.transaction() as connection:
                await add(connection, "one")
                await terminate_others(postgres, dsn)
                await add(connection, "two")

        with pytest.raises(Unavailable):
            await store_with_a_cut()
        assert await words(db) == []

    async def test_all_idle_connections_may_be_cut(self, postgres, dsn, db):
        async with db.connection(), db.connection(), db.connection():
            pass
        await terminate_others(postgres, dsn)
        with suppress(Unavailable):  # asyncpg may not have noticed yet
            await words(db)
        for _ in range(4):
            assert await words(db) == []

    async def test_a_statement_under_way_is_unavailable(self, postgres, dsn, db):
        async def wait() -> None:
            async with db.connection() as connection:
                await connection.execute("SELECT pg_sleep(1000)")

        task = asyncio.create_task(wait())
        async with db.connection() as connection:
            while not await connection.fetchval(
                "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)'"
            ):
                pass
        await terminate_others(postgres, dsn)
        with pytest.raises(Unavailable):
            await task

    async def test_a_connection_lost_during_commit_leaves_the_outcome_unknown(
        self, postgres, dsn, db
    ):
        async with db.connection() as connection:
            await connection.execute(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$;"
                "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON words"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()"
            )

        task = asyncio.create_task(store(db, "one"))
        async with db.connection() as connection:
            while not await connection.fetchval(
                "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT;' AND state = 'active'"
            ):
                pass
        await terminate_others(postgres, dsn)
        with pytest.raises(OutcomeUnknown):
            await task


class TestLimits:
    async def test_a_statement_that_takes_too_long_is_unavailable(self, dsn):
        db = await Database.connect(dsn, statement_timeout_s=0.05)
        with pytest.raises(Unavailable, match="statement timeout"):
            async with db.connection() as connection:
                await connection.execute("SELECT pg_sleep(1000)")
        assert await words(db) == []
        await db.close()

    async def test_waiting_for_a_free_connection_ends(self, dsn):
        db = await Database.connect(dsn, max_connections=1, acquire_timeout_s=0.05)
        async with db.connection():
            with pytest.raises(Unavailable, match="did not answer in time"):
                await words(db)
        await db.close()

    async def test_too_many_clients_are_unavailable(self, dsn):
        name = database_name(dsn)
        db = await Database.connect(dsn, max_connections=2)
        async with db.connection() as connection:
            await connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 1")
            with pytest.raises(Unavailable, match="too many connections"):
                await words(db)
        assert await words(db) == []
        await db.close()

    async def test_a_server_that_says_nothing_any_more_is_unavailable(
        self, postgres, dsn, monkeypatch
    ):
        monkeypatch.setattr(module, "_CLIENT_MARGIN_S", 0.1)
        db = await Database.connect(dsn, statement_timeout_s=0.1, acquire_timeout_s=0.5)
        async with db.connection() as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="did not answer in time"):
                await words(db)
        finally:
            os.kill(backend, signal.SIGCONT)
        assert await words(db) == []
        await db.close()

    async def test_closing_does_not_wait_for_ever(self, dsn):
        db = await Database.connect(dsn)

        async def close_while_in_use() -> None:
            async with db.connection() as connection:
                await db.close(grace_s=0.05)
                await connection.execute("SELECT 1")

        with pytest.raises(Unavailable):
            await close_while_in_use()
        with pytest.raises(Unavailable):
            await words(db)


class TestAway:
    async def test_no_server_is_unavailable_at_once(self, tmp_path):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await Database.connect(f"postgresql://foyer@/foyer?host={tmp_path}")

    async def test_a_server_that_is_starting_up_is_unavailable(self, tmp_path):
        refusal = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"
        async with answering(tmp_path, b"E" + struct.pack("!i", len(refusal) + 4) + refusal) as dsn:
            with pytest.raises(Unavailable, match="starting up"):
                await Database.connect(dsn)

    async def test_a_server_that_never_answers_is_unavailable(self, tmp_path):
        async with answering(tmp_path, b"") as dsn:
            with pytest.raises(Unavailable, match="did not answer in time"):
                await Database.connect(dsn, acquire_timeout_s=0.05)

    async def test_the_pool_lives_on_when_the_server_comes_back(self, tmp_path):
        server = EmbeddedPostgres(data_dir=tmp_path, settings=QUICK)
        db = await Database.connect(await server.start())
        try:
            async with db.connection() as connection:
                await connection.execute("CREATE TABLE words (word text)")
                await add(connection, "one")
            await server.stop()
            with pytest.raises(Unavailable):
                await words(db)
            with pytest.raises(Unavailable, match="cannot be reached"):
                await words(db)
            await server.start()
            assert await words(db) == ["one"]
        finally:
            await db.close()
            await server.stop()

    async def test_under_repeated_kills_there_is_unavailable_or_the_truth(self, tmp_path):
        """Each word is there if its transaction said so, and none is there that failed."""
        server = EmbeddedPostgres(data_dir=tmp_path, settings=QUICK)
        db = await Database.connect(await server.start())
        watching = asyncio.create_task(server.watch())
        try:
            async with db.connection() as connection:
                await connection.execute("CREATE TABLE words (word text)")
            stored, failed = await self.write_through_kills(db, tmp_path)
            found = set(await when_back(db))
            assert stored <= found
            assert not failed & found
        finally:
            await db.close()
            await server.stop()
        await watching

    async def write_through_kills(self, db: Database, data_dir: Path) -> tuple[set[str], set[str]]:
        """The words that were stored, and those that certainly were not."""
        stored: set[str] = set()
        failed: set[str] = set()
        killed: list[int] = []
        for number in range(100_000):
            word = str(number)
            try:
                await store(db, word)
            except OutcomeUnknown:
                continue
            except Unavailable:
                failed.add(word)
                await asyncio.sleep(0.02)
                continue
            stored.add(word)
            pid = Cluster(data_dir).postmaster() if number % 50 == 0 else None
            if pid and pid not in killed:
                if len(killed) == 3:
                    break
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
        return stored, failed


async def when_back(db: Database) -> list[str]:
    while True:
        try:
            return await words(db)
        except Unavailable:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def answering(directory: Path, answer: bytes) -> AsyncIterator[str]:
    """A server that says this to everybody, and nothing else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, directory / ".s.PGSQL.5432")
    async with server:
        yield f"postgresql://foyer@/foyer?host={directory}&port=5432"
