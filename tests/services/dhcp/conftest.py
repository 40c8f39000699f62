from collections.abc import Iterator

import pytest

from tests.services.dhcp.link import Link
from tests.support import needs


@pytest.fixture
def link() -> Iterator[Link]:
    """The cable; the test is on the server's side."""
    needs.root()
    needs.program("ip", "iproute2")
    cable = Link()
    try:
        cable.build()
        with cable.entered():
            yield cable
    finally:
        cable.remove()
