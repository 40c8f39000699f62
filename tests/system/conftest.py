"""One deployment for the tests that only talk to it."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import Up, up


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("deployment")) as running:
        yield running
