"""Files: below their root, shared by their readers, never a mixture of two versions."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.tftp.content import ContentChangedError
from services.tftp.errors import MissingError, RefusedError
from services.tftp.files import Library
from tests.services.tftp.rig import octets
from tests.support import needs


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "a").write_bytes(octets(1000))
    os.utime(folder / "a", (0, 0))
    (tmp_path / "root-old").mkdir()
    (tmp_path / "root-old" / "a").write_bytes(b"sibling")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def test_readers_of_one_version_share_one_file_and_one_mapping(root: Path) -> None:
    library = Library()
    before = open_descriptors()
    readers = [library.open_below(root, "a") for _ in range(20)]
    assert open_descriptors() == before + 2  # the mapping keeps one of its own
    assert len({reader.address for reader in readers}) == 1
    for reader in readers:
        assert reader.read(0, 5000) == octets(1000)
        reader.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("path", ["b", "a/b", "", "folder", "x" * 300, "x/" * 3000])
def test_what_is_not_there_is_missing(root: Path, path: str) -> None:
    before = open_descriptors()
    with pytest.raises(MissingError):
        Library().open_below(root, path)
    assert open_descriptors() == before


def test_a_root_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        Library().open_below(tmp_path / "nowhere", "a")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "../root-old/a", "loop"])
def test_a_link_that_leads_out_is_refused(root: Path, target: str) -> None:
    (root / "loop").symlink_to(target)
    before = open_descriptors()
    with pytest.raises(RefusedError):
        Library().open_below(root, "loop")
    assert open_descriptors() == before


def test_a_link_to_a_folder_outside_is_refused(root: Path) -> None:
    (root / "old").symlink_to("../root-old")
    with pytest.raises(RefusedError):
        Library().open_below(root, "old/a")


def test_a_link_within_the_root_is_followed(root: Path) -> None:
    (root / "stable").symlink_to("a")
    assert Library().open_below(root, "stable").read(0, 10) == octets(10)


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert Library().open_below(link, "a").read(0, 10) == octets(10)


def test_what_is_no_file_is_refused_without_being_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(RefusedError):
        Library().open_below(root, "pipe")


def test_a_file_without_permission_is_refused() -> None:
    with nobody(), tempfile.TemporaryDirectory(prefix="kickfleet-") as name:
        folder = Path(name)
        (folder / "a").write_bytes(b"secret")
        (folder / "a").chmod(0)
        (folder / "closed").mkdir(0)
        for path in ("a", "closed/b"):
            with pytest.raises(RefusedError):
                Library().open_below(folder, path)


@contextmanager
def nobody() -> Iterator[None]:
    """Files have no secrets for root: be somebody else for a while."""
    before = os.geteuid()
    if before != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_any_part_of_a_file_can_be_read(root: Path) -> None:
    library = Library()
    content = library.open_below(root, "a")
    for start, length in [(0, 10), (60, 10), (0, 1000), (990, 100), (500, 64), (63, 130), (1000, 5), (0, 1000)]:
        assert content.read(start, length) == octets(1000)[start : start + length]
    content.check()


def test_a_new_version_is_another_file_and_the_old_one_stays(root: Path) -> None:
    library = Library()
    old = library.open_below(root, "a")
    assert old.read(0, 3) == octets(3)
    (root / "b").write_bytes(b"new")
    (root / "b").replace(root / "a")
    new = library.open_below(root, "a")
    assert (old.read(0, 1000), new.read(0, 1000)) == (octets(1000), b"new")
    old.check()
    new.check()


def test_a_file_that_is_removed_under_way_stays(root: Path) -> None:
    content = Library().open_below(root, "a")
    (root / "a").unlink()
    assert content.read(0, 1000) == octets(1000)
    content.check()


@pytest.mark.parametrize("damage", [b"shorter", octets(1001), bytes(1000)])
def test_a_file_that_is_overwritten_is_never_a_mixture(root: Path, damage: bytes) -> None:
    content = Library().open_below(root, "a")
    content.read(0, 10)
    (root / "a").write_bytes(damage)
    with pytest.raises(ContentChangedError):
        content.check()


def test_a_file_that_is_overwritten_before_it_was_read_is_not_read(root: Path) -> None:
    content = Library().open_below(root, "a")
    (root / "a").write_bytes(b"x")
    with pytest.raises(ContentChangedError):
        content.read(0, 10)


def test_the_files_of_packages_are_found() -> None:
    loader = needs.file("/usr/lib/PXELINUX/pxelinux.0", "pxelinux")
    assert Library().open(str(loader)).size == loader.stat().st_size
