"""Real clients against the server: every one gets every octet, also through a line that loses packets."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import tftpy

from libs.events import Fetched
from tests.services.tftp.rig import Address, Rig, octets, peer, rig
from tests.support import needs
from tests.support.waiting import PATIENCE

SIZES = [0, 1, 511, 512, 513, 1428 * 3, 300_001]

PACKAGES = {"curl": "curl", "busybox": "busybox-static", "tftp": "tftp-hpa", "atftp": "atftp"}


async def arrived(served: Rig) -> Fetched:
    """The one event of the test: a file that arrived."""
    (event,) = await served.emitted()
    assert isinstance(event, Fetched)
    return event


async def run(*command: str, folder: Path) -> str:
    """A client program; its output and exit code."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
    except TimeoutError:
        process.kill()
        raise
    return f"{out.decode(errors='replace')} exit code {process.returncode}"


@pytest.mark.parametrize("size", SIZES[1:])  # curl takes the truth about an empty file, tsize 0, for an error
async def test_curl(tmp_path: Path, size: int) -> None:
    curl = needs.program("curl", "curl")
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        host, port = served.address
        await run(curl, "-sS", "--tftp-blksize", "1428", f"tftp://{host}:{port}/a", "-o", "got", folder=tmp_path)
        assert _got(tmp_path) == content
        await arrived(served)


@pytest.mark.parametrize("size", SIZES)
async def test_busybox(tmp_path: Path, size: int) -> None:
    busybox = needs.program("busybox", "busybox-static")
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        host, port = served.address
        await run(busybox, "tftp", "-g", "-r", "a", "-l", "got", host, str(port), folder=tmp_path)
        assert _got(tmp_path) == content
        await arrived(served)


@pytest.mark.parametrize("size", SIZES)
async def test_tftp_hpa(tmp_path: Path, size: int) -> None:
    tftp = needs.program("tftp", "tftp-hpa")
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        host, port = served.address
        await run(tftp, "-m", "binary", host, str(port), "-c", "get", "a", "got", folder=tmp_path)
        assert _got(tmp_path) == content
        await arrived(served)


async def test_tftp_hpa_in_netascii(tmp_path: Path) -> None:
    tftp = needs.program("tftp", "tftp-hpa")
    async with rig(tmp_path) as served:
        content = served.write("a", b"one\ntwo\n\nfour\rfive\n" * 100)
        host, port = served.address
        await run(tftp, "-m", "ascii", host, str(port), "-c", "get", "a", "got", folder=tmp_path)
        assert _got(tmp_path) == content


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", [1, 4, 16])
async def test_atftp(tmp_path: Path, size: int, window: int) -> None:
    atftp = needs.program("atftp", "atftp")
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        host, port = served.address
        options = ["--option", "blksize 1428", "--option", f"windowsize {window}"] if window > 1 else []
        await run(atftp, *options, "-g", "-r", "a", "-l", "got", host, str(port), folder=tmp_path)
        assert _got(tmp_path) == content
        event = await arrived(served)
        assert event.windowsize == window


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"blksize": 1428, "tsize": 0}])
async def test_tftpy(tmp_path: Path, size: int, options: dict[str, int]) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        host, port = served.address

        def download() -> None:
            tftpy.TftpClient(host, port, options).download("a", str(tmp_path / "got"))

        await asyncio.to_thread(download)
        assert _got(tmp_path) == content
        await arrived(served)


@pytest.mark.parametrize("client", ["curl", "busybox", "tftp", "atftp"])
async def test_a_missing_file_is_understood(tmp_path: Path, client: str) -> None:
    program = needs.program(client, PACKAGES[client])
    async with rig(tmp_path) as served:
        host, port = served.address
        command = {
            "curl": [program, "-sS", f"tftp://{host}:{port}/missing", "-o", "got"],
            "busybox": [program, "tftp", "-g", "-r", "missing", "-l", "got", host, str(port)],
            "tftp": [program, host, str(port), "-c", "get", "missing", "got"],
            "atftp": [program, "-g", "-r", "missing", "-l", "got", host, str(port)],
        }[client]
        said = await run(*command, folder=tmp_path)
        assert "not found" in said.lower() or (client == "curl" and "exit code 68" in said)
        assert not _got(tmp_path)


class LossyLine:
    """Stands before the server and forgets one datagram in `one_in`, both ways.

    Each client has a socket of its own towards the server, which learns the transfer's port from the first answer.
    """

    def __init__(self, server: Address, one_in: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._one_in = one_in
        self._chance = random.Random(7)
        self._door = self._socket(self._forth)
        self._fronts: dict[Address, socket.socket] = {}
        self._transfers: dict[Address, Address] = {}
        self.lost = 0

    @property
    def address(self) -> Address:
        """Where clients find it."""
        address: Address = self._door.getsockname()
        return address

    def close(self) -> None:
        """Give the sockets back."""
        for sock in (self._door, *self._fronts.values()):
            self._loop.remove_reader(sock)
            sock.close()

    def _socket(self, heard: Callable[..., None], *args: Address) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        self._loop.add_reader(sock, heard, *args)
        return sock

    def _forth(self) -> None:
        raw, client = self._door.recvfrom(70000)
        if client not in self._fronts:
            self._fronts[client] = self._socket(self._back, client)
        target = self._server if raw[:2] == b"\0\1" else self._transfers.get(client, self._server)
        if not self._loses():
            self._fronts[client].sendto(raw, target)

    def _back(self, client: Address) -> None:
        raw, self._transfers[client] = self._fronts[client].recvfrom(70000)
        if not self._loses():
            self._door.sendto(raw, client)

    def _loses(self) -> bool:
        lost = self._chance.randrange(self._one_in) == 0
        self.lost += lost
        return lost


@pytest.mark.parametrize("client", ["curl", "tftp", "atftp", "tftpy"])
async def test_a_line_that_loses_one_packet_in_twenty(tmp_path: Path, client: str) -> None:
    program = client if client == "tftpy" else needs.program(client, PACKAGES[client])
    async with rig(tmp_path) as served:
        content = served.write("a", octets(200_000))
        with contextlib.closing(LossyLine(served.address, 20)) as line:
            host, port = line.address
            if client == "tftpy":
                fetch = tftpy.TftpClient(host, port, {"blksize": 1000}).download
                await asyncio.to_thread(fetch, "a", str(tmp_path / "got"), timeout=1)
            else:
                await run(*_command(client, program, host, port), folder=tmp_path)
        assert line.lost > 0
        assert _got(tmp_path) == content


def _command(client: str, program: str, host: str, port: int) -> list[str]:
    if client == "curl":
        return [program, "-sS", "--tftp-blksize", "1000", f"tftp://{host}:{port}/a", "-o", "got"]
    if client == "tftp":
        return [program, "-m", "binary", host, str(port), "-c", "get", "a", "got"]
    options = ["--option", "windowsize 4", "--option", "blksize 1000"]
    return [program, *options, "-g", "-r", "a", "-l", "got", host, str(port)]


async def test_a_size_probe_like_real_firmware_and_then_the_file(tmp_path: Path) -> None:
    """OVMF's requests for shim, as captured: the probe, its ERROR, the request without tsize."""
    async with rig(tmp_path) as served:
        content = served.write("shimx64.efi", octets(100_000))
        with peer(served) as probe, peer(served) as firmware:
            await probe.send(b"\0\1shimx64.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0")
            await probe.hear()
            await probe.send(b"\0\5\0\x08User aborted the transfer\0")
            assert await firmware.fetch("shimx64.efi", blksize=1468, windowsize=4) == content
        event = await arrived(served)
        assert (event.TYPE, event.windowsize) == ("shim.fetched", 4)


def _got(folder: Path) -> bytes:
    got = folder / "got"
    return got.read_bytes() if got.exists() else b""
