"""The callback function of the templates, run for real: three shells, three clients, against the real service.

Each runs with a PATH of its own that holds one HTTP client, as installers have one or another.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from services.kickstart.render import answers
from tests.services.kickstart.examples import DEBIAN, TOKEN, order, sandbox
from tests.services.kickstart.world import LOST, World, on_bus, running, world
from tests.support import needs
from tests.support.running import bus_of, nats_server, recorder, settings_in
from tests.support.waiting import until

TOOLS = ("sleep", "tail", "cat", "echo", "sh", "grep")
SHELLS = ("busybox", "dash", "bash")
CLIENTS = ("curl", "wget", "busybox-wget", "python3")
# The busybox of an installer: its own applets before PATH, its own wget, nothing else.
WAYS = [(shell, client) for shell in ("dash", "bash") for client in CLIENTS] + [("busybox", "busybox-wget")]
FAST = {"disk": "vda", "callback_interval": 0, "callback_tries": 2000}


def path_with(folder: Path, client: str) -> str:
    """A PATH with a few plain tools and one HTTP client."""
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(needs.program(tool))
    if client == "busybox-wget":
        (folder / "wget").symlink_to(needs.program("busybox", "busybox-static"))
    elif client == "python3":
        (folder / "python3").symlink_to(sys.executable)
    else:
        (folder / client).symlink_to(needs.program(client, client))
    return str(folder)


async def run(script: str, shell: str, path: str) -> tuple[int, str]:
    """Run a script; gives its exit code and what it said."""
    words = [needs.program(shell), *(["sh"] if shell == "busybox" else []), "-c", script]
    process = await asyncio.create_subprocess_exec(
        *words,
        env={"PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode("utf-8", "replace")


def sections(kickstart: str, name: str) -> list[str]:
    """The scripts of a kickstart."""
    return re.findall(rf"^%{name}\n(.*?)^%end$", kickstart, re.M | re.S)


async def kickstart_of(house: World) -> str:
    """The answer file as the machine fetches it."""
    return (await house.http.get(f"/i/{TOKEN}/ks.cfg")).text


@pytest.mark.parametrize(("shell", "client"), WAYS)
async def test_an_install_reports_itself(house: World, tmp_path: Path, shell: str, client: str) -> None:
    path = path_with(tmp_path / "bin", client)
    await house.order(variables=FAST)
    text = await kickstart_of(house)
    for script in [*sections(text, "pre"), *sections(text, "post")]:
        assert await run(script, shell, path) == (0, "")
    await house.until_event("install.done")
    kinds = [event.TYPE for event in house.tape.events if event.TYPE.startswith("install.")]
    assert kinds == ["install.started", "install.progress", "install.done"]
    (progress,) = house.tape.of("install.progress")
    assert (getattr(progress, "phase", ""), getattr(progress, "message", "")) == ("post", "the packages are installed")
    written = await house.boot_files()
    assert written
    assert written.boots == "disk"


@pytest.mark.parametrize(("shell", "client"), WAYS)
async def test_a_failure_is_told_with_any_text(house: World, tmp_path: Path, shell: str, client: str) -> None:
    path = path_with(tmp_path / "bin", client)
    await house.order(variables=FAST)
    (script,) = sections(await kickstart_of(house), "onerror")
    log = tmp_path / "anaconda.log"
    text = "@no file\nreason=100% \"of\" 'it' & $HOME `id` \\n + ü\nlast line"
    log.write_text(text)
    code, _ = await run(script.replace("/tmp/anaconda.log", str(log)), shell, path)
    assert code == 0
    assert (await house.until_event("install.failed")).reason.endswith(text.removeprefix("@no file\n"))


@pytest.mark.parametrize(("shell", "client"), WAYS)
async def test_a_refusal_is_not_repeated(house: World, tmp_path: Path, shell: str, client: str) -> None:
    path = path_with(tmp_path / "bin", client)
    await house.order(variables=FAST)
    text = await kickstart_of(house)
    await house.call("done")
    for script in (sections(text, "onerror")[0], sections(text, "onerror")[0].replace(TOKEN, "nobody")):
        code, said = await run(script, shell, path)
        assert (code, said) == (1, "kickfleet: the callback was not taken, after 1 tries\n")


@pytest.mark.parametrize(("shell", "client"), [("busybox", "busybox-wget"), ("dash", "wget"), ("bash", "curl")])
async def test_done_is_repeated_until_the_bus_is_back(tmp_path: Path, shell: str, client: str) -> None:
    """503 while the bus is away, nothing at all while the service is: the script goes on until it is taken."""
    path = path_with(tmp_path / "bin", client)
    async with world(tmp_path) as house:
        await house.order(variables=FAST | {"callback_tries": 1_000_000})
        script = sections(await kickstart_of(house), "post")[-1]
        port = house.http.base_url.port
    settings = settings_in(tmp_path, kickstart__listen=f"127.0.0.1:{port}")
    installing = asyncio.create_task(run(script, shell, path))
    try:
        async with running(settings) as http:
            await until(lambda: _refused(http), "the callback came and was not confirmed")
            assert not installing.done()
            async with nats_server(settings), recorder(settings) as tape, bus_of(settings) as bus:
                assert await installing == (0, "")
                await until(lambda: tape.of("install.done"), "the event came")
                assert (await on_bus(bus) or LOST).boots == "disk"
                assert len(tape.of("install.done")) == 1
    finally:
        installing.cancel()


async def _refused(http: Any) -> bool:
    metrics = (await http.get("/metrics")).text
    return 'kickfleet_kickstart_requests_total{kind="done",status="503"}' in metrics


@pytest.mark.parametrize("shell", ["dash", "bash"])  # busybox may have a client of its own before PATH
async def test_without_any_client_it_gives_up(tmp_path: Path, shell: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(needs.program(tool))
    script = sections(answers(order(), sandbox()).text, "post")[-1]
    code, said = await run(script, shell, str(folder))
    assert (code, said) == (1, "kickfleet: the callback was not taken, after 1 tries\n")


@pytest.mark.parametrize(("shell", "client"), [("busybox", "busybox-wget"), ("dash", "wget")])
async def test_a_preseed_reports_itself(house: World, tmp_path: Path, shell: str, client: str) -> None:
    """Early and late command as the Debian installer runs them: one line each, with `sh -c`."""
    path = path_with(tmp_path / "bin", client)
    await house.order(image=DEBIAN, variables=FAST)
    text = (await house.http.get(f"/i/{TOKEN}/preseed.cfg")).text
    commands = preseeded(text)
    early = commands["preseed/early_command"].partition("( while sleep 5")[0]  # the watch would go on for ever
    assert await run(early, shell, path) == (0, "")
    assert await run(commands["preseed/late_command"], shell, path) == (0, "")
    await house.until_event("install.done")
    assert house.tape.of("install.progress", phase="late")


@pytest.mark.parametrize("shell", ["busybox", "dash"])
async def test_a_step_that_failed_is_found_in_the_installers_log(house: World, tmp_path: Path, shell: str) -> None:
    path = path_with(tmp_path / "bin", "busybox-wget")
    await house.order(image=DEBIAN, variables=FAST)
    early = preseeded((await house.http.get(f"/i/{TOKEN}/preseed.cfg")).text)["preseed/early_command"]
    log = tmp_path / "syslog"
    log.write_text(
        "main-menu[100]: INFO\nmain-menu[100]: (process:1): WARNING **: Configuring 'x' failed with error code 1\n"
    )
    await run(early.replace("/var/log/syslog", str(log)).replace("sleep 5", "sleep 0"), shell, path)
    assert "failed with error code 1" in (await house.until_event("install.failed")).reason


def preseeded(text: str) -> dict[str, str]:
    """The commands, joined as the installer's debconf-set-selections joins lines."""
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", text)
    return dict(re.findall(r"^d-i (\S+_command) string (.*)$", joined, re.M))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("disks", "chosen"),
    [
        ({"sda": ("0", "1000"), "vda": ("0", "1000")}, "ignoredisk --only-use=sda"),
        ({"sda": ("1", "1000"), "sdb": ("0", "0"), "vda": ("0", "1000")}, "ignoredisk --only-use=vda"),
        (
            {"loop0": ("0", "9"), "sr0": ("1", "9"), "zram0": ("0", "9"), "nvme0n1": ("0", "9")},
            "ignoredisk --only-use=nvme0n1",
        ),
        ({"mmcblk0boot0": ("0", "9"), "mmcblk1": ("0", "9")}, "ignoredisk --only-use=mmcblk1"),
        ({"sr0": ("1", "9")}, ""),
        ({}, ""),
    ],
)
async def test_the_first_disk_is_chosen(
    tmp_path: Path, shell: str, disks: dict[str, tuple[str, str]], chosen: str
) -> None:
    block = tmp_path / "block"
    block.mkdir()
    for name, (removable, size) in disks.items():
        (block / name).mkdir()
        (block / name / "removable").write_text(removable + "\n")
        (block / name / "size").write_text(size + "\n")
    (script,) = sections(answers(order(variables={}), sandbox()).text, "pre")
    choosing = script[script.index("kf_disk=\n") :]
    out = tmp_path / "disk.ks"
    choosing = choosing.replace("/sys/block", str(block)).replace("/tmp/kickfleet-disk.ks", str(out))
    assert (await run(choosing, shell, os.environ["PATH"]))[0] == 0
    assert out.read_text().strip() == chosen
