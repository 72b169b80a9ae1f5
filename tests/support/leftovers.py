"""Tasks that a test has begun and not ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def ended_leftovers() -> AsyncIterator[None]:
    """Cancels, at the end, what was begun meanwhile, as a loop does that is closed."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
