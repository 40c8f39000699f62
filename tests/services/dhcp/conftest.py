import inspect
from collections.abc import Iterator

import pytest

from tests.services.dhcp.lab import carrier
from tests.services.dhcp.link import Link
from tests.services.dhcp.wire import Wire, laid
from tests.support import needs

# The specification: each of these is tried on the engine alone, and once more packet by packet through real sockets.
RULES = ("states", "delivery", "boot", "static_and_dynamic", "fleet_rules", "proxy")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of rules run twice; those that bring sockets of their own, once."""
    is_rule = metafunc.module.__name__.rpartition(".test_")[2] in RULES
    if is_rule and not inspect.iscoroutinefunction(metafunc.function):
        metafunc.parametrize("transport", ["engine", "wire"], indirect=True)


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    """Cables and sockets for all tests of rules."""
    with laid() as found:
        yield found


@pytest.fixture(autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[None]:
    """How packets travel in this test."""
    if getattr(request, "param", "engine") == "engine":
        yield
        return
    needs.root()
    needs.program("ip", "iproute2")
    found: Wire = request.getfixturevalue("wire")
    with found.entered():
        carrier.wire = found
        try:
            yield
        finally:
            carrier.wire = None


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
