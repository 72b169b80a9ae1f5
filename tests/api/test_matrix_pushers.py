"""pusher.yaml."""

from typing import Any

import pytest

from tests.support.matrix_server import MatrixUser

PHONE: dict[str, Any] = {
    "kind": "http",
    "app_id": "org.example.phone",
    "pushkey": "key",
    "app_display_name": "Chat",
    "device_display_name": "Phone",
    "profile_tag": "work",
    "lang": "en",
    "data": {
        "url": "https://push.example.org/_matrix/push/v1/notify",
        "format": "event_id_only",
        "custom": {"any": ["thing"]},
    },
}
REMOVED = {"kind": None, "app_id": "org.example.phone", "pushkey": "key"}


async def pushers(user: MatrixUser) -> list[dict[str, Any]]:
    return list((await user.get("v3/pushers"))["pushers"])


class TestGetPushers:
    async def test_at_first_there_are_none(self, alice):
        assert await pushers(alice) == []

    async def test_it_needs_a_token(self, server):
        code = await server.nobody.is_refused("GET", "v3/pushers", status=401)
        assert code == "M_MISSING_TOKEN"


class TestPostPusher:
    async def test_a_pusher_is_kept_as_it_is(self, alice):
        await alice.post("v3/pushers/set", PHONE)
        assert await pushers(alice) == [PHONE]

    async def test_one_with_the_same_key_is_changed(self, alice):
        await alice.post("v3/pushers/set", PHONE)
        changed = PHONE | {"lang": "fr"}
        del changed["profile_tag"]
        await alice.post("v3/pushers/set", changed)
        assert await pushers(alice) == [changed]

    async def test_several_stand_beside_each_other(self, alice):
        await alice.post("v3/pushers/set", PHONE)
        await alice.post("v3/pushers/set", PHONE | {"pushkey": "other"})
        await alice.post("v3/pushers/set", PHONE | {"app_id": "org.example.tablet"})
        assert len(await pushers(alice)) == 3

    async def test_it_is_deleted(self, alice):
        await alice.post("v3/pushers/set", PHONE)
        await alice.post("v3/pushers/set", REMOVED)
        assert await pushers(alice) == []
        await alice.post("v3/pushers/set", REMOVED)

    async def test_a_key_belongs_to_who_set_it_last(self, server, alice):
        bob = await server.registers("bob")
        await alice.post("v3/pushers/set", PHONE)
        await bob.post("v3/pushers/set", PHONE)
        assert (await pushers(alice), await pushers(bob)) == ([], [PHONE])

    async def test_unless_others_may_have_it_too(self, server, alice):
        bob = await server.registers("bob")
        await alice.post("v3/pushers/set", PHONE)
        await bob.post("v3/pushers/set", PHONE | {"append": True})
        assert (await pushers(alice), await pushers(bob)) == ([PHONE], [PHONE])

    @pytest.mark.parametrize(
        "missing",
        [
            "kind",
            "app_id",
            "pushkey",
            "app_display_name",
            "device_display_name",
            "lang",
            "data",
        ],
    )
    async def test_what_is_missing_is_named(self, alice, missing):
        body = {key: each for key, each in PHONE.items() if key != missing}
        answer = await alice.asks("POST", "v3/pushers/set", body, status=400)
        assert answer["errcode"] == "M_MISSING_PARAM"
        assert missing in answer["error"]

    @pytest.mark.parametrize(
        "bad",
        [
            {"kind": "email"},
            {"kind": "smoke"},
            {"app_id": "a" * 65},
            {"app_id": ""},
            {"app_id": "\0"},
            {"pushkey": "é" * 257},
            {"pushkey": ""},
            {"lang": "x" * 256},
            {"app_display_name": "\0"},
            {"data": {}},
            {"data": {"url": 7}},
            {"data": {"url": "http://push.example.org/_matrix/push/v1/notify"}},
            {"data": {"url": "https://push.example.org/notify"}},
            {"data": {"url": "https:///_matrix/push/v1/notify"}},
            {"data": {"url": "https://[::1/_matrix/push/v1/notify"}},
            {"data": PHONE["data"] | {"format": 7}},
        ],
    )
    async def test_nonsense_is_refused(self, alice, bad):
        code = await alice.is_refused("POST", "v3/pushers/set", PHONE | bad, status=400)
        assert code == "M_INVALID_PARAM"
        assert await pushers(alice) == []

    @pytest.mark.parametrize(
        "bad", [{"kind": 7}, {"data": "x"}, {"lang": None}, {"append": "yes"}, {"pushkey": ["x"]}]
    )
    async def test_wrong_types_are_refused(self, alice, bad):
        code = await alice.is_refused("POST", "v3/pushers/set", PHONE | bad, status=400)
        assert code == "M_BAD_JSON"

    async def test_much_data_is_refused(self, alice):
        body = PHONE | {"data": PHONE["data"] | {"x": "y" * 8_192}}
        code = await alice.is_refused("POST", "v3/pushers/set", body, status=413)
        assert code == "M_TOO_LARGE"

    async def test_nobody_has_very_many(self, alice):
        for number in range(100):
            await alice.post("v3/pushers/set", PHONE | {"pushkey": str(number)})
        body = PHONE | {"pushkey": "one more"}
        code = await alice.is_refused("POST", "v3/pushers/set", body, status=413)
        assert code == "M_TOO_LARGE"
        await alice.post("v3/pushers/set", PHONE | {"pushkey": "7", "lang": "de"})


class TestSessions:
    async def test_a_pusher_ends_with_its_session(self, alice):
        await alice.post("v3/pushers/set", PHONE)
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "alice"},
            "password": "correct horse",
        }
        other = await alice.request("POST", "v3/login", login)
        assert other[0] == 200, other
        await alice.post("v3/logout")
        alice.token = other[1]["access_token"]
        assert await pushers(alice) == []
