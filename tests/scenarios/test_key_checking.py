"""One-time keys are checked by a real process, which comes, goes, and dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from e2e.key_checking import MANY, KeyChecking
from e2e.uploaded_keys import Owner, Upload
from homeserver.errors import InvalidInput, InvalidSignature, TooLarge, Unavailable
from homeserver.events import canonical_json
from homeserver.identifiers import UserID
from tests.support.encryption import SIGNED, KeyMaker

ALICE = Owner(UserID("@alice:example.org"), "PHONE")
PHONE = KeyMaker.of(ALICE.user_id, ALICE.device_id)
IDENTITY = canonical_json.encode(PHONE.device_keys())
KEYS = PHONE.one_time_keys(*map(str, range(100)))
FEW = {name: KEYS[name] for name in [*KEYS][: MANY - 1]}


@pytest.fixture
async def checking() -> AsyncIterator[KeyChecking]:
    made = KeyChecking()
    running = asyncio.ensure_future(made.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def checked(checking: KeyChecking, **upload) -> list[str]:
    """IDs of the one-time keys that were found to be right."""
    found = await checking.check(Upload(**upload), ALICE, IDENTITY)
    return [*found.one_time[SIGNED]]


async def test_many_are_checked_by_a_process_and_few_are_not(checking):
    assert len(await checked(checking, one_time_keys=FEW)) == MANY - 1
    assert checking.pid is None
    assert await checked(checking, one_time_keys=KEYS) == [*map(str, range(100))]
    assert checking.pid is not None


async def test_all_that_come_together_have_the_same_one(checking):
    several = [checked(checking, one_time_keys=KEYS) for _ in range(50)]
    assert set(map(len, await asyncio.gather(*several))) == {100}
    pid = checking.pid
    await checked(checking, one_time_keys=KEYS)
    assert checking.pid == pid


async def test_it_refuses_what_is_wrong(checking):
    forged = {**KEYS, f"{SIGNED}:50": KEYS[f"{SIGNED}:51"]}
    forged[f"{SIGNED}:50"] = {**forged[f"{SIGNED}:50"], "key": KEYS[f"{SIGNED}:52"]["key"]}
    with pytest.raises(InvalidSignature, match=f"{SIGNED}:50"):
        await checked(checking, one_time_keys=forged)
    with pytest.raises(TooLarge):
        await checked(checking, one_time_keys=dict.fromkeys(map(str, range(1_001)), "x"))
    with pytest.raises(InvalidInput) as refused:
        await checked(checking, one_time_keys={**KEYS, "no algorithm": "x"})
    assert refused.value.field == "keys"
    with pytest.raises(InvalidInput):
        await checked(checking, one_time_keys={**KEYS, "x:A": 2**70})


async def test_the_identity_that_comes_with_them_signs_them(checking):
    """And not the one that the device had."""
    other = KeyMaker.of(ALICE.user_id, ALICE.device_id)
    keys = other.one_time_keys(*map(str, range(20)))
    with pytest.raises(InvalidSignature):
        await checked(checking, one_time_keys=keys)
    found = await checked(checking, one_time_keys=keys, device_keys=other.device_keys())
    assert len(found) == 20


async def test_one_that_is_killed_is_replaced(checking):
    await checked(checking, one_time_keys=KEYS)
    former = checking.pid
    os.kill(former, signal.SIGSTOP)
    stuck = [asyncio.ensure_future(checked(checking, one_time_keys=KEYS)) for _ in range(3)]
    await asyncio.sleep(0.01)
    os.kill(former, signal.SIGKILL)
    results = await asyncio.gather(*stuck, return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable] * 3
    assert len(await checked(checking, one_time_keys=KEYS)) == 100
    assert checking.pid != former


class Pauses:
    """They end when a test says so."""

    def __init__(self) -> None:
        self._begun, self._over = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def __call__(self) -> None:
        self._begun.release()
        await self._over.acquire()

    async def first(self) -> None:
        await self._begun.acquire()

    async def next(self) -> None:
        """One ends, and what is to be done between two is done."""
        self._over.release()
        await self._begun.acquire()


class TestPauses:
    @pytest.fixture
    def pauses(self) -> Pauses:
        return Pauses()

    @pytest.fixture
    async def checking(self, pauses: Pauses) -> AsyncIterator[KeyChecking]:
        made = KeyChecking(pause=pauses)
        running = asyncio.ensure_future(made.run())
        await pauses.first()
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert made.pid is None

    async def test_one_that_hangs_is_ended(self, checking, pauses):
        await checked(checking, one_time_keys=KEYS)
        await pauses.next()
        former = checking.pid
        os.kill(former, signal.SIGSTOP)
        stuck = asyncio.ensure_future(checked(checking, one_time_keys=KEYS))
        await asyncio.sleep(0.01)
        await pauses.next()
        assert not stuck.done()
        await pauses.next()
        with pytest.raises(Unavailable):
            await stuck
        await gone(former)
        assert len(await checked(checking, one_time_keys=KEYS)) == 100

    async def test_it_ends_when_there_was_nothing_to_do(self, checking, pauses):
        await checked(checking, one_time_keys=KEYS)
        former = checking.pid
        await pauses.next()
        assert checking.pid == former
        await pauses.next()
        assert checking.pid is None
        await gone(former)
        assert len(await checked(checking, one_time_keys=KEYS)) == 100

    async def test_it_stays_while_there_is_work(self, checking, pauses):
        pids = set()
        for _ in range(5):
            await checked(checking, one_time_keys=KEYS)
            await pauses.next()
            pids.add(checking.pid)
        assert len(pids) == 1


async def gone(pid: int | None) -> None:
    """Waits until there is no such process."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await asyncio.sleep(0.01)
