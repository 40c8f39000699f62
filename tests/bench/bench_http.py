"""Images by HTTP beside nginx with sendfile: 64 clients of a 40 MB file, in turns, events on.

A figure is told and fails nothing; a transfer without its event, or with other octets, does.
"""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from libs.settings import Settings
from tests.bench.http.peers import Peer, kickstart, nginx
from tests.support.running import nats_server, recorder, settings_in
from tests.support.waiting import until

CLIENTS, SIZE, ROUNDS = 64, 40_000_000, int(os.environ.get("ROUNDS", "9"))
PATH = "/images/tree/install.img"


@dataclass(frozen=True)
class Turn:
    """What one server did in one round."""

    rate: float  # MB/s
    processor: float  # seconds per GB


@pytest.fixture
def load(tmp_path: Path) -> Path:
    """The load generator."""
    if not shutil.which("gcc") or not shutil.which("nginx"):
        pytest.skip("gcc and nginx are needed (deploy/bench-packages.txt)")
    program = tmp_path / "load"
    subprocess.run(["gcc", "-O2", "-o", program, Path(__file__).with_name("http") / "load.c"], check=True)
    return program


async def test_images_beside_nginx(tmp_path: Path, load: Path) -> None:
    settings = settings_in(tmp_path)
    file = settings.data / PATH[1:]
    file.parent.mkdir(parents=True)
    file.write_bytes(os.urandom(SIZE))
    async with nats_server(settings), recorder(settings) as tape:
        with _peers(tmp_path, settings) as peers:
            await until(lambda: all(map(_answers, peers)), "all servers answer")
            turns: dict[str, list[Turn]] = {peer.name: [] for peer in peers}
            for number in range(ROUNDS + 1):
                for peer in peers if number % 2 else reversed(peers):
                    turn = _turn(load, peer)
                    if number:  # the first is to warm up
                        turns[peer.name].append(turn)
            expected = CLIENTS * (ROUNDS + 1)
            await until(lambda: len(tape.of("file.fetched")) >= expected, "every transfer is told")
            assert len(tape.of("file.fetched")) == expected
            _tell(peers, turns)


@contextmanager
def _peers(folder: Path, settings: Settings) -> Iterator[list[Peer]]:
    root, configuration = folder / "var", folder / "kickstart.toml"
    with ExitStack() as stack:
        yield [
            stack.enter_context(kickstart(settings, configuration, _free_port())),
            stack.enter_context(nginx(folder / "one", root, _free_port(), 1)),
            stack.enter_context(nginx(folder / "two", root, _free_port(), 2)),
        ]


def _turn(load: Path, peer: Peer) -> Turn:
    before = peer.seconds()
    command = [str(load), "127.0.0.1", str(peer.port), PATH, str(CLIENTS), str(SIZE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    seconds, octets = map(float, done.stdout.split())
    return Turn(octets / seconds / 1e6, (peer.seconds() - before) / (octets / 1e9))


def _tell(peers: list[Peer], turns: dict[str, list[Turn]]) -> None:
    print(
        f"\n{CLIENTS} clients, {SIZE / 1e6:.0f} MB each, {ROUNDS} rounds; {os.cpu_count()} CPUs, {platform.platform()}"
    )
    print("                      MB/s   CPU s/GB   MB of memory   rate of kickfleet to it   CPU of kickfleet to it")
    ours = turns[peers[0].name]
    for peer in peers:
        theirs = turns[peer.name]
        rate = median(our.rate / their.rate for our, their in zip(ours, theirs, strict=True))
        processor = median(our.processor / their.processor for our, their in zip(ours, theirs, strict=True))
        print(
            f"  {peer.name:<16} {median(turn.rate for turn in theirs):7.0f} {median(t.processor for t in theirs):10.3f}"
            f" {peer.memory() / 1e6:14.1f} {rate:25.2f} {processor:24.2f}"
        )


def _answers(peer: Peer) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", peer.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
