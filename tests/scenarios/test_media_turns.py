"""Who is next when many pictures wait."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from homeserver.errors import LimitExceeded, Unavailable
from mediarepo.imaging.turns import Turns


class Line:
    """People who queue. `served`: in what order they had their turns, one after the other."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.served: list[str] = []

    def comes(self, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self._wait(name))

    async def _wait(self, name: str) -> None:
        async with self._turns.turn(name[0]):
            self.served.append(name)
            await asyncio.sleep(0)


async def come(line: Line, *names: str) -> list["asyncio.Task[None]"]:
    tasks = [line.comes(name) for name in names]
    await asyncio.sleep(0)
    return tasks


class TestTurns:
    async def test_people_take_turns_whoever_came_first(self):
        turns = Turns(places=1, max_waiting=100)
        line = Line(turns)
        async with turns.turn("z"):
            tasks = await come(line, "a1", "a2", "a3", "b1", "b2", "c1")
        await asyncio.gather(*tasks)
        assert line.served == ["a1", "b1", "c1", "a2", "b2", "a3"]

    async def test_as_many_work_as_there_are_places(self):
        turns = Turns(places=2, max_waiting=100)
        line = Line(turns)
        async with turns.turn("z"), AsyncExitStack() as stack:
            await stack.enter_async_context(turns.turn("z"))
            tasks = await come(line, "a1")
            assert line.served == []
            await stack.aclose()
            await asyncio.gather(*tasks)
            assert line.served == ["a1"]

    async def test_no_more_wait_than_may(self):
        turns = Turns(places=1, max_waiting=4)
        line = Line(turns)
        async with turns.turn("z"):
            tasks = await come(line, "a1", "b1", "c1", "d1")
            with pytest.raises(Unavailable):
                await line.comes("e1")
        await asyncio.gather(*tasks)
        assert line.served == ["a1", "b1", "c1", "d1"]

    async def test_nobody_has_more_than_his_share_waiting(self):
        turns = Turns(places=1, max_waiting=8)
        line = Line(turns)
        async with turns.turn("z"):
            tasks = await come(line, "a1", "a2")
            with pytest.raises(LimitExceeded):
                await line.comes("a3")
            tasks += await come(line, "b1")
        await asyncio.gather(*tasks)
        assert line.served == ["a1", "b1", "a2"]

    async def test_who_leaves_the_line_leaves_no_gap(self):
        turns = Turns(places=1, max_waiting=2)
        line = Line(turns)
        async with turns.turn("z"):
            (first,) = await come(line, "a1")
            first.cancel()
            await asyncio.wait([first])
            tasks = await come(line, "b1", "c1")
        await asyncio.gather(*tasks)
        assert line.served == ["b1", "c1"]

    async def test_who_leaves_when_it_is_his_turn_gives_it_to_the_next(self):
        turns = Turns(places=1, max_waiting=8)
        line = Line(turns)
        async with turns.turn("z"):
            first, second = await come(line, "a1", "b1")
        first.cancel()
        await asyncio.wait([first, second])
        assert (first.cancelled(), line.served) == (True, ["b1"])

    async def test_a_turn_that_fails_ends(self):
        turns = Turns(places=1, max_waiting=8)
        with pytest.raises(LookupError):
            async with turns.turn("a"):
                raise LookupError
        line = Line(turns)
        await line.comes("b1")
        assert line.served == ["b1"]
