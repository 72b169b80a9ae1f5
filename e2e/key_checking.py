"""One-time keys are checked: few of them here, many in a child process.

A hundred signatures take 1.4 ms in lanes, and 6 ms without them, in which this process serves
others. Threads would not do: the interpreter is one's own after each eight signatures only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog

from e2e.compact_keys import compacted
from e2e.key_checker import decode_keys, decode_place, encode_keys, encode_lines
from e2e.uploaded_keys import (
    MAX_UPLOADED,
    CheckedUpload,
    OneTimeKeys,
    Owner,
    Upload,
    check_device_keys,
    check_fallback_keys,
    check_one_time_keys,
    device_key,
    signed_right,
    too_many,
)
from homeserver.child.process import ChildDied, ChildProcess
from homeserver.errors import Unavailable
from homeserver.events.signing import VerifyKey

MANY = 16
"""Keys that are worth a question: they take 0.3 ms here, and 1 ms without lanes."""
_MAX_ANSWER_BYTES = 16 * 2**20
_AT_ONCE = 32
"""Uploads that the process is given; others wait."""

log = structlog.get_logger(__name__)


async def _half_a_minute() -> None:
    await asyncio.sleep(30)


class KeyChecking:
    """The process is started when there is work, and ends when there was none for a while."""

    def __init__(self, *, pause: Callable[[], Awaitable[None]] = _half_a_minute) -> None:
        """pause: as long as one has patience."""
        self._pause = pause
        self._child: ChildProcess | None = None
        self._starting = asyncio.Lock()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._answers = 0

    async def check(self, upload: Upload, owner: Owner, stored: bytes | None) -> CheckedUpload:
        """stored: identity keys that the device has.

        Raises InvalidInput, InvalidSignature, TooLarge, Unavailable.
        """
        device = (
            None if upload.device_keys is None else check_device_keys(upload.device_keys, owner)
        )
        current = stored if device is None else device.json
        signer = None if current is None else device_key(orjson.loads(current), owner)
        fallback = check_fallback_keys(upload.fallback_keys, owner, signer)
        one_time = await self._one_time_keys(upload.one_time_keys, owner, signer)
        return CheckedUpload(device, one_time, fallback)

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._child is None else self._child.pid

    async def run(self) -> None:
        """Ends the process when it hangs or had nothing to do for a pause. Until cancelled."""
        try:
            while True:
                before = self._state()
                await self._pause()
                if self._child is not None and self._state() == before:
                    await self._stop()
        finally:
            await self._stop()

    def _state(self) -> tuple[ChildProcess | None, bool, int]:
        """Stays the same while nothing happens."""
        return self._child, self._child is not None and self._child.is_at_work, self._answers

    async def _one_time_keys(
        self, keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None
    ) -> OneTimeKeys:
        if len(keys) < MANY:
            return check_one_time_keys(keys, owner, signer)
        if len(keys) > MAX_UPLOADED:
            raise too_many()
        compact = None if signer is None else compacted(keys, owner.user_id, owner.device_id)
        if signer is None or compact is None:
            return decode_keys(await self._ask(encode_keys(keys, owner, signer)))
        question = encode_lines([*compact.lines.values()], signer)
        wrong = decode_place(await self._ask(question))
        return signed_right(keys, compact, owner, wrong)

    async def _ask(self, question: bytes) -> bytes:
        async with self._places:
            child = await self._running()
            try:
                answer = await child.ask(question)
            except ChildDied as error:
                log.warning("key_checking_process_failed", pid=child.pid)
                raise Unavailable("The keys cannot be checked just now.") from error
            self._answers += 1
            return answer

    async def _running(self) -> ChildProcess:
        async with self._starting:
            if self._child is None or not self._child.is_alive:
                try:
                    self._child = await ChildProcess.start(
                        "e2e.key_checker", max_line_bytes=_MAX_ANSWER_BYTES
                    )
                except OSError as error:
                    log.exception("key_checking_process_cannot_start")
                    raise Unavailable("No keys can be checked just now.") from error
            return self._child

    async def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
