"""Work that many want at once is done once."""

import asyncio

import pytest

from mediarepo.coalescing import Once


class Work:
    """Goes on until it is told to end. begun: how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return "done"


@pytest.fixture
async def work() -> Work:
    return Work()


class TestOnce:
    async def test_all_who_wait_get_what_it_returns(self, work):
        once: Once[str, str] = Once()
        waiting = [asyncio.create_task(once.run("key", work)) for _ in range(3)]
        await asyncio.sleep(0)
        assert "key" in once
        work.may_end.set()
        assert await asyncio.gather(*waiting) == ["done"] * 3
        assert (work.begun, len(once)) == (1, 0)

    async def test_all_who_wait_get_what_it_raises(self, work):
        once: Once[str, str] = Once()
        work.error = LookupError("no")
        waiting = [asyncio.create_task(once.run("key", work)) for _ in range(3)]
        work.may_end.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results == [work.error] * 3

    async def test_it_goes_on_when_who_began_it_goes_away(self, work):
        once: Once[str, str] = Once()
        first = asyncio.create_task(once.run("key", work))
        second = asyncio.create_task(once.run("key", work))
        await asyncio.sleep(0)
        first.cancel()
        work.may_end.set()
        assert await second == "done"
        assert first.cancelled()

    async def test_another_key_is_other_work(self, work):
        once: Once[str, str] = Once()
        work.may_end.set()
        await asyncio.gather(once.run("a", work), once.run("b", work))
        assert work.begun == 2

    async def test_what_is_over_begins_anew(self, work):
        once: Once[str, str] = Once()
        work.may_end.set()
        for _ in range(2):
            await once.run("key", work)
        assert work.begun == 2

    async def test_closing_gives_all_up(self, work):
        once: Once[str, str] = Once()
        waiting = asyncio.create_task(once.run("key", work))
        await asyncio.sleep(0)
        await once.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(once) == 0
