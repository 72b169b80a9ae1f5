"""Passwords: hashing in threads, bounded."""

import asyncio
import threading
from secrets import token_bytes

import pytest

from homeserver.config import AuthConfig
from homeserver.errors import InvalidInput, Unavailable
from homeserver.passwords import Passwords, generate

CHEAP = AuthConfig(argon2_time_cost=1, argon2_memory_kib=64, password_workers=1)


@pytest.fixture
def passwords():
    passwords = Passwords(settings=CHEAP, random_bytes=token_bytes)
    yield passwords
    passwords.close()


async def test_a_hash_tells_its_parameters_and_matches_its_password(passwords):
    password_hash = await passwords.hash("correct horse")
    assert password_hash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await passwords.verify(password_hash, "correct horse")
    assert not await passwords.verify(password_hash, "Correct horse")


async def test_the_same_password_has_another_hash_each_time(passwords):
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


@pytest.mark.parametrize("stored", [None, "", "plain", "$argon2id$broken"])
async def test_nothing_matches_what_is_no_hash(passwords, stored):
    assert not await passwords.verify(stored, "")
    assert not await passwords.verify(stored, "plain")


async def test_the_longest_and_the_shortest_that_are_allowed(passwords):
    assert await passwords.hash("x" * 8)
    assert await passwords.hash("é" * 512)
    for password in ("x" * 7, "é" * 513, "nul\0nul\0nul"):
        with pytest.raises(InvalidInput):
            await passwords.hash(password)


async def test_the_loop_goes_on_meanwhile(passwords, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(passwords, "_verify", lambda *_: gate.wait())
    waiting = asyncio.create_task(passwords.verify(None, "correct horse"))
    await asyncio.sleep(0)
    gate.set()
    assert not await waiting


async def test_when_too_many_wait_others_are_told_to_come_back(passwords, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(passwords, "_verify", lambda *_: gate.wait())
    waiting = [asyncio.create_task(passwords.verify("hash", "x")) for _ in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await passwords.verify("hash", "x")
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await passwords.verify("hash", "x")


def test_a_generated_password_is_readable_and_good_enough_to_set():
    password = generate(token_bytes)
    assert len(password) == 29
    assert password.count("-") == 5
    assert password != generate(token_bytes)
