"""Backups of room keys. Source: C-S API v1.19 "Server-side key backups"; key_backup.yaml."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e import backed_up_keys, key_backup
from e2e.backed_up_keys import is_better, key_row
from homeserver.storage.database import Database
from tests.support.matrix_server import MatrixServer, matrix_server, q

VERSION, KEYS = "v3/room_keys/version", "v3/room_keys/keys"
ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
ROOM, OTHER = "!room:example.org", "!other:far.example"


@pytest.fixture
async def server(database: Database) -> AsyncIterator[MatrixServer]:
    async with matrix_server(database) as running:
        yield running


@pytest.fixture
async def alice(server):
    return await server.registers("alice")


async def begins(user, **auth_data: Any) -> str:
    body = {"algorithm": ALGORITHM, "auth_data": {"public_key": "abc", **auth_data}}
    return (await user.post(VERSION, body))["version"]


@pytest.fixture
async def version(alice):
    return await begins(alice)


def key(first: int = 0, *, forwarded: int = 0, verified: bool = True, data: str = "x") -> Any:
    return {
        "first_message_index": first,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": {"ciphertext": data},
    }


def path(room: str | None = None, session: str | None = None) -> str:
    return "/".join([KEYS, *(q(each) for each in (room, session) if each is not None)])


class TestVersions:
    """postRoomKeysVersion, getRoomKeysVersion, putRoomKeysVersion, deleteRoomKeysVersion."""

    async def test_at_first_there_is_none(self, alice):
        assert await alice.is_refused("GET", VERSION, status=404) == "M_NOT_FOUND"

    async def test_the_newest_counts_and_the_others_stay(self, alice, version):
        second = await begins(alice, n=2)
        newest = await alice.get(VERSION)
        assert newest == {
            "version": second,
            "algorithm": ALGORITHM,
            "auth_data": {"public_key": "abc", "n": 2},
            "count": 0,
            "etag": "0",
        }
        assert (await alice.get(f"{VERSION}/{version}"))["auth_data"] == {"public_key": "abc"}

    async def test_data_for_authentication_can_be_changed(self, alice, version):
        body = {"algorithm": ALGORITHM, "auth_data": {"signed": True}, "version": version}
        await alice.put(f"{VERSION}/{version}", body)
        assert (await alice.get(VERSION))["auth_data"] == {"signed": True}

    async def test_nothing_else_can(self, alice, version):
        for change in ({"algorithm": "other"}, {"version": "7777"}):
            body = {"algorithm": ALGORITHM, "auth_data": {"n": 1}, **change}
            refused = await alice.is_refused("PUT", f"{VERSION}/{version}", body, status=400)
            assert refused == "M_INVALID_PARAM"
        assert (await alice.get(VERSION))["auth_data"] == {"public_key": "abc"}

    async def test_with_the_newest_gone_the_one_before_counts(self, alice, version):
        second = await begins(alice)
        await alice.put(path(ROOM, "s"), key(), version=second)
        await alice.delete(f"{VERSION}/{second}")
        assert (await alice.get(VERSION))["version"] == version
        assert await alice.is_refused("GET", path(), status=404, version=second) == "M_NOT_FOUND"
        assert await begins(alice) not in (version, second)

    @pytest.mark.parametrize("wrong", ["7777", "0", "-1", "x", "9" * 30, "٣"])
    async def test_unknown_versions_are_not_found(self, alice, version, wrong):
        one, body = f"{VERSION}/{q(wrong)}", {"algorithm": ALGORITHM, "auth_data": {}}
        assert await alice.is_refused("GET", one, status=404) == "M_NOT_FOUND"
        assert await alice.is_refused("PUT", one, body, status=404) == "M_NOT_FOUND"
        assert await alice.is_refused("DELETE", one, status=404) == "M_NOT_FOUND"

    async def test_those_of_others_are_not_found(self, server, alice, version):
        bob = await server.registers("bob")
        assert await bob.is_refused("GET", f"{VERSION}/{version}", status=404)
        assert await bob.is_refused("DELETE", f"{VERSION}/{version}", status=404)
        assert await bob.is_refused("PUT", path(ROOM, "s"), key(), status=404, version=version)
        assert await alice.get(f"{VERSION}/{version}")

    async def test_the_oldest_goes_where_there_are_too_many(self, alice, version, monkeypatch):
        monkeypatch.setattr(key_backup, "MAX_BACKUPS", 2)
        await begins(alice)
        await begins(alice)
        assert await alice.is_refused("GET", f"{VERSION}/{version}", status=404)

    @pytest.mark.parametrize(
        "body", [{}, {"algorithm": ALGORITHM}, {"algorithm": 1, "auth_data": {}}]
    )
    async def test_malformed_backups_are_refused(self, alice, body):
        assert await alice.is_refused("POST", VERSION, body, status=400) == "M_BAD_JSON"

    async def test_unknown_algorithms_and_large_data_are_refused(self, alice):
        body = {"algorithm": "rot13", "auth_data": {}}
        assert await alice.is_refused("POST", VERSION, body, status=400) == "M_INVALID_PARAM"
        body = {"algorithm": ALGORITHM, "auth_data": {"x": "x" * key_backup.MAX_AUTH_DATA_BYTES}}
        assert await alice.is_refused("POST", VERSION, body, status=413) == "M_TOO_LARGE"


class TestKeys:
    """putRoomKeys, getRoomKeys, deleteRoomKeys, and those of a room and of a session."""

    async def test_one_is_stored_and_read(self, alice, version):
        answer = await alice.put(path(ROOM, "s"), key(), version=version)
        assert answer == {"count": 1, "etag": "1"}
        assert await alice.get(path(ROOM, "s"), version=version) == key()
        assert await alice.get(path(ROOM), version=version) == {"sessions": {"s": key()}}
        rooms = {ROOM: {"sessions": {"s": key()}}}
        assert await alice.get(path(), version=version) == {"rooms": rooms}
        assert (await alice.get(VERSION))["count"] == 1

    async def test_many_are_stored_and_read(self, alice, version):
        rooms = {room: {"sessions": {f"s/{n}": key(n) for n in range(3)}} for room in (ROOM, OTHER)}
        answer = await alice.put(path(), {"rooms": rooms}, version=version)
        assert answer["count"] == 6
        assert await alice.get(path(), version=version) == {"rooms": rooms}
        more = {"sessions": {"t": key()}}
        assert (await alice.put(path(ROOM), more, version=version))["count"] == 7
        assert await alice.get(path(ROOM, "s/1"), version=version) == key(1)

    async def test_where_there_are_none_the_answer_is_empty(self, alice, version):
        assert await alice.get(path(), version=version) == {"rooms": {}}
        assert await alice.get(path(ROOM), version=version) == {"sessions": {}}
        refused = await alice.is_refused("GET", path(ROOM, "s"), status=404, version=version)
        assert refused == "M_NOT_FOUND"

    async def test_they_are_deleted(self, alice, version):
        for room, session in ((ROOM, "a"), (ROOM, "b"), (OTHER, "a"), (OTHER, "b")):
            await alice.put(path(room, session), key(), version=version)
        assert await alice.delete(path(ROOM, "a"), version=version) == {"count": 3, "etag": "5"}
        assert await alice.delete(path(ROOM, "a"), version=version) == {"count": 3, "etag": "5"}
        assert (await alice.delete(path(OTHER), version=version))["count"] == 1
        assert (await alice.delete(path(), version=version))["count"] == 0

    async def test_a_better_key_replaces_a_worse_one(self, alice, version):
        steps = [
            (key(5, verified=False), True),
            (key(5, verified=False, data="y"), False),
            (key(4, verified=False, forwarded=9), True),
            (key(4, verified=False, forwarded=8), True),
            (key(9), True),
            (key(1, verified=False), False),
            (key(10), False),
            (key(8), True),
        ]
        kept: Any = None
        for given, is_kept in steps:
            before = await alice.get(VERSION)
            answer = await alice.put(path(ROOM, "s"), given, version=version)
            kept = given if is_kept else kept
            assert await alice.get(path(ROOM, "s"), version=version) == kept
            assert (answer["etag"] != before["etag"]) == is_kept
            assert answer["count"] == 1

    async def test_keys_go_into_the_newest_backup_only(self, alice, version):
        newest = await begins(alice)
        for where, body in (
            (path(ROOM, "s"), key()),
            (path(ROOM), {"sessions": {"s": key()}}),
            (path(), {"rooms": {ROOM: {"sessions": {"s": key()}}}}),
        ):
            answer = await alice.asks("PUT", where, body, query={"version": version}, status=403)
            assert answer["errcode"] == "M_WRONG_ROOM_KEYS_VERSION"
            assert answer["current_version"] == newest
        assert await alice.get(path(), version=version) == {"rooms": {}}

    async def test_unknown_backups_are_not_found(self, alice):
        for method in ("GET", "DELETE", "PUT"):
            for where, body in (
                (path(ROOM, "s"), key()),
                (path(ROOM), {"sessions": {}}),
                (path(), {"rooms": {}}),
            ):
                sent = body if method == "PUT" else None
                refused = await alice.is_refused(method, where, sent, status=404, version="7777")
                assert refused == "M_NOT_FOUND"

    async def test_the_version_must_be_given(self, alice, version):
        assert await alice.is_refused("GET", path(), status=400) == "M_MISSING_PARAM"

    async def test_all_that_come_at_once_are_counted(self, alice, version):
        await asyncio.gather(
            *(alice.put(path(ROOM, f"s{n}"), key(), version=version) for n in range(20))
        )
        answer = await alice.get(VERSION)
        assert (answer["count"], answer["etag"]) == (20, "20")

    @pytest.mark.parametrize(
        "change",
        [
            {"first_message_index": -1},
            {"first_message_index": "0"},
            {"forwarded_count": 2**53},
            {"is_verified": 1},
            {"session_data": "x"},
            {"session_data": None},
        ],
    )
    async def test_malformed_keys_are_refused(self, alice, version, change):
        body = {**key(), **change}
        assert await alice.is_refused("PUT", path(ROOM, "s"), body, status=400, version=version)
        rooms = {"rooms": {ROOM: {"sessions": {"a": key(), "b": body}}}}
        assert await alice.is_refused("PUT", path(), rooms, status=400, version=version)
        assert (await alice.get(VERSION))["count"] == 0

    async def test_large_keys_and_long_names_are_refused(self, alice, version):
        large = key(data="x" * backed_up_keys.MAX_SESSION_DATA_BYTES)
        refused = await alice.is_refused("PUT", path(ROOM, "s"), large, status=413, version=version)
        assert refused == "M_TOO_LARGE"
        for session in ("s" * 256, "a\0b"):
            where = path(ROOM, session)
            assert await alice.is_refused("PUT", where, key(), status=400, version=version)

    async def test_a_backup_has_so_many_keys(self, alice, version, monkeypatch):
        monkeypatch.setattr(key_backup, "MAX_KEYS", 1)
        await alice.put(path(ROOM, "s"), key(5), version=version)
        await alice.put(path(ROOM, "s"), key(4), version=version)
        refused = await alice.is_refused("PUT", path(ROOM, "t"), key(), status=413, version=version)
        assert refused == "M_TOO_LARGE"


def row(first: int, forwarded: int, *, verified: bool) -> Any:
    return key_row(
        ROOM,
        "s",
        first_message_index=first,
        forwarded_count=forwarded,
        is_verified=verified,
        session_data={},
    )


class TestWhichIsKept:
    """ "the server will choose to either keep the existing key or replace it" """

    def test_rules_go_in_order(self):
        """Each is better than all that stand before it."""
        ordered = [
            row(first, forwarded, verified=verified)
            for verified in (False, True)
            for first in (2, 1, 0)
            for forwarded in (1, 0)
        ]
        for place, one in enumerate(ordered):
            for other_place, other in enumerate(ordered):
                assert is_better(one, other) == (place > other_place)
