"""kickfleet itself in the lab: `kickfleet up` on its well-known ports, and an operator with its command line."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.firmware.image import INITRD, KERNEL, KERNEL_OPTIONS
from tests.firmware.lab import BRIDGE, CIDR, SERVER, Lab

ROOT = Path(__file__).parents[2]
API = ("127.0.0.1", 8080)
COMMAND_SECONDS = 120.0
POLL_SECONDS = 0.2
START_SECONDS = 60.0
T = TypeVar("T")


@dataclass
class Deployment:
    """A running kickfleet. `loaders` overlays the packages' boot loaders, `templates` the built-in ones."""

    lab: Lab
    loaders: Path | None = None
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.lab.folder / "var"

    def start(self) -> None:
        """Write the configuration, start everything and wait until the API answers."""
        folder = self.lab.folder / "templates"
        folder.mkdir()
        for name, text in self.templates.items():
            (folder / name).write_text(text)
        settings = f'data = "{self.data}"\n[kickstart]\ntemplates = "{folder}"\n[log]\nformat = "text"\n'
        if self.loaders is not None:
            settings += f'[tftp]\nloaders = "{self.loaders}"\n'
        self._config.write_text(settings)
        process = self.lab.start("kickfleet", self._command("up"), _environment())
        wait(lambda: process.poll() is not None or self._ready(), "kickfleet answers", START_SECONDS)
        assert process.poll() is None, f"kickfleet ended at once:\n{(self.lab.folder / 'kickfleet.log').read_text()}"

    def add_image(self, name: str, tree: Path) -> Path:
        """Put an installer tree where images lie and return its folder. Its files are links: replace, never change."""
        folder = self.data / "images" / name
        shutil.copytree(tree, folder, copy_function=os.link)
        return folder

    def apply(self, fleet: Mapping[str, Any]) -> None:
        """Declare the fleet, as an operator does."""
        path = self.lab.folder / "fleet.yaml"
        path.write_text(yaml.safe_dump(dict(fleet), sort_keys=False))
        self.run("apply", str(path))

    def install(self, machine: str) -> None:
        """Order the install of one machine."""
        self.run("install", machine)

    def run(self, *arguments: str) -> str:
        """Run the command line in the namespace and return what it printed; a wrong exit code fails the test."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.lab.namespace, *self._command(*arguments)],
            env={**os.environ, **_environment()},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"kickfleet {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, path: str) -> Any:
        """GET from the API; the body as JSON. Raises OSError while nothing listens."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        with self.lab.inside():
            connection = http.client.HTTPConnection(*API, timeout=20)
            connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, f"GET {path}: {answer.status} {body[:500]!r}"
        return json.loads(body)

    @property
    def _config(self) -> Path:
        return self.lab.folder / "kickfleet.toml"

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "services.cli", *arguments, "--config", str(self._config)]

    def _token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    def _ready(self) -> bool:
        try:
            self.get("/v1/machines")
        except OSError:
            return False
        return True


def fleet(profiles: list[dict[str, Any]], machines: list[dict[str, Any]], images: list[str]) -> dict[str, Any]:
    """A declaration for the lab: its one subnet, and the tests' installer under each of the names `images`."""
    files = {"family": "redhat", "kernel": KERNEL, "initrd": [INITRD], "kernel_options": list(KERNEL_OPTIONS)}
    subnet = {"name": "lab", "cidr": CIDR, "interface": BRIDGE, "pool": "10.77.0.100-10.77.0.199"}
    return {
        "subnets": [{**subnet, "gateway": SERVER, "dns": [SERVER], "domain": "lab.example"}],
        "images": [{"name": name, **files} for name in images],
        "profiles": profiles,
        "machines": machines,
    }


def wait(condition: Callable[[], T | None], what: str, seconds: float) -> T:
    """The first true value of `condition`. Raises AssertionError with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)
    return value


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}
