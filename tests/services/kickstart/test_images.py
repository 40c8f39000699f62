"""Files by HTTP: whole, in parts, never from outside; and what is told of them."""

import asyncio
import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.connection import SLICE
from libs.desired import LEASES, LeaseDocument
from services.kickstart.images import NotThere, clean, find
from services.kickstart.ranges import MAX_CLIENTS, Coverage, Unsatisfiable, merged, parse_range
from tests.services.kickstart.world import World
from tests.support.waiting import until

KERNEL = "images/rocky-9/images/pxeboot/vmlinuz"
INITRD = "images/rocky-9/images/pxeboot/initrd.img"


def tree(house: World) -> Path:
    """An image with kernel (3 MiB), initrd, a small and a large file."""
    image = house.images / "rocky-9"
    (image / "images" / "pxeboot").mkdir(parents=True)
    (image / "images" / "pxeboot" / "vmlinuz").write_bytes(os.urandom(3 * 1024 * 1024))
    (image / "images" / "pxeboot" / "initrd.img").write_bytes(os.urandom(1000))
    (image / ".treeinfo").write_text("[general]\n")
    (image / "large.img").write_bytes(os.urandom(2 * 1024 * 1024))
    (image / "empty").write_bytes(b"")
    return image


# --- paths --------------------------------------------------------------------------------------------------


def test_nothing_is_found_outside(tmp_path: Path) -> None:
    root, secret = tmp_path / "images", tmp_path / "images-secret"
    (root / "a").mkdir(parents=True)
    secret.mkdir()
    (secret / "key").write_text("x")
    (root / "a" / "file").write_text("x")
    (root / "a" / "inside").symlink_to("file")
    (root / "a" / "outside").symlink_to(secret / "key")
    (root / "link").symlink_to(secret)
    os.mkfifo(root / "a" / "pipe")
    for path in ("a/file", "/a//file", "a/./file", "a/inside"):
        assert find(root, path).size == 1
    for path in (
        *("", "a", "a/outside", "link/key", "../images-secret/key", "a/../../images-secret/key", "a/pipe"),
        *("a\\..\\file", "a/file\0", "a/" + "x" * 300, "\udcff"),
    ):
        with pytest.raises(NotThere):
            find(root, path)
    with pytest.raises(NotThere):
        find(tmp_path / "none", "a")


@given(st.text(st.sampled_from("./\\a\0"), max_size=20))
def test_a_clean_path_stays_inside(path: str) -> None:
    try:
        cleaned = clean(path)
    except NotThere:
        return
    assert Path("/root", cleaned).is_relative_to("/root")
    assert ".." not in cleaned.split("/")


# --- ranges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_without_octets(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, 100)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=12))
def test_parts_are_merged(pairs: list[tuple[int, int]]) -> None:
    parts = [(start, start + length) for start, length in pairs]
    joined = merged(parts)
    assert {n for a, b in joined for n in range(a, b)} == {n for a, b in parts for n in range(a, b)}
    assert all(one[1] < other[0] for one, other in pairwise(joined))


def test_a_file_is_complete_when_all_its_parts_came() -> None:
    coverage = Coverage()
    assert not coverage.add("a", "f", 50, 100, 100)
    assert not coverage.add("b", "f", 0, 50, 100)
    assert coverage.add("a", "f", 0, 60, 100)
    assert not coverage.add("a", "f", 50, 100, 100)
    for number in range(MAX_CLIENTS + 5):
        coverage.add(str(number), "f", 1, 2, 100)
    assert not coverage.add("a", "f", 0, 50, 100), "what is long ago is forgotten"


# --- the service --------------------------------------------------------------------------------------------


async def test_a_whole_file_and_its_head(house: World) -> None:
    image = tree(house)
    content = (image / "images/pxeboot/vmlinuz").read_bytes()
    base = str(house.http.base_url).rstrip("/")
    for path in (f"{base}/{KERNEL}", f"{base}//{KERNEL}", f"{base}/{KERNEL}".replace("pxeboot", "/pxeboot")):
        head = await house.http.head(path)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))
        whole = await house.http.get(path)
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["content-length"] == str(len(content))
        assert "transfer-encoding" not in whole.headers
        assert whole.headers["accept-ranges"] == "bytes"
    assert (await house.http.get("/images/rocky-9/empty")).content == b""


async def test_a_file_of_many_slices_comes_from_the_disk_as_from_memory(house: World) -> None:
    content = os.urandom(2 * SLICE + 12345)
    file = tree(house) / "install.img"
    file.write_bytes(content)
    with file.open("rb") as opened:
        os.fsync(opened)
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    url = "/images/rocky-9/install.img"
    assert (await house.http.get(url)).content == content
    for start, end in ((0, SLICE), (SLICE - 1, SLICE + 1), (SLICE, 2 * SLICE), (5, 2 * SLICE + 5)):
        part = await house.http.get(url, headers={"range": f"bytes={start}-{end - 1}"})
        assert part.content == content[start:end]


async def test_a_file_that_shrinks_ends_the_connection(house: World) -> None:
    """The client is to see that it has not got everything, and so is whoever reads the events."""
    file = tree(house) / "images/pxeboot/vmlinuz"
    size = 64 * 1024 * 1024  # more than the buffers of both kernels hold
    os.truncate(file, size)
    await house.order(address="127.0.0.1")
    reader, _writer = await _ask(house, f"/{KERNEL}")
    await reader.readuntil(b"\r\n\r\n")
    os.truncate(file, 5000)
    assert len(await reader.read()) < size
    assert (await house.until_event("transfer.failed")).reason == "aborted"
    assert not house.tape.of("kernel.fetched")


async def test_a_part_of_a_file(house: World) -> None:
    content = (tree(house) / "large.img").read_bytes()
    url = "/images/rocky-9/large.img"
    part = await house.http.get(url, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert (await house.http.head(url, headers={"range": "bytes=-7"})).headers["content-length"] == "7"
    past = await house.http.get(url, headers={"range": f"bytes={len(content)}-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(content)}")
    etag, date = part.headers["etag"], part.headers["last-modified"]
    for valid in (etag, date):
        again = await house.http.get(url, headers={"range": "bytes=0-0", "if-range": valid})
        assert again.status_code == 206
    other = await house.http.get(url, headers={"range": "bytes=0-0", "if-range": '"other"'})
    assert (other.status_code, other.content) == (200, content)
    unchanged = await house.http.get(url, headers={"if-none-match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (await house.http.get(url)).content == content


async def test_what_is_not_there(house: World) -> None:
    tree(house)
    for path in ("/images/rocky-9/none", "/images/rocky-9", "/images/", "/images/rocky-9/%2e%2e/%2e%2e/run/kickstart"):
        assert (await house.http.get(path)).status_code == 404
    refused = await house.http.post("/images/rocky-9/empty")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await house.http.get("/")).status_code == 404


async def test_a_kernel_that_arrived_is_told_with_its_machine(house: World) -> None:
    size = len((tree(house) / "images/pxeboot/vmlinuz").read_bytes())
    await house.order(address="127.0.0.1")
    await house.http.get(f"/{KERNEL}")
    event = await house.until_event("kernel.fetched")
    assert (event.mac, event.machine, event.install_id) == ("52:54:00:00:00:01", "node01", "i1")
    assert (event.path, event.bytes, event.protocol, event.ip) == (f"/{KERNEL}", size, "http", "127.0.0.1")
    await house.http.get(f"/{INITRD}")
    assert (await house.until_event("initrd.fetched")).install_id == "i1"


async def test_a_client_is_known_by_its_lease(house: World) -> None:
    tree(house)
    await house.order()
    lease = {"ip": "127.0.0.1", "mac": "52:54:00:00:00:01", "subnet": "loop", "expires": "2030-01-01T00:00:00Z"}
    await house.put(LEASES, LeaseDocument.model_validate(lease), key="127.0.0.1")

    async def told() -> bool:
        await house.http.get(f"/{INITRD}")
        return bool(house.tape.of("initrd.fetched", machine="node01", install_id="i1"))

    await until(told, "the lease is known")


async def test_parts_that_make_up_the_file_are_one_event(house: World) -> None:
    size = len((tree(house) / "images/pxeboot/vmlinuz").read_bytes())
    await house.order(address="127.0.0.1")
    half = size // 2
    for span in (f"bytes=0-{half}", f"bytes=0-{half}"):
        await house.http.get(f"/{KERNEL}", headers={"range": span})
    await house.http.get(f"/{INITRD}")
    await house.until_event("initrd.fetched")
    assert not house.tape.of("kernel.fetched")
    await house.http.get(f"/{KERNEL}", headers={"range": f"bytes={half}-"})
    assert (await house.until_event("kernel.fetched")).bytes == size


async def test_large_files_are_told_and_small_ones_are_not(house: World) -> None:
    tree(house)
    await house.order(address="127.0.0.1")
    for name in (".treeinfo", "empty", "images/none", "large.img"):
        await house.http.get(f"/images/rocky-9/{name}")
    await house.until_event("file.fetched", path="/images/rocky-9/large.img")
    assert len(house.tape.of("file.fetched")) == 1
    assert not house.tape.of("transfer.failed")


async def test_a_kernel_that_is_missing_is_told(house: World) -> None:
    await house.order(address="127.0.0.1")
    assert (await house.http.get(f"/{KERNEL}")).status_code == 404
    event = await house.until_event("transfer.failed")
    assert (event.reason, event.path, event.install_id, event.protocol) == ("missing", f"/{KERNEL}", "i1", "http")


async def test_a_client_that_goes_away_has_not_got_the_file(house: World) -> None:
    """It takes some octets and closes: far more than what it took lies in the buffers between."""
    size = len((tree(house) / "images/pxeboot/vmlinuz").read_bytes())
    await house.order(address="127.0.0.1")
    reader, writer = await _ask(house, f"/{KERNEL}")
    await reader.readexactly(5000)
    writer.transport.abort()
    event = await house.until_event("transfer.failed")
    assert (event.reason, event.size, event.install_id) == ("aborted", size, "i1")
    assert not house.tape.of("kernel.fetched")


async def test_octets_in_the_kernels_buffer_have_not_arrived(house: World) -> None:
    """A file that fits into the buffers of both kernels is given away at once; the client never reads it."""
    image = tree(house)
    (image / "images/pxeboot/initrd.img").write_bytes(os.urandom(200_000))
    await house.order(address="127.0.0.1")
    address = (house.http.base_url.host, house.http.base_url.port)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    with client:
        await loop.sock_connect(client, address)
        await loop.sock_sendall(client, f"GET /{INITRD} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await loop.sock_recv(client, 100)
        await house.http.get(f"/{KERNEL}")
        await house.until_event("kernel.fetched")
        assert not house.tape.of("initrd.fetched")
    assert (await house.until_event("transfer.failed")).path == f"/{INITRD}"
    assert not house.tape.of("initrd.fetched")


async def test_a_client_that_closes_at_the_end_has_got_the_file(house: World) -> None:
    tree(house)
    await house.order(address="127.0.0.1")
    for header in ("", "connection: close\r\n"):
        reader, writer = await _ask(house, f"/{INITRD}", header)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)
        writer.close()
        await writer.wait_closed()
    await until(lambda: len(house.tape.of("initrd.fetched")) == 2, "both are told")
    assert not house.tape.of("transfer.failed")


async def test_many_files_on_one_connection_are_not_held_up(house: World) -> None:
    """Each is told for itself, although the next request comes before the last acknowledgement."""
    tree(house)
    await house.order(address="127.0.0.1")
    reader, writer = await _ask(house, f"/{INITRD}")
    for _ in range(20):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)
        writer.write(f"GET /{INITRD} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(1000)
    await until(lambda: len(house.tape.of("initrd.fetched")) == 21, "all are told")
    writer.close()


async def _ask(house: World, path: str, more: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = house.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode())
    return reader, writer
