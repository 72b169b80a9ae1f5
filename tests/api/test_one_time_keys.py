"""One-time keys in batches: whose signatures count, and what several who come at once get.

Source: C-S API v1.19 "One-time and fallback keys"; docs/decisions/0008.
"""

import asyncio
from typing import Any

import pytest

from homeserver.storage import one_time_keys
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Batch, Wanted
from tests.support.encryption import SIGNED, KeyMaker, curve25519
from tests.support.matrix_server import MatrixUser

UPLOAD, CLAIM = "v3/keys/upload", "v3/keys/claim"
MANY = 100
PLACES = [0, MANY // 2, MANY - 1]
Json = dict[str, Any]


@pytest.fixture
async def phone(alice: MatrixUser) -> KeyMaker:
    return await device_of(alice)


async def device_of(user: MatrixUser) -> KeyMaker:
    """A device with an identity."""
    who = await user.get("v3/account/whoami")
    maker = KeyMaker.of(who["user_id"], who["device_id"])
    await user.post(UPLOAD, maker.upload())
    return maker


def keys_of(phone: KeyMaker, count: int, name: str = "K") -> Json:
    return phone.one_time_keys(*(f"{name}{number:03}" for number in range(count)))


def forged(keys: Json, place: int) -> Json:
    """With another public key than the one that was signed."""
    name = [*keys][place]
    return {**keys, name: {**keys[name], "key": curve25519()}}


async def uploads(user: MatrixUser, keys: Json, **more: Any) -> Json:
    answer = await user.post(UPLOAD, {"one_time_keys": keys, **more})
    counts: Json = answer["one_time_key_counts"]
    return counts


async def claims(by: MatrixUser, phone: KeyMaker) -> Json:
    """The key that is given; {} for none."""
    answer = await by.post(CLAIM, {"one_time_keys": {phone.user_id: {phone.device_id: SIGNED}}})
    found: Json = answer["one_time_keys"].get(phone.user_id, {}).get(phone.device_id, {})
    return found


async def all_of(by: MatrixUser, phone: KeyMaker) -> Json:
    """Everything that can be claimed, where there is no fallback key."""
    given: Json = {}
    while found := await claims(by, phone):
        given.update(found)
    return given


def some(keys: Json, count: int) -> Json:
    """The first of them."""
    return dict([*keys.items()][:count])


class TestSignatures:
    """No key is taken that its device has not signed, and nothing that came with one."""

    @pytest.mark.parametrize("place", PLACES)
    async def test_a_wrong_one_is_refused_with_all(self, alice, bob, phone, place):
        former = keys_of(phone, 2, "A")
        await uploads(alice, former)
        await refuses(alice, {"one_time_keys": forged(keys_of(phone, MANY), place)})
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {SIGNED: 2}}
        assert await all_of(bob, phone) == former

    @pytest.mark.parametrize("place", PLACES)
    async def test_a_device_is_refused_with_its_first_keys(self, alice, bob, place):
        who = await alice.get("v3/account/whoami")
        maker = KeyMaker.of(who["user_id"], who["device_id"])
        body = maker.upload(MANY, fallback="F")
        body["one_time_keys"] = forged(body["one_time_keys"], place)
        await refuses(alice, body)
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {}}
        assert await claims(bob, maker) == {}
        found = await alice.post("v3/keys/query", {"device_keys": {alice.user_id: []}})
        assert found["device_keys"][alice.user_id] == {}

    @pytest.mark.parametrize("place", PLACES)
    async def test_a_wrong_one_is_wrong_in_whatever_form(self, alice, bob, phone, place):
        """Keys may say more than usual."""
        keys = keys_of(phone, MANY)
        for name in keys:
            keys[name] = phone.signs({"key": keys[name]["key"], "note": "ä"})
        await refuses(alice, {"one_time_keys": forged(keys, place)})
        assert await claims(bob, phone) == {}
        assert await uploads(alice, keys) == {SIGNED: MANY}

    async def test_a_wrong_fallback_key_is_refused(self, alice, bob, phone):
        await refuses(alice, {"fallback_keys": forged(phone.fallback_key("F"), 0)})
        assert await claims(bob, phone) == {}

    async def test_a_signature_of_another_form_is_refused(self, alice, phone):
        for text in ("", "short", "A" * 85, "=" * 86, 7, None):
            keys = keys_of(phone, 30)
            signatures = {phone.user_id: {phone.key.key_id: text}}
            keys[[*keys][15]]["signatures"] = signatures
            await refuses(alice, {"one_time_keys": keys})

    async def test_who_made_them_right_may_upload_them_again(self, alice, bob, phone):
        keys = keys_of(phone, 30)
        await refuses(alice, {"one_time_keys": forged(keys, 7)})
        assert await uploads(alice, keys) == {SIGNED: 30}
        assert await all_of(bob, phone) == keys

    async def test_the_key_is_named(self, alice, phone):
        body = {"one_time_keys": forged(keys_of(phone, MANY), 70)}
        _, answer = await alice.request("POST", UPLOAD, body)
        assert f"{SIGNED}:K070" in answer["error"]

    async def test_keys_without_signatures_are_of_other_algorithms(self, alice, bob, phone):
        keys = {f"plain:{number}": f"text {number}" for number in range(30)}
        mixed = {**keys_of(phone, 3), **keys, **keys_of(phone, 9, "Z")}
        await refuses(alice, {"one_time_keys": forged(mixed, 40)})
        assert await uploads(alice, mixed) == {SIGNED: 12, "plain": 30}
        wanted = {phone.user_id: {phone.device_id: "plain"}}
        for name, key in keys.items():
            found = await bob.post(CLAIM, {"one_time_keys": wanted})
            assert found["one_time_keys"][phone.user_id][phone.device_id] == {name: key}
        assert len(await all_of(bob, phone)) == 12


async def refuses(user: MatrixUser, body: Json) -> None:
    refused = await user.is_refused("POST", UPLOAD, body, status=400)
    assert refused == "M_INVALID_SIGNATURE"


class TestBatches:
    """What a device uploads together."""

    async def test_keys_go_out_in_their_order_over_all_batches(self, alice, bob, phone):
        keys: Json = {}
        for name, count in (("C", 1), ("A", 30), ("B", 5)):
            more = keys_of(phone, count, name)
            keys |= more
            await uploads(alice, more)
        assert [*await all_of(bob, phone)] == [*keys]

    async def test_an_upload_again_brings_back_nothing(self, alice, bob, phone):
        keys = keys_of(phone, 12)
        await uploads(alice, keys)
        for left in range(11, -1, -1):
            assert await claims(bob, phone)
            assert (await uploads(alice, keys)).get(SIGNED, 0) == left
        assert await claims(bob, phone) == {}

    async def test_what_is_new_beside_what_is_known_is_taken(self, alice, bob, phone):
        first, second = keys_of(phone, 6), keys_of(phone, 12)
        await uploads(alice, first)
        await claims(bob, phone)
        assert await uploads(alice, {**second, **first}) == {SIGNED: 11}
        assert (await all_of(bob, phone)).keys() == second.keys() - {f"{SIGNED}:K000"}

    async def test_an_id_may_be_used_again_when_its_key_is_gone(self, alice, bob, phone):
        first, second = keys_of(phone, 2), keys_of(phone, 2)
        await uploads(alice, first)
        assert await claims(bob, phone) == some(first, 1)
        other = {"one_time_keys": second}
        assert await alice.is_refused("POST", UPLOAD, other, status=400) == "M_INVALID_PARAM"
        assert await uploads(alice, some(second, 1)) == {SIGNED: 2}
        # Neither of the two comes back.
        await all_of(bob, phone)
        assert await uploads(alice, some(first, 1)) == {}
        assert await uploads(alice, some(second, 1)) == {}

    async def test_an_id_is_one_of_its_algorithm(self, alice, phone):
        await uploads(alice, keys_of(phone, 2))
        assert await uploads(alice, {"plain:K000": "text"}) == {SIGNED: 2, "plain": 1}

    async def test_uploads_that_come_at_once_all_count(self, alice, bob, phone):
        several = [keys_of(phone, 5, name) for name in "ABCDEFGH"]
        await asyncio.gather(*(uploads(alice, keys) for keys in several))
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {SIGNED: 40}}
        assert len(await all_of(bob, phone)) == 40

    async def test_the_same_at_once_counts_once(self, alice, phone):
        keys = keys_of(phone, 20)
        answers = await asyncio.gather(*(uploads(alice, keys) for _ in range(6)))
        assert answers == [{SIGNED: 20}] * 6

    async def test_what_was_handed_out_long_ago_is_forgotten(
        self, alice, bob, phone, database, monkeypatch
    ):
        monkeypatch.setattr(one_time_keys, "REMEMBERED", 3)
        for module in ("REMEMBERED", "_FORGOTTEN_AT_ONCE"):
            monkeypatch.setattr(f"e2e.putting_keys.{module}", 3)
        batches = [keys_of(phone, 2, f"B{number}") for number in range(6)]
        for keys in batches:
            await uploads(alice, keys)
            await all_of(bob, phone)
        assert await batches_in(database) < len(batches)
        assert await uploads(alice, batches[-1]) == {}
        assert await uploads(alice, batches[0]) == {SIGNED: 2}


async def batches_in(database: Database) -> int:
    async with database.connection() as db:
        found: int = await db.fetchval("SELECT count(*) FROM one_time_key_batches")
    return found


class TestSeveralProcesses:
    """On one database, without anything else in common."""

    async def test_no_two_get_the_same_key(self, alice, phone, database):
        keys = keys_of(phone, 40)
        for start in range(0, 40, 8):
            await uploads(alice, dict([*keys.items()][start : start + 8]))
        wish = Wanted(phone.user_id, phone.device_id, SIGNED)

        async def claims_two() -> list[str]:
            async with database.transaction() as db:
                found = await one_time_keys.claim(db, [wish, wish])
            return [f"{SIGNED}:{key.key_id}" for key in found]

        answers = await asyncio.gather(*(claims_two() for _ in range(25)))
        given = [name for answer in answers for name in answer]
        assert sorted(given) == sorted(keys)

    async def test_what_is_not_committed_is_there_again(self, alice, bob, phone, database):
        keys = keys_of(phone, 2)
        await uploads(alice, keys)
        wish = Wanted(phone.user_id, phone.device_id, SIGNED)
        async with database.connection() as db:
            transaction = db.transaction()
            await transaction.start()
            assert len(await one_time_keys.claim(db, [wish] * 3)) == 2
            await transaction.rollback()
        assert await all_of(bob, phone) == keys

    async def test_who_adds_to_what_has_changed_is_told(self, alice, phone, database):
        nid = await session_of(database, phone)
        async with database.connection() as db:
            before = await one_time_keys.standing(db, nid)
            assert before is not None
            await uploads(alice, keys_of(phone, 2))
            assert not await adds(db, nid, before)
            now = await one_time_keys.standing(db, nid)
            assert now is not None
            assert await adds(db, nid, now)
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {SIGNED: 2, "plain": 1}}

    async def test_who_comes_while_the_identity_changes_adds_nothing(self, alice, phone, database):
        """He saw the former one, and waits until the change is committed."""
        nid = await session_of(database, phone)
        async with database.connection() as db, database.connection() as other:
            before = await one_time_keys.standing(db, nid)
            assert before is not None
            async with other.transaction():
                await other.execute("SELECT FROM sessions WHERE session_nid = $1 FOR UPDATE", nid)
                await other.execute(
                    "UPDATE device_keys SET keys = keys || ' ' WHERE session_nid = $1", nid
                )
                adding = asyncio.ensure_future(adds(db, nid, before))
                pid = db.get_server_pid()
                while not await other.fetchval("SELECT pg_blocking_pids($1) <> '{}'", pid):
                    assert not adding.done()
            assert not await adding
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {}}

    async def test_who_is_gone_adds_nothing(self, alice, phone, database):
        nid = await session_of(database, phone)
        async with database.connection() as db:
            before = await one_time_keys.standing(db, nid)
            assert before is not None
            await alice.post("v3/logout")
            assert not await adds(db, nid, before)
            assert await one_time_keys.standing(db, nid) is None


async def session_of(database: Database, phone: KeyMaker) -> int:
    async with database.connection() as db:
        nid: int = await db.fetchval(
            "SELECT session_nid FROM sessions WHERE device_id = $1", phone.device_id
        )
    return nid


async def adds(db: Any, nid: int, standing: one_time_keys.Standing) -> bool:
    batch = Batch("plain", {"A": '"text"'})
    added = await one_time_keys.add(db, nid, batch, standing=standing, most=100, is_held=False)
    return added is not None
