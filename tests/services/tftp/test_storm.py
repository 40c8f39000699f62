"""A boot storm: a thousand machines ask at once, some hostile; the honest ones get their file, told once each."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from libs.events import TransferFailed
from libs.wire.tftp import Ack, Data, Error
from tests.services.tftp.rig import Peer, Rig, octets, peer, rig

MACHINES = 1000
ONE_IN = 50  # is hostile
DESCRIPTORS = MACHINES + 500
KINDS = ((1468, 4), (1432, 1), (512, 1), (1408, 16), (1024, 1))  # OVMF, iPXE, shim, a modern loader, GRUB

Hostile = Callable[[Peer], Coroutine[None, None, None]]


async def silent(client: Peer) -> None:
    """Takes the first packet and says nothing any more."""
    await client.ask("vmlinuz", blksize=1468, windowsize=64)


async def aborting(client: Peer) -> None:
    """Gives up after the first block."""
    await client.ask("vmlinuz")
    await client.send(Ack(1))
    await client.hear()
    await client.send(Error(0, "changed my mind"))


async def padding(client: Peer) -> None:
    """Sends octets that mean nothing, and acknowledges what was never sent, then gives up."""
    await client.ask("vmlinuz", blksize=1468)
    for raw in (b"", b"\0", b"\0\4", b"\xff" * 1400, Ack(999).encode(), Data(1, b"x" * 500).encode()):
        await client.send(raw, client.transfer)
    await client.send(Error(0, "enough"))


async def traversing(client: Peer) -> None:
    """Wants what is none of its business."""
    assert isinstance(await client.ask("../../etc/shadow"), Error)


class Stranger:
    """Acknowledges transfers of others, once it has found a port that is used."""

    async def __call__(self, client: Peer) -> None:
        await client.ask("vmlinuz")
        await client.send(Error(0, "only looking for the port"))
        for port in range(client.transfer[1] - 20, client.transfer[1] + 20):
            for block in range(4):
                await client.send(Ack(block), (client.transfer[0], port))


HOSTILE: tuple[Hostile, ...] = (silent, aborting, padding, traversing, Stranger())
REASONS = {"timed_out": 4, "aborted": 12, "refused": 4}


@pytest.fixture
def _descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))


async def _machine(served: Rig, number: int, content: bytes) -> None:
    """One machine with an address of its own."""
    with peer(served, f"127.1.{number // 250}.{number % 250 + 1}") as client:
        if number % ONE_IN == 0:
            await HOSTILE[number // ONE_IN % len(HOSTILE)](client)
        else:
            blksize, windowsize = KINDS[number % len(KINDS)]
            assert await client.fetch("vmlinuz", blksize=blksize, windowsize=windowsize) == content


@pytest.mark.usefixtures("_descriptors")
async def test_a_thousand_machines_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tftp.session.HALF_OPEN_GIVE_UP", 5.0)
    async with rig(tmp_path) as served:
        content = served.write("vmlinuz", octets(40_000))
        await asyncio.gather(*(_machine(served, number, content) for number in range(MACHINES)))
        await served.idle()
        assert Counter(event.ip for event in served.events).most_common(1)[0][1] == 1
        assert len(served.fetched) == MACHINES - MACHINES // ONE_IN
        assert {event.bytes for event in served.fetched} == {40_000}
        assert Counter(event.reason for event in served.events if isinstance(event, TransferFailed)) == REASONS
