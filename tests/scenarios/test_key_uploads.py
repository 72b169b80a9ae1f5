"""Uploads of many one-time keys under fire: the process that checks them, or the server, is killed.

Who has an answer has his keys there; who has none may ask again, and nothing is there by halves.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.scenarios.test_one_time_keys import Person
from tests.support.encryption import SIGNED, KeyMaker
from tests.support.live_server import GENEROUS, LiveServer, running

PEOPLE = 4
UPLOADS = 12
EACH = 40
KILLS = 4


@pytest.fixture
def server(tmp_path: Path):
    with running(tmp_path, GENEROUS) as started:
        yield started


class Uploading:
    """A device that uploads again and again, until all is there."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self.maker = KeyMaker.of(person.user_id, person.device_id)
        self.uploaded = 0

    async def uploads(self) -> None:
        await self._person.insists("POST", "keys/upload", self.maker.upload())
        for number in range(UPLOADS):
            names = [f"{number:02}{name:03}" for name in range(EACH)]
            body = {"one_time_keys": self.maker.one_time_keys(*names)}
            answer = await self._person.insists("POST", "keys/upload", body)
            self.uploaded += EACH
            assert answer == {"one_time_key_counts": {SIGNED: self.uploaded}}


def checkers(server: LiveServer) -> list[psutil.Process]:
    """The processes of a server that check keys."""
    children = psutil.Process(server.pid).children()
    return [each for each in children if "e2e.key_checker" in " ".join(each.cmdline())]


async def kill_a_checker(server: LiveServer) -> int:
    """How many were killed."""
    found = checkers(server)
    for each in found:
        each.kill()
    return len(found)


async def kill_the_server(server: LiveServer) -> int:
    await asyncio.to_thread(server.restart, signal.SIGKILL)
    return 1


Kill = Callable[[LiveServer], Awaitable[int]]


@pytest.mark.parametrize("kill", [kill_a_checker, kill_the_server])
async def test_whatever_is_killed_all_keys_are_there_once(server: LiveServer, kill: Kill):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        devices = []
        for number in range(PEOPLE):
            person = Person(server, http)
            await person.registers(f"person{number}")
            devices.append(Uploading(person))
        uploading = asyncio.gather(*(device.uploads() for device in devices))
        step = PEOPLE * UPLOADS * EACH // (KILLS + 1)
        kills = 0
        while kills < KILLS and not uploading.done():
            if sum(device.uploaded for device in devices) >= kills * step:
                kills += await kill(server)
            await asyncio.sleep(0.005)
        await uploading
        assert kills
        assert [device.uploaded for device in devices] == [UPLOADS * EACH] * PEOPLE
