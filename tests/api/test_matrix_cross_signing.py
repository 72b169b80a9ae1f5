"""Cross-signing. Source: C-S API v1.19 "Cross-signing"; cross_signing.yaml."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeserver.events.signing import sign_json
from homeserver.storage.database import Database
from tests.support.encryption import Identity, KeyMaker, public
from tests.support.matrix_server import MatrixServer, MatrixUser, matrix_server

UPLOAD, SIGN, QUERY = "v3/keys/device_signing/upload", "v3/keys/signatures/upload", "v3/keys/query"


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
    """The device that somebody uses, with its keys uploaded."""
    who = await user.get("v3/account/whoami")
    phone = KeyMaker.of(who["user_id"], who["device_id"])
    await user.post("v3/keys/upload", phone.upload())
    return phone


@pytest.fixture
async def phone(alice):
    return await device_of(alice)


async def identity_of(user: MatrixUser) -> Identity:
    """Somebody's first cross-signing keys, uploaded."""
    identity = Identity.of(user.user_id)
    await user.post(UPLOAD, identity.upload())
    return identity


def password(user: MatrixUser, session: str) -> dict[str, Any]:
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user.user_id},
        "password": "correct horse",
        "session": session,
    }


async def seen_by(reader: MatrixUser, owner: MatrixUser) -> dict[str, Any]:
    return await reader.post(QUERY, {"device_keys": {owner.user_id: []}})


async def signs(user: MatrixUser, owner: str, name: str, obj: Any) -> str | None:
    """The errcode of what is wrong with it."""
    answer = await user.post(SIGN, {owner: {name: obj}})
    failure = answer["failures"].get(owner, {}).get(name)
    return None if failure is None else failure["errcode"]


class TestUpload:
    """uploadCrossSigningKeys."""

    async def test_the_first_keys_need_no_proof(self, alice, bob):
        identity = await identity_of(alice)
        own, others = await seen_by(alice, alice), await seen_by(bob, alice)
        body = identity.upload()
        assert own["master_keys"][alice.user_id] == body["master_key"]
        assert own["self_signing_keys"][alice.user_id] == body["self_signing_key"]
        assert own["user_signing_keys"][alice.user_id] == body["user_signing_key"]
        assert others["master_keys"] == own["master_keys"]
        assert others["self_signing_keys"] == own["self_signing_keys"]
        assert others["user_signing_keys"] == {}

    async def test_the_same_keys_again_need_no_proof(self, alice):
        identity = await identity_of(alice)
        await alice.post(UPLOAD, identity.upload())
        await alice.post(UPLOAD, {"master_key": identity.key("master")})

    async def test_other_keys_need_a_proof(self, alice):
        await identity_of(alice)
        other = Identity.of(alice.user_id).upload()
        status, challenge = await alice.request("POST", UPLOAD, other)
        assert status == 401
        assert challenge["flows"] == [{"stages": ["m.login.password"]}]
        auth = password(alice, challenge["session"])
        await alice.post(UPLOAD, {**other, "auth": auth})
        seen = await seen_by(alice, alice)
        assert seen["master_keys"][alice.user_id] == other["master_key"]

    async def test_with_a_wrong_password_nothing_changes(self, alice):
        identity = await identity_of(alice)
        other = Identity.of(alice.user_id).upload()
        _, challenge = await alice.request("POST", UPLOAD, other)
        auth = {**password(alice, challenge["session"]), "password": "wrong"}
        status, _ = await alice.request("POST", UPLOAD, {**other, "auth": auth})
        assert status == 401
        seen = await seen_by(alice, alice)
        assert seen["master_keys"][alice.user_id] == identity.key("master")

    async def test_one_other_key_needs_a_proof(self, alice):
        identity = await identity_of(alice)
        fresh = Identity.of(alice.user_id)
        fresh.master = identity.master
        body = {"self_signing_key": fresh.key("self_signing")}
        status, challenge = await alice.request("POST", UPLOAD, body)
        assert status == 401
        await alice.post(UPLOAD, {**body, "auth": password(alice, challenge["session"])})
        seen = await seen_by(alice, alice)
        assert seen["self_signing_keys"][alice.user_id] == fresh.key("self_signing")
        assert seen["master_keys"][alice.user_id] == identity.key("master")

    async def test_without_a_master_key_there_are_no_others(self, alice):
        body = Identity.of(alice.user_id).upload()
        del body["master_key"]
        assert await alice.is_refused("POST", UPLOAD, body, status=400) == "M_MISSING_PARAM"
        assert await alice.is_refused("POST", UPLOAD, {}, status=400) == "M_MISSING_PARAM"

    @pytest.mark.parametrize("usage", ["self_signing", "user_signing"])
    async def test_forged_keys_are_refused(self, alice, usage):
        identity, forger = Identity.of(alice.user_id), Identity.of(alice.user_id)
        for forged in (
            forger.key(usage),
            {**identity.key(usage), "more": 1},
            {**identity.key(usage), "signatures": {}},
        ):
            body = {**identity.upload(), f"{usage}_key": forged}
            refused = await alice.is_refused("POST", UPLOAD, body, status=400)
            assert refused == "M_INVALID_SIGNATURE"
        assert (await seen_by(alice, alice))["master_keys"] == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"user_id": "@bob:example.org"},
            {"usage": ["self_signing"]},
            {"usage": []},
            {"keys": {}},
            {"keys": {"ed25519:a": "a"}},
            {"keys": {"ed25519:a": 1}},
            {"keys": {"a": "b", "c": "d"}},
            {"signatures": 7},
            {"n": 0.5},
        ],
    )
    async def test_malformed_keys_are_refused(self, alice, change):
        body = {"master_key": {**Identity.of(alice.user_id).key("master"), **change}}
        assert await alice.is_refused("POST", UPLOAD, body, status=400)
        assert (await seen_by(alice, alice))["master_keys"] == {}

    async def test_a_key_is_not_called_as_a_device_is(self, server, alice):
        identity = Identity.of(alice.user_id)
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "alice"},
            "password": "correct horse",
            "device_id": public(identity.master),
        }
        answer = await server.nobody.post("v3/login", login)
        evil = MatrixUser(server.client, answer["access_token"], alice.user_id)
        await device_of(evil)
        refused = await alice.is_refused("POST", UPLOAD, identity.upload(), status=403)
        assert refused == "M_FORBIDDEN"

    async def test_a_device_is_not_called_as_a_key_is(self, server, alice):
        identity = await identity_of(alice)
        name = public(identity.self_signing)
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "alice"},
            "password": "correct horse",
            "device_id": name,
        }
        answer = await server.nobody.post("v3/login", login)
        evil = MatrixUser(server.client, answer["access_token"], alice.user_id)
        keys = {"device_keys": KeyMaker.of(alice.user_id, name).device_keys()}
        refused = await evil.is_refused("POST", "v3/keys/upload", keys, status=403)
        assert refused == "M_FORBIDDEN"

    async def test_the_device_s_signature_of_the_master_key_comes_along(self, alice, bob, phone):
        identity = Identity.of(alice.user_id)
        body = identity.upload()
        body["master_key"] = phone.signs(body["master_key"])
        await alice.post(UPLOAD, body)
        seen = (await seen_by(bob, alice))["master_keys"][alice.user_id]
        assert seen == body["master_key"]

    async def test_but_not_a_forged_one(self, alice, phone):
        body = Identity.of(alice.user_id).upload()
        forger = KeyMaker.of(alice.user_id, phone.device_id)
        body["master_key"] = forger.signs(body["master_key"])
        refused = await alice.is_refused("POST", UPLOAD, body, status=400)
        assert refused == "M_INVALID_SIGNATURE"

    async def test_others_are_told(self, alice, bob):
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        since = (await bob.get("v3/sync"))["next_batch"]
        await identity_of(alice)
        answer = await bob.get("v3/sync", since=since, timeout=20_000)
        assert answer["device_lists"]["changed"] == [alice.user_id]
        changes = await bob.get("v3/keys/changes", **{"from": since, "to": answer["next_batch"]})
        assert changes == {"changed": [alice.user_id], "left": []}


class TestSignatures:
    """uploadCrossSigningSignatures; "Key and signature security"."""

    async def test_a_device_is_signed_by_its_owner_and_all_see_it(self, alice, bob, phone):
        identity = await identity_of(alice)
        signed = identity.signs("self_signing", phone.device_keys())
        assert await signs(alice, alice.user_id, phone.device_id, signed) is None
        for reader in (alice, bob):
            keys = (await seen_by(reader, alice))["device_keys"][alice.user_id][phone.device_id]
            found = keys["signatures"][alice.user_id]
            assert found.keys() == {phone.key.key_id, identity.self_signing.key_id}

    async def test_a_master_key_is_signed_by_a_device_and_all_see_it(self, alice, bob, phone):
        identity = await identity_of(alice)
        signed = phone.signs(identity.key("master"))
        assert await signs(alice, alice.user_id, public(identity.master), signed) is None
        for reader in (alice, bob):
            seen = (await seen_by(reader, alice))["master_keys"][alice.user_id]
            assert seen == signed

    async def test_who_vouches_for_somebody_else_only_he_himself_sees(self, server, alice, bob):
        identity, other = await identity_of(alice), await identity_of(bob)
        carl = await server.registers("carl")
        signed = identity.signs("user_signing", other.key("master"))
        assert await signs(alice, bob.user_id, public(other.master), signed) is None
        mine = (await seen_by(alice, bob))["master_keys"][bob.user_id]
        assert mine["signatures"] == signed["signatures"]
        for reader in (bob, carl):
            assert (await seen_by(reader, bob))["master_keys"][bob.user_id] == other.key("master")

    async def test_ones_other_devices_hear_for_whom_one_vouched(self, alice, bob):
        identity, other = await identity_of(alice), await identity_of(bob)
        room = await alice.creates_room(preset="public_chat")
        await bob.joins(room)
        since = (await alice.get("v3/sync"))["next_batch"]
        signed = identity.signs("user_signing", other.key("master"))
        await signs(alice, bob.user_id, public(other.master), signed)
        answer = await alice.get("v3/sync", since=since, timeout=20_000)
        assert answer["device_lists"]["changed"] == [bob.user_id]

    async def test_new_keys_lose_the_signatures_of_the_old(self, alice, bob, phone):
        identity, other = await identity_of(alice), await identity_of(bob)
        signed = identity.signs("user_signing", other.key("master"))
        await signs(alice, bob.user_id, public(other.master), signed)
        signed = identity.signs("self_signing", phone.device_keys())
        await signs(alice, alice.user_id, phone.device_id, signed)
        body = Identity.of(alice.user_id).upload()
        _, challenge = await alice.request("POST", UPLOAD, body)
        await alice.post(UPLOAD, {**body, "auth": password(alice, challenge["session"])})
        assert (await seen_by(alice, bob))["master_keys"][bob.user_id] == other.key("master")
        seen = await seen_by(alice, alice)
        assert seen["device_keys"][alice.user_id][phone.device_id] == {
            **phone.device_keys(),
            "unsigned": {},
        }

    async def test_what_is_wrong_does_not_hinder_the_rest(self, alice, phone):
        identity = await identity_of(alice)
        right = identity.signs("self_signing", phone.device_keys())
        answer = await alice.post(
            SIGN,
            {
                alice.user_id: {phone.device_id: right, "NONE": right},
                "@nobody:example.org": {"X": right},
            },
        )
        assert {
            user_id: {name: error["errcode"] for name, error in of_user.items()}
            for user_id, of_user in answer["failures"].items()
        } == {
            alice.user_id: {"NONE": "M_NOT_FOUND"},
            "@nobody:example.org": {"X": "M_NOT_FOUND"},
        }
        keys = (await seen_by(alice, alice))["device_keys"][alice.user_id][phone.device_id]
        assert identity.self_signing.key_id in keys["signatures"][alice.user_id]

    async def test_only_the_right_keys_may_sign(self, alice, bob, phone):
        identity, other = await identity_of(alice), await identity_of(bob)
        laptop = await device_of(bob)
        device, master = phone.device_keys(), identity.key("master")
        forger = Identity.of(alice.user_id)
        forger.self_signing, forged = identity.self_signing, identity.self_signing
        wrong = [
            (alice, phone.device_id, identity.signs("user_signing", device)),
            (alice, phone.device_id, identity.signs("master", device)),
            (alice, phone.device_id, Identity.of(alice.user_id).signs("self_signing", device)),
            (alice, phone.device_id, identity.signs("self_signing", {**device, "more": 1})),
            (alice, public(identity.master), identity.signs("self_signing", master)),
            (bob, public(other.master), identity.signs("self_signing", other.key("master"))),
            (bob, public(other.master), phone.signs(other.key("master"))),
            (bob, laptop.device_id, identity.signs("user_signing", laptop.device_keys())),
            (alice, phone.device_id, "text"),
            (alice, phone.device_id, {**device, "signatures": {alice.user_id: "text"}}),
        ]
        signature = sign_json({"other": 1}, alice.user_id, forged)["signatures"]
        wrong.append((alice, phone.device_id, {**device, "signatures": signature}))
        for owner, name, obj in wrong:
            code = await signs(alice, owner.user_id, name, obj)
            assert code in ("M_INVALID_SIGNATURE", "M_INVALID_PARAM"), obj
        seen = await seen_by(alice, alice)
        assert seen["device_keys"][alice.user_id][phone.device_id] == {**device, "unsigned": {}}
        assert seen["master_keys"][alice.user_id] == master
        assert (await seen_by(alice, bob))["master_keys"][bob.user_id] == other.key("master")

    async def test_signatures_of_others_that_come_along_are_not_taken(self, alice, bob, phone):
        identity, other = await identity_of(alice), await identity_of(bob)
        obj = identity.signs("self_signing", phone.device_keys())
        obj = sign_json(obj, bob.user_id, other.user_signing)
        assert await signs(alice, alice.user_id, phone.device_id, obj) is None
        keys = (await seen_by(bob, alice))["device_keys"][alice.user_id][phone.device_id]
        assert keys["signatures"].keys() == {alice.user_id}

    @pytest.mark.parametrize("body", [b"[]", b"7", b'{"@a:b": 7}', b"{"])
    async def test_malformed_bodies_are_refused(self, alice, body):
        assert await alice.is_refused("POST", SIGN, body, status=400)

    async def test_signatures_go_with_the_device(self, server, alice, bob, phone):
        identity = await identity_of(alice)
        await signs(
            alice, alice.user_id, public(identity.master), phone.signs(identity.key("master"))
        )
        await alice.post("v3/logout")
        assert (await seen_by(bob, alice))["master_keys"][alice.user_id] == identity.key("master")
