"""A real child process, which answers, or does not."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from homeserver.child.process import ChildDied, ChildProcess
from tests.support.children import LONG

MODULE = "tests.support.children"


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    started = await ChildProcess.start(MODULE, max_line_bytes=10 * LONG)
    yield started
    await started.stop()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestAnswers:
    async def test_everybody_gets_his_own(self, child):
        questions = [b"question %d" % number * (number % 7) for number in range(200)]
        answers = await asyncio.gather(*map(child.ask, questions))
        assert answers == [question[::-1] for question in questions]

    async def test_long_ones_come_whole(self, child):
        long = bytes(range(11, 256)) * 4_000
        assert await asyncio.gather(
            child.ask(long[:LONG]), child.ask(b"long"), child.ask(b"ab")
        ) == [
            long[:LONG][::-1],
            b"x" * LONG,
            b"ba",
        ]

    async def test_who_gives_up_takes_nobody_elses(self, child):
        given_up = asyncio.ensure_future(child.ask(b"first"))
        asked = asyncio.ensure_future(child.ask(b"second"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await asked == b"dnoces"

    async def test_what_libraries_print_is_no_answer(self, child):
        assert await asyncio.gather(child.ask(b"print"), child.ask(b"ab")) == [b"tnirp", b"ba"]


class TestEnds:
    async def test_whoever_waits_is_told(self, child):
        questions = (b"ab", b"die", b"cd")
        results = await asyncio.gather(*map(child.ask, questions), return_exceptions=True)
        assert results[0] == b"ba"
        assert [type(each) for each in results[1:]] == [ChildDied] * 2
        with pytest.raises(ChildDied):
            await child.ask(b"ef")
        assert not child.is_alive

    async def test_who_says_what_nobody_asked_is_ended(self, child):
        assert await child.ask(b"twice") == b"one"
        with pytest.raises(ChildDied):
            await child.ask(b"hang")

    async def test_the_last_one_too(self, child):
        with pytest.raises(ChildDied):
            await child.ask(b"die")

    async def test_a_longer_answer_than_there_may_be_ends_it(self):
        child = await ChildProcess.start(MODULE, max_line_bytes=LONG // 2)
        with pytest.raises(ChildDied):
            await child.ask(b"long")
        await child.stop()

    async def test_stopping_one_that_hangs(self, child):
        stuck = asyncio.ensure_future(child.ask(b"hang"))
        await asyncio.sleep(0)
        await child.stop()
        with pytest.raises(ChildDied):
            await stuck
        assert not is_running(child.pid)

    async def test_one_that_was_killed_is_known_to_be_gone(self, child):
        await child.ask(b"ab")
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ChildDied):
            await child.ask(b"ab")
        await child.stop()

    def test_it_ends_with_the_server_however_that_ends(self):
        program = f"""
import asyncio, os, signal
from homeserver.child.process import ChildProcess

async def main():
    child = await ChildProcess.start("{MODULE}", max_line_bytes=1000)
    await child.ask(b"ab")
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
        server = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, check=False
        )
        pid = int(server.stdout)
        assert server.returncode == -signal.SIGKILL
        while is_running(pid):
            time.sleep(0.01)


class TestSurroundings:
    async def test_it_knows_no_secrets(self, monkeypatch):
        monkeypatch.setenv("FOYER_AUTH__JWT_SECRET", "very secret")
        child = await ChildProcess.start(MODULE, max_line_bytes=1000, variables={"MORE": "said"})
        await child.ask(b"ab")
        environment = psutil.Process(child.pid).environ()
        await child.stop()
        assert "very secret" not in environment.values()
        assert environment["MORE"] == "said"

    async def test_it_is_in_no_group_of_the_servers(self, child):
        """So Ctrl-C in a terminal is for the server alone."""
        await child.ask(b"ab")
        assert os.getpgid(child.pid) == child.pid
