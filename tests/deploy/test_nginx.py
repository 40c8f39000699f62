"""nginx with the configuration of deploy/nginx in front of kickstart: images from nginx, events all the same."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.services.kickstart.examples import TOKEN
from tests.services.kickstart.world import World, world
from tests.support import needs
from tests.support.waiting import until

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx/kickfleet.conf"
KERNEL = "/images/rocky-9/images/pxeboot/vmlinuz"
SIZE = 24 * 1024 * 1024  # more than all buffers between nginx and a client that does not read
MAIN = """
daemon off;
user root;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {server}
}}
"""


@asynccontextmanager
async def nginx(house: World, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The configuration as it is shipped, with this test's ports and folder."""
    program = needs.program("nginx", "nginx-light")
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = CONFIGURATION.read_text()
    for shipped, here in (
        ("listen 8081", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8082", f"{house.http.base_url.host}:{house.http.base_url.port}"),
        ("127.0.0.1:8514", (house.settings.data / "run/kickstart.nginx_log").read_text().strip()),
        ("/var/lib/kickfleet", str(house.settings.data)),
    ):
        assert text.count(shipped) == 1, f"{shipped} is once in the configuration"
        text = text.replace(shipped, here)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, server=text))
    command = [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            await until(lambda: process.returncode is not None or _open(port), "nginx listens")
            assert process.returncode is None, (folder / "error.log").read_text()
            yield http
    finally:
        process.terminate()
        await process.wait()


def _open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[tuple[World, httpx.AsyncClient, bytes]]:
    """kickstart, nginx before it, and the kernel's content; node01 is to install itself."""
    content = os.urandom(SIZE)
    async with world(tmp_path, kickstart__nginx_log="127.0.0.1:0") as house:
        kernel = house.settings.data / KERNEL[1:]
        kernel.parent.mkdir(parents=True)
        kernel.write_bytes(content)
        await house.order(address="127.0.0.1")
        async with nginx(house, tmp_path / "nginx") as http:
            yield house, http, content


Lab = tuple[World, httpx.AsyncClient, bytes]


async def test_a_kernel_from_nginx_is_told(lab: Lab) -> None:
    house, http, content = lab
    for path in (KERNEL, f"/{KERNEL}", KERNEL.replace("rocky-9/", "rocky-9//")):
        base = str(http.base_url).rstrip("/")
        head = await http.head(base + path)
        assert (head.status_code, head.headers["content-length"]) == (200, str(SIZE))
        answer = await http.get(base + path)
        assert (answer.status_code, answer.headers["server"]) == (200, "nginx")
        assert answer.headers["content-length"] == str(SIZE)
        assert answer.content == content
    await until(lambda: len(house.tape.of("kernel.fetched")) == 3, "three transfers are told, and no HEAD")
    event = await house.until_event("kernel.fetched")
    assert (event.machine, event.install_id, event.path, event.bytes) == ("node01", "i1", KERNEL, SIZE)


async def test_parts_from_nginx_are_one_transfer(lab: Lab) -> None:
    house, http, content = lab
    for span in ("0-999", "500-9999"):
        part = await http.get(KERNEL, headers={"range": f"bytes={span}"})
        start, end = map(int, span.split("-"))
        assert (part.status_code, part.content) == (206, content[start : end + 1])
    assert (await http.get(KERNEL, headers={"range": f"bytes={SIZE}-"})).status_code == 416
    await http.get(KERNEL, headers={"range": "bytes=10000-"})
    assert (await house.until_event("kernel.fetched")).bytes == SIZE
    assert len(house.tape.of("kernel.fetched")) == 1


async def test_a_client_that_leaves_nginx_has_not_got_the_kernel(lab: Lab) -> None:
    house, http, _content = lab
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port, limit=4096)
    writer.write(f"GET {KERNEL} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readexactly(5000)
    writer.transport.abort()
    event = await house.until_event("transfer.failed")
    assert (event.reason, event.size, event.install_id) == ("aborted", SIZE, "i1")
    assert event.bytes < SIZE
    assert not house.tape.of("kernel.fetched")


async def test_what_nginx_does_not_serve(lab: Lab) -> None:
    house, http, _content = lab
    (house.images / "rocky-9/outside").symlink_to("/etc/hostname")
    os.lchown(house.images / "rocky-9/outside", 65534, 65534)
    for path in (
        "/images/rocky-9/",
        "/images/",
        "/images/rocky-9/none",
        "/images/rocky-9/outside",
        "/images/../run/nats",
    ):
        assert (await http.get(path)).status_code == 404, path
    assert (await http.post(KERNEL)).status_code in (403, 404, 405)
    (house.settings.data / KERNEL[1:]).unlink()
    assert (await http.get(KERNEL)).status_code == 404
    event = await house.until_event("transfer.failed")
    assert (event.reason, event.path, event.install_id) == ("missing", KERNEL, "i1")
    assert len(house.tape.of("transfer.failed")) == 1


async def test_all_else_is_kickstarts(lab: Lab) -> None:
    """With the machine's own address, not nginx's."""
    house, http, _content = lab
    async with httpx.AsyncClient(
        base_url=http.base_url, transport=httpx.AsyncHTTPTransport(local_address="127.0.0.77")
    ) as machine:
        answers = await machine.get(f"/i/{TOKEN}/answers")
        assert (answers.status_code, answers.headers["content-length"]) == (200, str(len(answers.content)))
        assert (await machine.post(f"/i/{TOKEN}/started")).status_code == 200
    assert (await house.until_event("install.started")).ip == "127.0.0.77"
    assert (await house.until_event("answers.fetched")).ip == "127.0.0.77"
