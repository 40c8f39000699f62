"""What the firmware tests share: the packages they need, and the installer tree, built once a run."""

from pathlib import Path

import pytest

from tests.firmware import image, packages


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer tree. Skips where the machine lacks something."""
    packages.require()
    folder = tmp_path_factory.mktemp("image") / "tree"
    image.build(folder, packages.kernel())
    return folder
