"""One kickstart service for each test that asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.kickstart.world import World, world


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
