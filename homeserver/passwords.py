"""Passwords as Argon2id hashes, made in threads: one takes tens of milliseconds and megabytes."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from homeserver.config import AuthConfig
from homeserver.errors import InvalidInput, Unavailable, WeakPassword
from homeserver.readable_secrets import readable_secret

MAX_PASSWORD_BYTES = 1024

_MAX_WAITING_PER_WORKER = 50

_Result = TypeVar("_Result")


class Passwords:
    """Hashes and verifies passwords, as many at a time as there are workers."""

    def __init__(self, *, settings: AuthConfig, random_bytes: Callable[[int], bytes]) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
            type=Type.ID,
        )
        self._min_chars = settings.password_min_length
        self._workers = ThreadPoolExecutor(settings.password_workers, "password")
        self._room = settings.password_workers * _MAX_WAITING_PER_WORKER
        self._random_bytes = random_bytes
        self._nobodys_hash = self._hash(random_bytes(32))

    async def hash(self, password: str, *, field: str = "password") -> str:
        """The hash of a new password, with its parameters and salt.

        field: what the caller calls it, for the error.
        Raises InvalidInput when it is too short or too long, Unavailable when too many wait.
        """
        return await self._work(self._hash, self._checked(password, field))

    def check(self, password: str, *, field: str = "password") -> None:
        """Raises what `hash` would raise for a password, without hashing it."""
        self._checked(password, field)

    async def rehash(self, password: str) -> str:
        """The hash of a password that is in use, whatever is asked of new ones."""
        return await self._work(self._hash, _prepared(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one of the hash.

        password_hash: None or "" when there is no such account or no password; the answer is then
        False, after the same work, so that time does not tell who has an account.
        Raises Unavailable when too many wait.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return False
        against = password_hash or self._nobodys_hash
        matches = await self._work(self._verify, against, _prepared(password))
        return matches and bool(password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of now."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _checked(self, password: str, field: str) -> bytes:
        prepared = _prepared(password)
        if len(password) < self._min_chars:
            raise WeakPassword(
                f"The password is too short: use at least {self._min_chars} characters.",
                field=field,
            )
        if len(prepared) > MAX_PASSWORD_BYTES or "\0" in password:
            raise InvalidInput(
                f"The password must have at most {MAX_PASSWORD_BYTES} bytes and no NUL.",
                field=field,
            )
        return prepared

    async def _work(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        if self._room <= 0:
            raise Unavailable("Too many people are logging in just now. Try again in a moment.")
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)
        finally:
            self._room += 1

    def _hash(self, password: bytes) -> str:
        return self._hasher.hash(password, salt=self._random_bytes(16))

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def generate(random_bytes: Callable[[int], bytes]) -> str:
    """A password of 118 random bits that can be read aloud: letters and digits, in groups."""
    return readable_secret(random_bytes, groups=6, group_chars=4)


def _prepared(password: str) -> bytes:
    """RFC 8265, 4.2.1 (OpaqueString): composed, because keyboards differ in how they spell é."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
