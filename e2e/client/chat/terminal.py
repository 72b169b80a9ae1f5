"""Printing and asking, in a terminal and without one."""

import asyncio
import os
import stat
import sys
import unicodedata
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

from homeserver.errors import InvalidInput

_MAX_LINE = 1 << 20

PASSWORD = "FOYER_CHAT_PASSWORD"  # noqa: S105 - the name of a variable


def harmless(text: str) -> str:
    """Without characters that would steer a terminal, or turn the direction of what follows."""
    return "".join(
        " " if character in "\r\n\t" else character
        for character in text
        if character in "\r\n\t"
        or not unicodedata.category(character).startswith("C")
        or character == "\u200d"
    )


def is_interactive() -> bool:
    """Whether a person types and reads."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def show(line: str) -> None:
    """One line, at once: who reads a pipe should not wait."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def remark(line: str) -> None:
    """For people only."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


async def ask_secret(question: str, environment: Mapping[str, str], variable: str) -> str:
    """From the environment, or typed without an echo, or the first line of standard input.
    Raises InvalidInput where there is none.
    """
    if environment.get(variable):
        return environment[variable]
    if sys.stdin.isatty():
        from e2e.client.chat import prompts  # noqa: PLC0415 - see there

        answer = await prompts.ask(f"{question}: ", hidden=True)
    else:
        answer = await _first_line()
    if not answer:
        raise InvalidInput(f"no {question.lower()} was given")
    return answer


async def ask(question: str) -> str:
    """What a person types, or the next line of standard input."""
    if not sys.stdin.isatty():
        return await _first_line()
    from e2e.client.chat import prompts  # noqa: PLC0415 - see there

    return await prompts.ask(f"{question}: ")


async def ask_yes(question: str) -> bool:
    """Nobody there is a no."""
    if not sys.stdin.isatty():
        answer = await _first_line()
    else:
        from e2e.client.chat import prompts  # noqa: PLC0415 - see there

        answer = await prompts.ask(f"{question} [y/N] ")
    return answer.strip().lower() in ("y", "yes")


async def lines(prompt_text: str) -> AsyncIterator[str]:
    """What the user types, or what comes through a pipe, until the end of it. What others print
    meanwhile stays above the line that is being typed.
    """
    if not is_interactive():
        async for line in _PipedInput.shared():
            yield line
        return
    from e2e.client.chat import prompts  # noqa: PLC0415 - see there

    async for line in prompts.lines(prompt_text):
        yield line


class _PipedInput:
    """Standard input that is no terminal, line by line, without a thread that could not be
    stopped. One for the process, as what was read ahead would be lost.
    """

    _only: "ClassVar[_PipedInput | None]" = None

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None

    @classmethod
    def shared(cls) -> "_PipedInput":
        if cls._only is None:
            cls._only = cls()
        return cls._only

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._line():
            yield line.decode(errors="replace").rstrip("\r\n")

    async def _line(self) -> bytes:
        """Empty at the end."""
        if not await self._is_pipe():
            return sys.stdin.buffer.readline()
        assert self._reader is not None
        return await self._reader.readline()

    async def _is_pipe(self) -> bool:
        """A file is read at once; only pipes and sockets let wait."""
        if self._reader is None:
            if not stat.S_ISFIFO(mode := os.fstat(0).st_mode) and not stat.S_ISSOCK(mode):
                return False
            self._reader = asyncio.StreamReader(limit=_MAX_LINE)
            protocol = asyncio.StreamReaderProtocol(self._reader)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        return True


async def _first_line() -> str:
    async for line in _PipedInput.shared():
        return line
    return ""
