"""The doctor fetches a file by TFTP, as a machine would, with another program's client."""

import asyncio
import socket
from pathlib import Path

from services.cli.doctor import transfers
from services.tftp.service import tftp
from tests.support.running import service, settings_in


async def test_a_service_that_answers_is_well(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with service("tftp", tftp, settings) as address:
        (finding,) = await asyncio.to_thread(list, transfers.tftp(settings, {"tftp"}))
    assert (finding.level, finding.check) == ("ok", "transfer")
    assert str(address) in finding.message


async def test_a_service_that_answers_nobody_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = settings_in(tmp_path, tftp__listen=f"127.0.0.1:{silent.getsockname()[1]}")
        (finding,) = await asyncio.to_thread(list, transfers.tftp(settings, {"tftp"}))
    assert finding.level == "fail"
    assert "firewall" in finding.remedy


def test_where_no_service_runs_nothing_is_fetched(tmp_path: Path) -> None:
    assert list(transfers.tftp(settings_in(tmp_path), set())) == []
