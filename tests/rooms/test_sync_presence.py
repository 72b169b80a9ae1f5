"""Presence for who begins to listen at the same moment. Source: C-S API v1.19 "Presence"."""

import asyncio

import orjson
import pytest

from homeserver.sync.request import SyncRequest
from homeserver.sync.rosters import Roster, Rosters
from homeserver.sync.token import parse_sync_token
from tests.support.play import eventually
from tests.support.server import Server, server  # noqa: F401
from tests.support.syncing import syncing_of


async def test_who_comes_while_the_reader_is_looked_up_is_told(
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob = await server.people("alice", "bob")
    await server.group(alice, bob)
    presence = server.core.streams.presence
    read, is_read, is_told = Rosters._read, asyncio.Event(), asyncio.Event()

    async def slow(rosters: Rosters, *args: object) -> Roster:
        roster = await read(rosters, *args)
        is_read.set()
        await is_told.wait()
        return roster

    async with syncing_of(server) as syncing:
        request = SyncRequest(since=None, presence="offline")
        since = parse_sync_token(
            orjson.loads(await syncing.sync.sync(alice, request))["next_batch"]
        )
        monkeypatch.setattr(Rosters, "_read", slow)
        request = SyncRequest(since=since, presence="offline", timeout_ms=5_000)
        waiting = asyncio.create_task(syncing.sync.sync(alice, request))
        await is_read.wait()
        await server.actions.presence.connected(bob, 1)
        presence.tell_changes()

        async def everybody_was_told() -> bool:
            return syncing.journal.told_presence == presence.position

        await eventually(everybody_was_told)
        is_told.set()
        answer = orjson.loads(await waiting)
    assert [each["sender"] for each in answer["presence"]["events"]] == [bob.user_id]
