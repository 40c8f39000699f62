"""Transfers that run now: what tftp says over the bus, in the API and on the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from libs.wire.tftp import Ack
from services.tftp.service import tftp
from tests.services.inventory.support import inventory_of
from tests.services.tftp.rig import octets, peer
from tests.support.running import nats_server, service, settings_in


@pytest.mark.usefixtures("_patient")
async def test_a_transfer_is_seen_while_it_runs(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (settings.data / "loaders").mkdir(parents=True)
    (settings.data / "loaders" / "big").write_bytes(octets(100_000))
    async with nats_server(settings), inventory_of(settings) as api, service("tftp", tftp, settings) as address:
        assert (await api.get("/v1/transfers")).json() == {"transfers": [], "total": 0}
        with peer((address.host, address.port)) as machine, peer((address.host, address.port)) as other:
            await other.ask("big")
            await machine.ask("big", blksize=1000, windowsize=4)
            for block in (0, 4, 8):
                await machine.send(Ack(block))
                for _ in range(4):
                    await machine.hear()
            found = (await api.get("/v1/transfers")).json()
            assert found["total"] == 2
            one = next(each for each in found["transfers"] if each["windowsize"] == 4)
            assert (one["path"], one["bytes"], one["size"], one["blksize"]) == ("big", 8000, 100_000, 1000)
            assert one["round_trip"] > 0
            assert len((await api.get("/v1/transfers?limit=1")).json()["transfers"]) == 1
            assert (await api.get("/v1/transfers?limit=0")).status_code == 422
            text = await _kickfleet(settings.data, str(api.base_url), "transfers")
            assert ("8%" in text, "2 transfers" in text) == (True, True)
            listed = json.loads(await _kickfleet(settings.data, str(api.base_url), "transfers", "--json"))
            assert sorted(each["bytes"] for each in listed) == [0, 8000]


async def test_without_tftp_the_answer_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), inventory_of(settings) as api:
        answer = await api.get("/v1/transfers")
        assert answer.status_code == 503
        assert "tftp" in answer.json()["detail"]


async def _kickfleet(data: Path, url: str, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        *words,
        env=os.environ | {"KICKFLEET_DATA": str(data), "KICKFLEET_INVENTORY__URL": url, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(f"services.tftp.roundtrip.{name}", 1000.0)
