"""Fixtures of the TFTP service's tests."""

import pytest

from services.tftp import roundtrip


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No repetition happens by itself, however slow the machine is."""
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(roundtrip, name, 1000.0)
