"""The first token: written once, for its owner's eyes only, and believed when it is there."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest

from libs.service import ServiceError
from services.inventory.tokens import SCOPES, allows, hash_of
from tests.services.inventory.support import inventory_of
from tests.support.running import settings_in


async def test_the_first_start_writes_a_token_that_only_its_owner_reads(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    path = settings.data / "admin.token"
    async with inventory_of(settings) as api:
        assert (await api.get("/v1/tokens")).status_code == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_text()
    assert len(first.strip()) > 40
    async with inventory_of(settings) as api:
        assert path.read_text() == first
        assert len((await api.get("/v1/tokens")).json()["items"]) == 1
    database = b"".join(file.read_bytes() for file in (settings.data / "inventory").glob("inventory.db*"))
    assert first.strip().encode() not in database
    assert hash_of(first.strip()).encode() in database


async def test_a_token_that_is_there_is_believed_by_a_new_database(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.data.mkdir()
    (settings.data / "admin.token").write_text("kf_chosen-by-the-operator\n")
    async with inventory_of(settings) as api:
        assert api.headers["authorization"] == "Bearer kf_chosen-by-the-operator"
        assert (await api.get("/v1/tokens")).status_code == 200


async def test_a_token_that_was_revoked_stays_out_after_a_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with inventory_of(settings) as api:
        (token,) = (await api.get("/v1/tokens")).json()["items"]
        assert (await api.delete(f"/v1/tokens/{token['id']}")).status_code == 204
    async with inventory_of(settings) as api:
        assert (await api.get("/v1/tokens")).status_code == 401


async def test_a_token_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (settings.data / "admin.token").mkdir(parents=True)
    with pytest.raises(ServiceError, match=r"the admin token .*admin\.token cannot be read"):
        async with inventory_of(settings):
            pass


def test_each_scope_may_what_those_before_it_may() -> None:
    assert [[allows(held, needed) for needed in SCOPES] for held in SCOPES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert not allows("rubbish", "read")


async def test_the_program_says_in_one_line_what_is_wrong_and_ends_with_2(tmp_path: Path) -> None:
    config = tmp_path / "kickfleet.toml"
    config.write_text(f'data = "{tmp_path}/var"\n[database]\nurl = "nonsense"\n[inventory]\nlisten = "127.0.0.1:0"\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inventory", "--config", str(config),
        cwd=Path(__file__).parents[3], stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    lines = said.decode().strip().splitlines()
    assert lines[-1].startswith("kickfleet inventory: database.url is not an address")
    assert "Traceback" not in said.decode()
