"""Account data. Source: C-S API v1.19 "Client Config"; account-data.yaml."""

import pytest

from homeserver.actions import account_data
from tests.support.matrix_server import q

KIND = "org.example.settings"


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


@pytest.fixture
async def room(alice):
    return await alice.creates_room()


def of(user, kind=KIND, room=None) -> str:
    place = f"rooms/{q(room)}/" if room else ""
    return f"v3/user/{q(user.user_id)}/{place}account_data/{q(kind)}"


class TestSetAccountData:
    """setAccountData, getAccountData."""

    async def test_what_was_set_is_there(self, alice):
        await alice.put(of(alice), {"theme": "dark", "scale": 1.5, "list": [None, True]})
        assert await alice.get(of(alice)) == {"theme": "dark", "scale": 1.5, "list": [None, True]}

    async def test_it_is_replaced_as_a_whole(self, alice):
        await alice.put(of(alice), {"a": 1})
        await alice.put(of(alice), {"b": 2})
        assert await alice.get(of(alice)) == {"b": 2}

    async def test_types_are_apart(self, alice):
        await alice.put(of(alice, "a"), {"a": 1})
        await alice.put(of(alice, "b/c ü"), {"b": 2})
        assert await alice.get(of(alice, "a")) == {"a": 1}
        assert await alice.get(of(alice, "b/c ü")) == {"b": 2}

    async def test_what_was_never_set_is_not_found(self, alice):
        assert await alice.is_refused("GET", of(alice), status=404) == "M_NOT_FOUND"

    async def test_nobody_sees_or_sets_somebody_elses(self, alice, server):
        bob = await server.registers("bob")
        await alice.put(of(alice), {"a": 1})
        assert await bob.is_refused("GET", of(alice), status=403) == "M_FORBIDDEN"
        assert await bob.is_refused("PUT", of(alice), {}, status=403) == "M_FORBIDDEN"
        assert await alice.get(of(alice)) == {"a": 1}

    @pytest.mark.parametrize("kind", ["m.fully_read", "m.push_rules"])
    async def test_what_the_server_controls_cannot_be_set(self, alice, room, kind):
        assert await alice.is_refused("PUT", of(alice, kind), {}, status=405) == "M_BAD_JSON"
        in_room = of(alice, kind, room)
        assert await alice.is_refused("PUT", in_room, {}, status=405) == "M_BAD_JSON"

    async def test_what_the_server_controls_can_be_read(self, alice):
        rules = await alice.get(of(alice, "m.push_rules"))
        assert rules["global"]["override"][0]["rule_id"] == ".m.rule.master"

    @pytest.mark.parametrize(
        ("body", "errcode"), [(b"{", "M_NOT_JSON"), (b"[]", "M_BAD_JSON"), (b"", "M_NOT_JSON")]
    )
    async def test_a_body_that_is_no_object_is_refused(self, alice, body, errcode):
        assert await alice.is_refused("PUT", of(alice), body, status=400) == errcode

    async def test_a_body_that_is_too_deep_is_refused(self, alice):
        body = b'{"a":' * 500 + b"1" + b"}" * 500
        assert await alice.is_refused("PUT", of(alice), body, status=400) in (
            "M_BAD_JSON",
            "M_NOT_JSON",
        )

    async def test_integers_of_any_size_are_kept(self, alice):
        await alice.put(of(alice), {"large": 10**30})
        assert await alice.get(of(alice)) == {"large": 10**30}

    async def test_a_content_that_is_too_large_is_refused(self, alice):
        body = {"text": "x" * 65_536}
        assert await alice.is_refused("PUT", of(alice), body, status=413) == "M_TOO_LARGE"
        await alice.put(of(alice), {"text": "x" * 65_000})

    async def test_a_type_that_is_too_long_is_refused(self, alice):
        kind = "ü" * 128
        assert await alice.is_refused("PUT", of(alice, kind), {}, status=400) == "M_INVALID_PARAM"
        assert await alice.is_refused("GET", of(alice, kind), status=400) == "M_INVALID_PARAM"

    async def test_a_type_that_cannot_be_stored_is_refused(self, alice):
        kind = "a\0b"
        assert await alice.is_refused("PUT", of(alice, kind), {}, status=400) == "M_INVALID_PARAM"

    async def test_there_are_only_so_many_types(self, alice, monkeypatch):
        monkeypatch.setattr(account_data, "MAX_ENTRIES", 2)
        await alice.put(of(alice, "a"), {})
        await alice.put(of(alice, "b"), {})
        assert await alice.is_refused("PUT", of(alice, "c"), {}, status=413) == "M_TOO_LARGE"
        await alice.put(of(alice, "b"), {"changed": True})

    async def test_without_a_token_nothing_is_told(self, alice, server):
        assert await server.nobody.is_refused("GET", of(alice), status=401) == "M_MISSING_TOKEN"


class TestSetAccountDataPerRoom:
    """setAccountDataPerRoom, getAccountDataPerRoom."""

    async def test_it_is_apart_from_what_is_global_and_of_other_rooms(self, alice, room):
        other = await alice.creates_room()
        await alice.put(of(alice), {"where": "nowhere"})
        await alice.put(of(alice, room=room), {"where": "here"})
        assert await alice.get(of(alice)) == {"where": "nowhere"}
        assert await alice.get(of(alice, room=room)) == {"where": "here"}
        assert await alice.is_refused("GET", of(alice, room=other), status=404) == "M_NOT_FOUND"

    async def test_nobody_sees_or_sets_somebody_elses(self, alice, room, server):
        bob = await server.registers("bob")
        path = of(alice, room=room)
        assert await bob.is_refused("GET", path, status=403) == "M_FORBIDDEN"
        assert await bob.is_refused("PUT", path, {}, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    async def test_what_is_no_room_id_is_refused(self, alice, method):
        path = of(alice, room="@notaroomid:example.org")
        body = {} if method == "PUT" else None
        assert await alice.is_refused(method, path, body, status=400) == "M_INVALID_PARAM"

    async def test_of_a_room_that_one_never_was_in_nothing_is_kept(self, alice, room, server):
        bob = await server.registers("bob")
        for path in (of(bob, room=room), of(bob, room="!nowhere:example.org")):
            assert await bob.is_refused("PUT", path, {}, status=404) == "M_NOT_FOUND"
            assert await bob.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    async def test_of_a_room_that_one_has_left_it_stays(self, alice, room):
        await alice.put(of(alice, room=room), {"a": 1})
        await alice.post(f"v3/rooms/{q(room)}/leave")
        await alice.put(of(alice, room=room), {"a": 2})
        assert await alice.get(of(alice, room=room)) == {"a": 2}
