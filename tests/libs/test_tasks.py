"""Tasks end when they are told to, also those that lose the first word."""

import asyncio

from libs.tasks import end


async def test_a_task_that_swallows_cancellations_is_told_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert (task.cancelled(), swallowed) == (True, 2)


async def test_tasks_that_have_ended_and_that_fail_are_no_trouble() -> None:
    async def fails() -> None:
        raise ValueError("on its own")

    async def fails_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it ends")

    over, ending = asyncio.create_task(fails()), asyncio.create_task(fails_at_the_end())
    await asyncio.sleep(0)
    await end(over, ending)
    assert over.done()
    assert ending.done()
    await end()
