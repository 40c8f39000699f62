"""Waiting for a condition, with an end: never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
PATIENCE = 30.0  # seconds; only a failure takes so long


@overload
async def until(condition: Callable[[], Awaitable[T | None]], what: str = ..., *, timeout: float = ...) -> T: ...


@overload
async def until(condition: Callable[[], T | None], what: str = ..., *, timeout: float = ...) -> T: ...


async def until(condition: Callable[[], Any], what: str = "the condition", *, timeout: float = PATIENCE) -> Any:
    """The first true value of `condition`, looked at again and again. Raises AssertionError with `what` at the end."""
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout:g} seconds")
        await asyncio.sleep(0.01)
