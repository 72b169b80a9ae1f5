"""Asking a person in a terminal. Loaded only then, as the library for it takes a while."""

from collections.abc import AsyncIterator

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout


async def ask(question: str, *, hidden: bool = False) -> str:
    """hidden: what is typed does not appear."""
    prompt: PromptSession[str] = PromptSession()
    return await prompt.prompt_async(question, is_password=hidden)


async def lines(question: str) -> AsyncIterator[str]:
    """Until the end of the input. What is printed meanwhile stays above the line."""
    prompt: PromptSession[str] = PromptSession()
    with patch_stdout():
        while True:
            try:
                yield await prompt.prompt_async(question)
            except EOFError:
                return
