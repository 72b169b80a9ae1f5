"""Who is writing, where. Source: C-S API v1.19 "Typing Notifications"."""

import asyncio
from dataclasses import replace

import pytest

from homeserver.errors import AccountSuspended
from homeserver.streams import typing as typing_module


@pytest.fixture
async def talk(engine, monkeypatch):
    monkeypatch.setattr(typing_module, "TICK_S", 0.0)
    alice, bob = await engine.people("alice", "bob")
    return alice, bob, await engine.group(alice, bob)


def writing(engine, room) -> list[str]:
    return [person.name for person in engine.core.streams.typing.writing_in(room.room_nid)]


def has_stopped(engine) -> asyncio.Event:
    """Set when somebody stops."""
    stopped = asyncio.Event()
    engine.core.streams.typing.subscribe(lambda _, __, active: active or stopped.set())
    return stopped


class TestNumbers:
    async def test_rooms_change_when_somebody_starts_or_stops(self, engine, talk):
        alice, bob, room = talk
        other = await engine.group(alice)
        stream, typing = engine.core.streams.typing, engine.actions.typing
        assert stream.position == 0
        await typing.start(alice, room.uuid)
        await typing.start(bob, room.uuid)
        await typing.start(alice, other.uuid)
        assert (stream.position, writing(engine, room)) == (3, ["Alice", "Bob"])
        assert stream.changed_since(2) == {other.room_nid}
        await typing.stop(alice, room.uuid)
        assert writing(engine, room) == ["Bob"]
        assert stream.changed_since(3) == {room.room_nid}

    async def test_going_on_is_no_change(self, engine, talk):
        alice, _, room = talk
        await engine.actions.typing.start(alice, room.uuid)
        engine.clock.ms += 5_000
        await engine.actions.typing.start(alice, room.uuid)
        assert engine.core.streams.typing.position == 1

    async def test_to_stop_without_having_started_is_none(self, engine, talk):
        alice, _, room = talk
        await engine.actions.typing.stop(alice, room.uuid)
        assert engine.core.streams.typing.position == 0


class TestEnding:
    async def test_it_ends_by_itself(self, engine, talk):
        alice, bob, room = talk
        stopped = has_stopped(engine)
        await engine.actions.typing.start(alice, room.uuid, timeout_ms=1_000)
        await engine.actions.typing.start(bob, room.uuid, timeout_ms=10_000)
        engine.clock.ms += 1_000
        await stopped.wait()
        assert writing(engine, room) == ["Bob"]

    async def test_nobody_writes_for_ever(self, engine, talk):
        alice, _, room = talk
        stopped = has_stopped(engine)
        await engine.actions.typing.start(alice, room.uuid, timeout_ms=2**60)
        engine.clock.ms += 120_000
        await stopped.wait()
        assert writing(engine, room) == []

    async def test_who_sends_has_stopped(self, engine, talk):
        alice, _, room = talk
        await engine.actions.typing.start(alice, room.uuid)
        await engine.says(alice, room, "hello")
        assert writing(engine, room) == []

    async def test_who_is_removed_has_stopped(self, engine, talk):
        alice, bob, room = talk
        await engine.actions.typing.start(bob, room.uuid)
        await engine.actions.membership.remove(alice, room.uuid, bob.user_uuid)
        assert writing(engine, room) == []


async def test_whose_account_is_suspended_types_no_more(engine, talk):
    alice, _, room = talk
    with pytest.raises(AccountSuspended):
        await engine.actions.typing.start(replace(alice, is_suspended=True), room.uuid)
