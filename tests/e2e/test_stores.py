"""Stores of machines, and the keeper that runs steps on them."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from e2e.client.errors import BadKeys, BadSecret
from e2e.client.keeper import Keeper
from e2e.client.records import FETCHED, InboundGroup
from e2e.client.store.postgres import PostgresStore
from e2e.client.store.protocol import Store, StoreInUse
from e2e.client.store.sealing import SealedStore
from e2e.client.store.sqlite import SQLiteStore
from e2e.client.vault import Key

KEY = bytes(range(32))
ROOM = "!room:x"

Opening = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request, tmp_path: Path) -> Opening:
    """Opens the same store, again and again."""
    if request.param == "sqlite":
        return lambda: SQLiteStore.open(tmp_path / "olm" / "store.db")
    dsn = request.getfixturevalue("database_dsn")
    return lambda: PostgresStore.open(dsn, device="@alice:x ALICE")


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    opened = await opening()
    yield opened
    await opened.close()


def sealed(store: Store, key: bytes = KEY) -> SealedStore:
    return SealedStore(store, key=key, entropy=secrets.token_bytes)


async def keeper(store: Store, device_id: str = "ALICE") -> Keeper:
    return await Keeper.open(
        store, user_id="@alice:x", device_id=device_id, entropy=secrets.token_bytes
    )


class TestStore:
    async def test_rows_are_there_after_it_was_closed(self, opening):
        store = await opening()
        await store.write({Key("a", "1"): b"one", Key("b", "2"): b"two"})
        await store.close()
        store = await opening()
        assert await store.load(without=["b"]) == {Key("a", "1"): b"one"}
        keys = [Key("b", "2"), Key("b", "3")]
        assert await store.fetch(keys) == {keys[0]: b"two", keys[1]: None}
        await store.close()

    async def test_rows_are_replaced_and_deleted(self, store):
        await store.write({Key("a", "1"): b"one", Key("a", "2"): b"two"})
        await store.write({Key("a", "1"): b"other", Key("a", "2"): None})
        assert await store.load(without=[]) == {Key("a", "1"): b"other"}

    async def test_a_write_is_all_or_nothing(self, store):
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever library
            await store.write({Key("a", "1"): b"one", Key("a", "2"): object()})
        assert await store.load(without=[]) == {}

    async def test_only_one_process_has_it(self, opening, store):
        await store.write({Key("a", "1"): b"one"})
        with pytest.raises(StoreInUse):
            await opening()

    async def test_nothing_is_readable_without_the_key(self, store):
        await sealed(store).write({Key("a", "1"): b"secret"})
        (raw,) = (await store.load(without=[])).values()
        assert b"secret" not in raw
        assert await sealed(store).load(without=[]) == {Key("a", "1"): b"secret"}
        with pytest.raises(BadSecret):
            await sealed(store, bytes(32)).load(without=[])

    async def test_rows_cannot_be_exchanged(self, store):
        await sealed(store).write({Key("a", "1"): b"secret"})
        (raw,) = (await store.load(without=[])).values()
        await store.write({Key("a", "2"): raw})
        with pytest.raises(BadSecret):
            await sealed(store).fetch([Key("a", "2")])


class TestSQLite:
    async def test_the_file_is_for_its_owner_only(self, tmp_path):
        store = await SQLiteStore.open(tmp_path / "olm" / "store.db")
        assert (tmp_path / "olm" / "store.db").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "olm").stat().st_mode & 0o777 == 0o700
        await store.close()

    async def test_a_file_of_something_else_is_not_touched(self, tmp_path):
        path = tmp_path / "store.db"
        path.write_text("no database, but long enough to look like one" * 100)
        with pytest.raises(sqlite3.DatabaseError):
            await SQLiteStore.open(path)


class TestKeeper:
    async def test_a_device_is_the_same_after_a_restart(self, store):
        first = await (await keeper(sealed(store))).run(lambda m: m.device)
        again = await (await keeper(sealed(store))).run(lambda m: m.device)
        assert first == again

    async def test_a_store_of_another_device_is_refused(self, store):
        await keeper(store)
        with pytest.raises(BadKeys):
            await keeper(store, "ANOTHER")

    async def test_what_is_needed_is_fetched(self, store):
        one = await keeper(store)
        content = {"algorithm": "m.megolm.v1.aes-sha2"}
        await one.run(lambda m: m.room_state(ROOM, "m.room.encryption", content))
        encrypted = await one.run(
            lambda m: m.encrypt(ROOM, [], "m.room.message", {"body": "x"}, now_ms=0)
        )
        event = {"room_id": ROOM, "sender": "@alice:x", "event_id": "$1", "content": encrypted}
        again = await keeper(store)
        kinds = {key.kind for key in await store.load(without=FETCHED)}
        assert InboundGroup.KIND not in kinds
        assert (await again.run(lambda m: m.decrypt(event))).content == {"body": "x"}

    async def test_a_note_is_kept_with_its_step(self, store):
        one = await keeper(store)
        await one.run_and_note(lambda m: m.track(["@bob:x"]), "since", "s1")

        def failing(machine):
            machine.track(["@charlie:x"])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await one.run_and_note(failing, "since", "s2")
        again = await keeper(store)
        assert await again.note("since") == "s1"
        assert (await again.run(lambda m: m.query())).serials.keys() == {"@bob:x"}

    async def test_if_the_store_fails_nothing_has_changed(self, store):
        class Failing:
            def __getattr__(self, name):
                return getattr(store, name)

            async def write(self, changes):
                if self.fails:
                    raise OSError("no space")
                await store.write(changes)

            fails = False

        failing = Failing()
        one = await keeper(failing)
        failing.fails = True
        with pytest.raises(OSError, match="no space"):
            await one.run(lambda m: m.track(["@bob:x"]))
        failing.fails = False
        assert await one.run(lambda m: m.query()) is None

    async def test_a_step_that_is_cancelled_while_it_is_stored_has_happened(self, store):
        started, release = asyncio.Event(), asyncio.Event()

        class Slow:
            def __getattr__(self, name):
                return getattr(store, name)

            async def write(self, changes):
                if one_is_open:
                    started.set()
                    await release.wait()
                await store.write(changes)

        one_is_open = False
        one = await keeper(Slow())
        one_is_open = True
        running = asyncio.create_task(one.run(lambda m: m.track(["@bob:x"])))
        await started.wait()
        running.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        one_is_open = False
        assert (await one.run(lambda m: m.query())).serials.keys() == {"@bob:x"}
        again = await keeper(store)
        assert (await again.run(lambda m: m.query())).serials.keys() == {"@bob:x"}
