"""One-time keys in batches: when signatures are checked, and what several who come at once get.

Source: C-S API v1.19 "One-time and fallback keys"; docs/decisions/0008.
"""

import asyncio
from typing import Any

import pytest

from e2e import one_time_keys as claiming
from e2e.uploaded_keys import CHECKED_AT_ONCE
from homeserver.storage import one_time_keys
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Batch, Wanted
from tests.support.encryption import SIGNED, KeyMaker, curve25519
from tests.support.matrix_server import MatrixUser

UPLOAD, CLAIM = "v3/keys/upload", "v3/keys/claim"
WRONG = CHECKED_AT_ONCE + 2
"""The place of a key in its upload, too far behind for being checked at once."""
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
    """No key goes out that its device has not signed."""

    @pytest.mark.parametrize("place", range(CHECKED_AT_ONCE))
    async def test_a_wrong_one_among_the_first_is_refused_with_all(self, alice, bob, phone, place):
        body = {"one_time_keys": forged(keys_of(phone, 30), place)}
        refused = await alice.is_refused("POST", UPLOAD, body, status=400)
        assert refused == "M_INVALID_SIGNATURE"
        assert await claims(bob, phone) == {}

    @pytest.mark.parametrize("place", range(CHECKED_AT_ONCE, CHECKED_AT_ONCE + 4))
    async def test_a_later_one_is_never_handed_out_nor_what_is_behind_it(
        self, alice, bob, phone, place
    ):
        keys = forged(keys_of(phone, CHECKED_AT_ONCE + 4), place)
        assert await uploads(alice, keys) == {SIGNED: len(keys)}
        assert await all_of(bob, phone) == some(keys, place)
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {}}

    async def test_what_was_uploaded_otherwise_is_handed_out(self, alice, bob, phone):
        first, wrong, last = keys_of(phone, 3, "A"), keys_of(phone, 30, "B"), keys_of(phone, 3, "C")
        for keys in (first, forged(wrong, WRONG), last):
            await uploads(alice, keys)
        assert await all_of(bob, phone) == first | some(wrong, WRONG) | last

    async def test_the_fallback_key_is_given_instead(self, alice, bob, phone):
        keys, fallback = forged(keys_of(phone, 30), WRONG), phone.fallback_key("F")
        await uploads(alice, keys, fallback_keys=fallback)
        given = [await claims(bob, phone) for _ in range(WRONG + 2)]
        assert given == [{name: key} for name, key in some(keys, WRONG).items()] + [fallback] * 2

    async def test_a_wrong_fallback_key_is_refused(self, alice, bob, phone):
        body = {"fallback_keys": forged(phone.fallback_key("F"), 0)}
        refused = await alice.is_refused("POST", UPLOAD, body, status=400)
        assert refused == "M_INVALID_SIGNATURE"
        assert await claims(bob, phone) == {}

    async def test_a_signature_of_another_form_is_refused_at_once(self, alice, phone):
        for text in ("", "short", "A" * 85, "=" * 86, 7, None):
            keys = keys_of(phone, 30)
            signatures = {phone.user_id: {phone.key.key_id: text}}
            keys[[*keys][WRONG]]["signatures"] = signatures
            refused = await alice.is_refused("POST", UPLOAD, {"one_time_keys": keys}, status=400)
            assert refused == "M_INVALID_SIGNATURE"

    async def test_a_wrong_one_is_wrong_in_whatever_form(self, alice, bob, phone):
        """Keys may say more than usual."""
        keys = keys_of(phone, 30)
        for name in keys:
            keys[name] = phone.signs({"key": keys[name]["key"], "note": "ä"})
        keys[[*keys][WRONG]]["note"] = "b"
        await uploads(alice, keys)
        assert await all_of(bob, phone) == some(keys, WRONG)

    async def test_no_one_of_many_who_ask_at_once_gets_a_wrong_one(self, alice, bob, phone):
        wrong, right = forged(keys_of(phone, 30, "A"), WRONG), keys_of(phone, 10, "B")
        await uploads(alice, wrong)
        await uploads(alice, right)
        answers = await asyncio.gather(*(claims(bob, phone) for _ in range(60)))
        given = [name for answer in answers for name in answer]
        assert sorted(given) == sorted(some(wrong, WRONG) | right)

    @pytest.mark.parametrize("gathered", [0, 50])
    async def test_of_many_devices_only_the_wrong_one_has_nothing(
        self, server, bob, gathered, monkeypatch
    ):
        monkeypatch.setattr(claiming, "_GATHERED", gathered)
        people = [await server.registers(f"person{number}") for number in range(6)]
        phones = [await device_of(each) for each in people]
        for user, phone in zip(people, phones, strict=True):
            keys = keys_of(phone, 30)
            await uploads(user, forged(keys, WRONG) if user is people[2] else keys)
        wanted = {phone.user_id: {phone.device_id: SIGNED} for phone in phones}
        for turn in range(WRONG + 2):
            found = (await bob.post(CLAIM, {"one_time_keys": wanted}))["one_time_keys"]
            expected = wanted.keys() - ({phones[2].user_id} if turn >= WRONG else set())
            assert found.keys() == expected

    async def test_who_made_them_right_may_upload_them_again(self, alice, bob, phone):
        keys = keys_of(phone, 30)
        await uploads(alice, forged(keys, WRONG))
        assert await all_of(bob, phone) == some(keys, WRONG)
        assert await uploads(alice, keys) == {SIGNED: 30 - WRONG}
        assert (await all_of(bob, phone)).keys() == keys.keys() - some(keys, WRONG).keys()

    async def test_the_device_is_told_that_it_has_fewer(self, alice, bob, phone):
        await uploads(alice, forged(keys_of(phone, 30), CHECKED_AT_ONCE))
        for _ in range(CHECKED_AT_ONCE + 1):
            told = await alice.get("v3/sync")
            await claims(bob, phone)
        assert told["device_one_time_keys_count"] == {SIGNED: 30 - CHECKED_AT_ONCE}
        assert (await alice.get("v3/sync"))["device_one_time_keys_count"] == {SIGNED: 0}

    async def test_keys_without_signatures_are_of_other_algorithms(self, alice, bob, phone):
        keys = {f"plain:{number}": f"text {number}" for number in range(30)}
        mixed = {**keys_of(phone, 3), **keys, **forged(keys_of(phone, 9, "Z"), 8)}
        assert await uploads(alice, mixed) == {SIGNED: 12, "plain": 30}
        wanted = {phone.user_id: {phone.device_id: "plain"}}
        for name, key in keys.items():
            found = await bob.post(CLAIM, {"one_time_keys": wanted})
            assert found["one_time_keys"][phone.user_id][phone.device_id] == {name: key}
        assert len(await all_of(bob, phone)) == 11


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
            monkeypatch.setattr(f"e2e.device_keys.{module}", 3)
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
                    pass
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
    batch = Batch("plain", {"A": b'"text"'}, 1)
    return await one_time_keys.add(db, nid, [batch], signer=None, standing=standing, is_held=False)
