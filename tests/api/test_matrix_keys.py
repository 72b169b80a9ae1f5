"""Keys of devices. Source: C-S API v1.19 "Key Distribution"; keys.yaml."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from e2e import device_keys, putting_keys, uploaded_keys
from homeserver.storage.database import Database
from tests.support.encryption import SIGNED, KeyMaker, curve25519
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server, q

UPLOAD, QUERY, CLAIM = "v3/keys/upload", "v3/keys/query", "v3/keys/claim"


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def bob(server):
    return await server.registers("bob")


async def device_of(user: MatrixUser) -> KeyMaker:
    """Keys for the device that somebody uses."""
    who = await user.get("v3/account/whoami")
    return KeyMaker.of(who["user_id"], who["device_id"])


@pytest.fixture
async def phone(alice):
    return await device_of(alice)


async def keys_of(reader: MatrixUser, owner: MatrixUser) -> dict:
    answer = await reader.post(QUERY, {"device_keys": {owner.user_id: []}})
    return answer["device_keys"][owner.user_id]


async def claims(reader: MatrixUser, phone: KeyMaker, algorithm: str = SIGNED) -> dict:
    """The key that is given for a device; {} for none."""
    wanted = {phone.user_id: {phone.device_id: algorithm}}
    answer = await reader.post(CLAIM, {"one_time_keys": wanted})
    return answer["one_time_keys"].get(phone.user_id, {}).get(phone.device_id, {})


class TestUpload:
    """uploadKeys."""

    async def test_what_is_uploaded_is_shown_to_others(self, alice, bob, phone):
        answer = await alice.post(UPLOAD, phone.upload(3))
        assert answer == {"one_time_key_counts": {SIGNED: 3}}
        shown = await keys_of(bob, alice)
        keys = shown[phone.device_id]
        assert keys.pop("unsigned") == {}
        assert keys == phone.device_keys()

    async def test_the_device_s_name_is_shown_beside_its_keys(self, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload())
        await alice.put(f"v3/devices/{q(phone.device_id)}", {"display_name": "Phone"})
        keys = (await keys_of(bob, alice))[phone.device_id]
        assert keys["unsigned"] == {"device_display_name": "Phone"}

    async def test_what_is_given_as_unsigned_is_not_kept(self, alice, bob, phone):
        keys = phone.device_keys() | {"unsigned": {"device_display_name": "The server"}}
        await alice.post(UPLOAD, {"device_keys": keys})
        assert (await keys_of(bob, alice))[phone.device_id]["unsigned"] == {}

    async def test_the_same_once_more_changes_nothing(self, alice, phone):
        body = phone.upload(2, fallback="F")
        await alice.post(UPLOAD, body)
        assert (await alice.post(UPLOAD, body))["one_time_key_counts"] == {SIGNED: 2}

    async def test_another_key_under_the_same_id_is_refused(self, alice, bob, phone):
        body = phone.upload(1)
        await alice.post(UPLOAD, body)
        other = {"one_time_keys": phone.one_time_keys("NEW", "K0000")}
        assert await alice.is_refused("POST", UPLOAD, other, status=400) == "M_INVALID_PARAM"
        assert await claims(bob, phone) == body["one_time_keys"]
        assert await claims(bob, phone) == {}

    async def test_a_key_that_was_handed_out_does_not_come_back(self, alice, bob, phone):
        """The answer to the upload was lost, and somebody was faster than its repetition."""
        body = phone.upload(1)
        await alice.post(UPLOAD, body)
        assert await claims(bob, phone)
        assert (await alice.post(UPLOAD, body))["one_time_key_counts"] == {}
        assert await claims(bob, phone) == {}

    async def test_who_asks_for_nothing_is_told_the_counts(self, alice, phone):
        await alice.post(UPLOAD, phone.upload(2))
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {SIGNED: 2}}

    async def test_a_device_with_another_identity_begins_anew(self, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload(2, fallback="F"))
        other = KeyMaker.of(phone.user_id, phone.device_id)
        answer = await alice.post(UPLOAD, {"device_keys": other.device_keys()})
        assert answer["one_time_key_counts"] == {}
        assert await claims(bob, phone) == {}
        keys = (await keys_of(bob, alice))[phone.device_id]
        assert keys["keys"] == other.device_keys()["keys"]

    @pytest.mark.parametrize(
        "change",
        [
            {"user_id": "@bob:example.org"},
            {"device_id": "OTHER"},
            {"algorithms": "m.olm"},
            {"keys": {}},
            {"keys": {"ed25519": "x"}},
            {"keys": {"ed25519:X": 1}},
            {"n": 0.5},
            {"text": "a\0b"},
        ],
    )
    async def test_keys_that_are_not_the_device_s_are_refused(self, alice, bob, phone, change):
        keys = phone.signs({**phone.device_keys(), "signatures": {}, **change})
        refused = await alice.is_refused("POST", UPLOAD, {"device_keys": keys}, status=400)
        assert refused in ("M_INVALID_PARAM", "M_BAD_JSON")
        assert await keys_of(bob, alice) == {}

    @pytest.mark.parametrize("signatures", [{}, {"@x:y": {}}, {"@alice:example.org": {}}])
    async def test_unsigned_keys_are_refused(self, alice, bob, phone, signatures):
        keys = {**phone.device_keys(), "signatures": signatures}
        refused = await alice.is_refused("POST", UPLOAD, {"device_keys": keys}, status=400)
        assert refused == "M_INVALID_SIGNATURE"
        assert await keys_of(bob, alice) == {}

    @pytest.mark.parametrize("signatures", [[], "x", {"@a:b": "x"}, {"@a:b": {"ed25519:X": 1}}])
    async def test_signatures_are_objects_of_objects(self, alice, phone, signatures):
        keys = {**phone.device_keys(), "signatures": signatures}
        assert await alice.is_refused("POST", UPLOAD, {"device_keys": keys}, status=400)

    async def test_forged_keys_are_refused(self, alice, phone):
        forged = {**phone.device_keys(), "algorithms": ["m.none"]}
        refused = await alice.is_refused("POST", UPLOAD, {"device_keys": forged}, status=400)
        assert refused == "M_INVALID_SIGNATURE"

    async def test_with_a_forged_one_time_key_nothing_is_stored(self, alice, bob, phone):
        body = phone.upload(1)
        body["one_time_keys"][f"{SIGNED}:BAD"] = phone.signs({"key": curve25519()}) | {
            "key": curve25519()
        }
        refused = await alice.is_refused("POST", UPLOAD, body, status=400)
        assert refused == "M_INVALID_SIGNATURE"
        assert await keys_of(bob, alice) == {}
        assert await claims(bob, phone) == {}

    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("signed_curve25519", {"key": "x"}),
            (f"{SIGNED}:", {"key": "x"}),
            (f"{SIGNED}:A", "text"),
            (f"{SIGNED}:A", 7),
            (f"{SIGNED}:A", {"key": 7}),
            (f"{SIGNED}:A", {"key": "short"}),
            (f"{SIGNED}:A", {}),
            ("x" * 256 + ":A", "text"),
        ],
    )
    @pytest.mark.parametrize("kind", ["one_time_keys", "fallback_keys"])
    async def test_malformed_keys_are_refused(self, alice, phone, name, key, kind):
        await alice.post(UPLOAD, phone.upload())
        signed = phone.signs(key) if isinstance(key, dict) else key
        assert await alice.is_refused("POST", UPLOAD, {kind: {name: signed}}, status=400)
        assert await alice.post(UPLOAD) == {"one_time_key_counts": {}}

    async def test_keys_signed_by_a_former_identity_are_refused(self, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload())
        other = KeyMaker.of(phone.user_id, phone.device_id)
        await alice.post(UPLOAD, {"device_keys": other.device_keys()})
        for number in (1, 20):
            names = [f"K{each}" for each in range(number)]
            body = {"one_time_keys": phone.one_time_keys(*names)}
            refused = await alice.is_refused("POST", UPLOAD, body, status=400)
            assert refused == "M_INVALID_SIGNATURE"
        assert await claims(bob, phone) == {}

    async def test_the_counts_are_of_all_algorithms(self, alice, phone):
        await alice.post(UPLOAD, phone.upload(2))
        answer = await alice.post(UPLOAD, {"one_time_keys": {"plain:A": "text", "plain:B": "x"}})
        assert answer == {"one_time_key_counts": {SIGNED: 2, "plain": 2}}

    async def test_signed_keys_need_a_device_that_signed_them(self, alice, phone):
        body = {"one_time_keys": phone.one_time_keys("A")}
        refused = await alice.is_refused("POST", UPLOAD, body, status=400)
        assert refused == "M_INVALID_SIGNATURE"

    async def test_there_is_one_fallback_key_an_algorithm(self, alice, phone):
        await alice.post(UPLOAD, phone.upload())
        two = {"fallback_keys": phone.fallback_key("A") | phone.fallback_key("B")}
        assert await alice.is_refused("POST", UPLOAD, two, status=400) == "M_INVALID_PARAM"

    async def test_a_device_has_so_many_keys(self, alice, phone, monkeypatch):
        monkeypatch.setattr(putting_keys, "MAX_ONE_TIME_KEYS", 3)
        await alice.post(UPLOAD, phone.upload(3))
        more = {"one_time_keys": phone.one_time_keys("X")}
        assert await alice.is_refused("POST", UPLOAD, more, status=413) == "M_TOO_LARGE"

    async def test_keys_are_not_too_large(self, alice, phone):
        large = phone.device_keys(padding="x" * uploaded_keys.MAX_DEVICE_KEYS_BYTES)
        refused = await alice.is_refused("POST", UPLOAD, {"device_keys": large}, status=413)
        assert refused == "M_TOO_LARGE"
        await alice.post(UPLOAD, phone.upload())
        key = phone.signs(
            {"key": curve25519(), "padding": "x" * uploaded_keys.MAX_ONE_TIME_KEY_BYTES}
        )
        body = {"one_time_keys": {f"{SIGNED}:A": key}}
        assert await alice.is_refused("POST", UPLOAD, body, status=413) == "M_TOO_LARGE"

    async def test_who_is_nobody_uploads_nothing(self, server):
        refused = await server.nobody.is_refused("POST", UPLOAD, {}, status=401)
        assert refused == "M_MISSING_TOKEN"


class TestQuery:
    """queryKeys."""

    async def test_users_without_keys_have_none(self, alice, bob):
        answer = await alice.post(QUERY, {"device_keys": {bob.user_id: []}})
        assert answer == {
            "device_keys": {bob.user_id: {}},
            "failures": {},
            "master_keys": {},
            "self_signing_keys": {},
            "user_signing_keys": {},
        }

    async def test_devices_can_be_named(self, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload())
        for names, found in (([phone.device_id], 1), (["OTHER"], 0), ([], 1)):
            answer = await bob.post(QUERY, {"device_keys": {alice.user_id: names}})
            assert len(answer["device_keys"][alice.user_id]) == found

    async def test_other_servers_cannot_be_asked(self, alice):
        answer = await alice.post(QUERY, {"device_keys": {"@carl:other.example": []}})
        assert answer["device_keys"] == {}
        assert [*answer["failures"]] == ["other.example"]

    async def test_keys_go_with_the_device(self, server, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload(2, fallback="F"))
        await alice.post("v3/logout")
        assert await keys_of(bob, alice) == {}
        assert await claims(bob, phone) == {}

    @pytest.mark.parametrize("body", [{}, {"device_keys": []}, {"device_keys": {"@a:b": "X"}}])
    async def test_malformed_queries_are_refused(self, alice, body):
        assert await alice.is_refused("POST", QUERY, body, status=400) == "M_BAD_JSON"

    async def test_many_users_are_too_many(self, alice, monkeypatch):
        monkeypatch.setattr(device_keys, "MAX_QUERIED", 2)
        wanted = {f"@u{number}:example.org": [] for number in range(3)}
        refused = await alice.is_refused("POST", QUERY, {"device_keys": wanted}, status=413)
        assert refused == "M_TOO_LARGE"


class TestClaim:
    """claimKeys."""

    async def test_keys_are_handed_out_in_the_order_in_which_they_came(self, alice, bob, phone):
        first = {"one_time_keys": phone.one_time_keys("Z")}
        second = {"one_time_keys": phone.one_time_keys("A")}
        await alice.post(UPLOAD, phone.upload())
        await alice.post(UPLOAD, first)
        await alice.post(UPLOAD, second)
        assert await claims(bob, phone) == first["one_time_keys"]
        assert await claims(bob, phone) == second["one_time_keys"]
        assert await claims(bob, phone) == {}

    async def test_the_fallback_key_is_handed_out_again_and_again(self, alice, bob, phone):
        body = phone.upload(1, fallback="F")
        await alice.post(UPLOAD, body)
        assert await claims(bob, phone) == body["one_time_keys"]
        assert await claims(bob, phone) == body["fallback_keys"]
        assert await claims(bob, phone) == body["fallback_keys"]

    async def test_what_is_not_there_is_not_in_the_answer(self, alice, bob, phone):
        await alice.post(UPLOAD, phone.upload(1))
        wanted = {
            alice.user_id: {"OTHER": SIGNED, phone.device_id: "none"},
            "@nobody:example.org": {"X": SIGNED},
            "@carl:other.example": {"X": SIGNED},
        }
        answer = await bob.post(CLAIM, {"one_time_keys": wanted})
        assert answer["one_time_keys"] == {}
        assert [*answer["failures"]] == ["other.example"]

    async def test_nobody_gets_a_key_that_somebody_else_got(self, alice, bob, phone):
        body = phone.upload(30)
        await alice.post(UPLOAD, body)
        answers = await asyncio.gather(*(claims(bob, phone) for _ in range(40)))
        given = [name for answer in answers for name in answer]
        assert sorted(given) == sorted(body["one_time_keys"])

    async def test_who_comes_late_gets_the_fallback_key(self, alice, bob, phone):
        body = phone.upload(2, fallback="F")
        await alice.post(UPLOAD, body)
        answers = await asyncio.gather(*(claims(bob, phone) for _ in range(6)))
        given = [name for answer in answers for name in answer]
        (fallback,) = body["fallback_keys"]
        assert sorted(given) == sorted([*body["one_time_keys"], *[fallback] * 4])

    async def test_many_keys_can_be_claimed_at_once(self, alice, bob, phone):
        body = phone.upload(1)
        await alice.post(UPLOAD, body)
        wanted = {phone.device_id: SIGNED, **{f"OTHER{number}": SIGNED for number in range(200)}}
        answer = await bob.post(CLAIM, {"one_time_keys": {alice.user_id: wanted}})
        assert answer["one_time_keys"] == {alice.user_id: {phone.device_id: body["one_time_keys"]}}

    @pytest.mark.parametrize(
        "body", [{}, {"one_time_keys": {"@a:b": []}}, {"one_time_keys": {"@a:b": {"D": 1}}}]
    )
    async def test_malformed_claims_are_refused(self, alice, body):
        assert await alice.is_refused("POST", CLAIM, body, status=400) == "M_BAD_JSON"
