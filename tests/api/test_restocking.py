"""A device that fills up its one-time keys again and again: what the server remembers of it is
never taken for more than it is.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.standings import Standings
from homeserver.events import canonical_json
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Batch, Standing
from tests.api.test_one_time_keys import CLAIM, UPLOAD, all_of, claims, keys_of, uploads
from tests.support.encryption import SIGNED, KeyMaker
from tests.support.matrix_server import MatrixUser, matrix_server
from tests.support.queries import counted

MANY = 40


@pytest.fixture
async def phone(alice: MatrixUser) -> KeyMaker:
    who = await alice.get("v3/account/whoami")
    maker = KeyMaker.of(who["user_id"], who["device_id"])
    await alice.post(UPLOAD, maker.upload())
    return maker


@pytest.fixture
async def elsewhere(alice: MatrixUser, database: Database) -> AsyncIterator[MatrixUser]:
    """Alice at another process, of which this one hears nothing."""
    async with matrix_server(database) as other:
        yield MatrixUser(other.client, alice.token, alice.user_id)


async def statements(database: Database, user: MatrixUser, keys: dict[str, Any]) -> int:
    async with counted(database) as sent:
        await uploads(user, keys)
    return len(sent)


class TestStatements:
    async def test_one_adds_where_it_is_known_how_the_device_stands(self, alice, phone, database):
        for name in "ABC":
            assert await statements(database, alice, keys_of(phone, MANY, name)) == 1

    async def test_another_reads_where_it_is_not(self, alice, phone, database, elsewhere):
        await uploads(elsewhere, keys_of(phone, MANY, "A"))
        assert await statements(database, elsewhere, keys_of(phone, MANY, "B")) == 1
        async with matrix_server(database) as later:
            user = MatrixUser(later.client, alice.token, alice.user_id)
            await user.get("v3/account/whoami")
            assert await statements(database, user, keys_of(phone, MANY, "C")) == 2

    async def test_the_first_keys_of_a_device_that_brings_them_with_it(self, bob, database):
        who = await bob.get("v3/account/whoami")
        maker = KeyMaker.of(who["user_id"], who["device_id"])
        await bob.post(UPLOAD, maker.upload(MANY))
        assert await statements(database, bob, keys_of(maker, MANY, "B")) == 1
        assert await uploads(bob, keys_of(maker, 1, "C")) == {SIGNED: 2 * MANY + 1}


class TestOtherProcesses:
    """What this one remembers is out of date."""

    async def test_keys_that_were_added_are_counted(self, alice, bob, phone, elsewhere):
        first, second, third = (keys_of(phone, MANY, name) for name in "ABC")
        assert await uploads(alice, first) == {SIGNED: MANY}
        assert await uploads(elsewhere, second) == {SIGNED: 2 * MANY}
        assert await uploads(alice, third) == {SIGNED: 3 * MANY}
        assert await uploads(elsewhere, {**first, **second, **third}) == {SIGNED: 3 * MANY}
        assert await all_of(bob, phone) == {**first, **second, **third}

    async def test_another_key_under_an_id_is_refused(self, alice, bob, phone, elsewhere):
        keys = keys_of(phone, MANY, "A")
        await uploads(alice, keys_of(phone, 1, "Z"))
        await uploads(elsewhere, keys)
        await refuses(alice, keys_of(phone, 2, "A"))
        assert await claims(bob, phone)
        assert await all_of(bob, phone) == keys

    async def test_keys_that_were_handed_out_are_not_counted(self, alice, bob, phone, elsewhere):
        await uploads(alice, keys_of(phone, MANY, "A"))
        there = MatrixUser(elsewhere._client, bob.token, bob.user_id)
        for _ in range(3):
            assert await claims(there, phone)
        assert await uploads(alice, keys_of(phone, 2, "B")) == {SIGNED: MANY - 3 + 2}

    async def test_keys_that_were_handed_out_do_not_come_back(self, alice, bob, phone, elsewhere):
        keys = keys_of(phone, 2, "A")
        await uploads(alice, keys_of(phone, 1, "Z"))
        await uploads(elsewhere, keys)
        await all_of(bob, phone)
        assert await uploads(alice, keys) == {}

    @pytest.mark.parametrize("count", [2, MANY])
    async def test_another_identity_signs(self, alice, bob, phone, elsewhere, count):
        await uploads(alice, keys_of(phone, MANY, "A"))
        new = KeyMaker.of(phone.user_id, phone.device_id)
        await elsewhere.post(UPLOAD, new.upload())
        await refuses(alice, keys_of(phone, count, "B"), "M_INVALID_SIGNATURE")
        keys = keys_of(new, count, "B")
        assert await uploads(alice, keys) == {SIGNED: count}
        assert await all_of(bob, phone) == keys

    async def test_another_identity_and_the_former_one_again(self, alice, bob, phone, elsewhere):
        await uploads(alice, keys_of(phone, MANY, "A"))
        await elsewhere.post(UPLOAD, KeyMaker.of(phone.user_id, phone.device_id).upload())
        await elsewhere.post(UPLOAD, phone.upload())
        keys = keys_of(phone, MANY, "A")
        assert await uploads(alice, keys) == {SIGNED: MANY}
        assert await all_of(bob, phone) == keys


class TestHere:
    """What this process changes itself."""

    async def test_another_identity(self, alice, bob, phone):
        await uploads(alice, keys_of(phone, MANY, "A"))
        new = KeyMaker.of(phone.user_id, phone.device_id)
        await alice.post(UPLOAD, new.upload())
        await refuses(alice, keys_of(phone, 2, "B"), "M_INVALID_SIGNATURE")
        keys = keys_of(new, 2, "A")
        assert await uploads(alice, keys) == {SIGNED: 2}
        assert await all_of(bob, phone) == keys

    async def test_no_more_than_a_thousand(self, alice, phone):
        for name in "ABCDE":
            await uploads(alice, keys_of(phone, 199, name))
        await refuses(alice, keys_of(phone, 6, "F"), "M_TOO_LARGE")
        assert await uploads(alice, keys_of(phone, 5, "F")) == {SIGNED: 1_000}
        await refuses(alice, keys_of(phone, 1, "G"), "M_TOO_LARGE")
        assert await uploads(alice, {}) == {SIGNED: 1_000}

    async def test_the_same_again_after_all_was_handed_out(self, alice, bob, phone):
        keys = keys_of(phone, 3, "A")
        await uploads(alice, keys)
        assert await all_of(bob, phone) == keys
        assert await uploads(alice, keys) == {}
        assert await uploads(alice, keys_of(phone, 1, "B")) == {SIGNED: 1}

    async def test_claims_of_several_algorithms(self, alice, bob, phone):
        await uploads(alice, {**keys_of(phone, 2, "A"), "plain:1": "one"})
        wanted = {phone.user_id: {phone.device_id: "plain"}}
        await bob.post(CLAIM, {"one_time_keys": wanted})
        assert await uploads(alice, {"plain:2": "two", "other:1": "x"}) == {
            SIGNED: 2,
            "plain": 1,
            "other": 1,
        }


class TestFormerRows:
    """Keys that were stored as JSON, all of them, and hashes of JSON."""

    async def test_they_are_handed_out_as_they_are(self, alice, bob, phone, database):
        keys = keys_of(phone, 3, "A")
        await uploads(alice, keys)
        await as_json(database, keys)
        assert await all_of(bob, phone) == keys

    async def test_the_same_again_changes_nothing(self, alice, bob, phone, database):
        keys = keys_of(phone, 3, "A")
        await uploads(alice, keys)
        await as_json(database, keys)
        assert await uploads(alice, keys) == {SIGNED: 3}
        await refuses(alice, keys_of(phone, 3, "A"))
        await claims(bob, phone)
        assert await uploads(alice, keys) == {SIGNED: 2}
        await all_of(bob, phone)
        assert await uploads(alice, keys) == {}


async def as_json(database: Database, keys: dict[str, Any]) -> None:
    lines = b"\n".join(map(canonical_json.encode, keys.values())).decode()
    async with database.connection() as db:
        await db.execute("UPDATE one_time_key_batches SET keys = $1", lines)


async def refuses(user: MatrixUser, keys: dict[str, Any], code: str = "M_INVALID_PARAM") -> None:
    _, answer = await user.request("POST", UPLOAD, {"one_time_keys": keys})
    assert answer["errcode"] == code


class TestAtOnce:
    async def test_uploads_of_all_kinds_are_all_there(self, alice, bob, phone, database):
        keys = [keys_of(phone, MANY, name) for name in "ABCDEF"]
        more = [
            {},
            {"device_keys": phone.device_keys()},
            {"fallback_keys": phone.fallback_key("F")},
        ]
        await asyncio.gather(*(uploads(alice, each, **more[n % 3]) for n, each in enumerate(keys)))
        assert await statements(database, alice, keys_of(phone, 1, "G")) == 1
        assert await uploads(alice, {}) == {SIGNED: 6 * MANY + 1}


class TestMemory:
    STANDING = Standing(b"{}", 3, {"x": "A\nB"})

    def test_it_is_bounded(self):
        standings = Standings(capacity=2)
        for number in range(3):
            standings.put(number, self.STANDING)
        assert [standings.take(number) for number in range(3)] == [
            None,
            self.STANDING,
            self.STANDING,
        ]

    def test_who_used_it_last_stays_longest(self):
        standings = Standings(capacity=2)
        for number in (0, 1, 0, 2):
            standings.put(number, self.STANDING)
        assert standings.take(1) is None
        assert standings.take(0) == self.STANDING

    def test_of_a_device_with_very_many_ids_nothing_is_kept(self):
        standings = Standings()
        standings.put(1, Standing(b"{}", 3, {"x": "A" * 5_000, "y": "B" * 5_000}))
        assert standings.take(1) is None

    def test_what_stands_after(self):
        after = self.STANDING.after(Batch("x", {"C": "1", "D": "2"})).after(Batch("y", {"A": "3"}))
        assert after == Standing(b"{}", 5, {"x": "A\nB\nC\nD", "y": "A"})
        assert after.knows(Batch("x", {"Z": "", "D": ""}))
        assert not after.knows(Batch("y", {"B": ""}))
