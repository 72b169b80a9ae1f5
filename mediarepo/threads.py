"""Work that waits for the disk, in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(
    executor: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What the work returns or raises. It is never left half done: a task that is cancelled ends
    when the thread does, so what the thread uses may be closed then.
    """
    running = asyncio.get_running_loop().run_in_executor(executor, partial(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await running
        raise
