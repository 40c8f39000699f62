import hashlib
from ipaddress import IPv4Address

import pytest

from libs.simulator.errors import TransferError
from libs.simulator.net.http import HttpClient
from libs.simulator.net.link import Link
from libs.simulator.options import Timing
from tests.libs.simulator.small_http import small_http


def client(timing: Timing | None = None) -> HttpClient:
    return HttpClient(IPv4Address("127.88.1.2"), Link(), timing or Timing(), "iPXE/1.0.0+", {"X-One": "1"})


async def test_a_file_and_a_part_of_it() -> None:
    content = bytes(range(256)) * 1000
    async with small_http() as server:
        server.files["/file"] = content
        whole = await client().get(f"{server.url}/file")
        part = await client().get(f"{server.url}/file", span=(1000, 1009), keep=100)
    assert (whole.download.size, whole.download.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (part.content, part.headers["content-range"]) == (content[1000:1010], "bytes 1000-1009/256000")
    request = server.requests[0]
    assert (request.client, request.headers["user-agent"], request.headers["x-one"]) == (
        "127.88.1.2",
        "iPXE/1.0.0+",
        "1",
    )


async def test_a_body_is_posted() -> None:
    async with small_http() as server:
        response = await client().request("POST", f"{server.url}/done?x=1", body="ä".encode())
    assert response.status == 200
    assert (server.requests[0].path, server.requests[0].body) == ("/done?x=1", "ä".encode())


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "missing"), (410, "missing"), (403, "refused"), (503, "broken"), (302, "broken")]
)
async def test_a_status_says_how_it_failed(status: int, kind: str) -> None:
    async with small_http() as server:
        server.statuses["/file"] = [status]
        with pytest.raises(TransferError, match=f"HTTP {status}") as caught:
            await client().get(f"{server.url}/file")
    assert caught.value.kind == kind


async def test_a_server_that_ignores_range_is_noticed() -> None:
    async with small_http() as server:
        server.files["/file"] = bytes(100)
        server.ignores_range = True
        with pytest.raises(TransferError, match="HTTP 200"):
            await client().get(f"{server.url}/file", span=(0, 9))


async def test_a_transfer_is_broken_off_where_it_was_told() -> None:
    async with small_http() as server:
        server.files["/kernel"] = bytes(10_000_000)
        with pytest.raises(TransferError, match="broken off") as caught:
            await client().get(f"{server.url}/kernel", abort_at=20)
    assert caught.value.kind == "aborted"


async def test_nobody_listens() -> None:
    async with small_http() as server:
        url = server.url
    with pytest.raises(TransferError, match="refused") as caught:
        await client().get(f"{url}/file")
    assert caught.value.kind == "timed_out"


NO_ADDRESSES = [
    "",
    "file:///etc/passwd",
    "https://127.0.0.1/",
    "http://",
    "http://127.0.0.1:99999/",
    "http://[::1/",
    "http://a b/",
    "http://example.invalid/",
    "http://127.0.0.1/\r\nX: 1",
    "http://127.0.0.1:0/",
    "http://999.1.1.1/",
]


@pytest.mark.parametrize("url", NO_ADDRESSES)
async def test_an_address_that_cannot_be_fetched_is_an_error_of_its_own(url: str) -> None:
    with pytest.raises(TransferError) as caught:
        await client().get(url)
    assert caught.value.kind == "broken"
