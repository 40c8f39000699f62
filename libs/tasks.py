"""Ending tasks for certain."""

import asyncio
from typing import Any

AGAIN = 0.2  # seconds until a task that goes on is cancelled once more


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until all have ended; what they raise is left to whoever watches them.

    A cancellation can get lost: before Python 3.12 asyncio.wait_for swallows one that comes together with its result
    (https://github.com/python/cpython/issues/86296), and libraries use it.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)
