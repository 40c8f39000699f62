"""How long whole fleets take: the demo's simulated machines on loopback, services and machines on one host.

Files of this folder are no tests by their names; `make bench` runs them. They say what was measured here; a figure
fails nothing, a wrong timeline does.
"""

import json
import os
import platform
import subprocess
import sys

import pytest

from tests.support.deployment import environment

SIZES = (24, 100, 200)
SHOWN = ("leased", "bootloader", "configured", "kernel", "installed")


@pytest.mark.parametrize("machines", SIZES)
def test_a_fleet_powered_on(machines: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--machines", str(machines), "--json"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=900,
        check=False,
    )
    result = json.loads(done.stdout)
    assert result["ok"], result["faults"]
    took, events = result["seconds"], result["events"]
    print(f"\n{machines} machines, {os.cpu_count()} processors, {platform.platform()}")
    print(f"  {took:.1f} s in all, {events / took:.0f} events/s, {result['bytes'] / took / 2**20:.1f} MiB/s of files")
    for state in SHOWN:
        lasted = result["states"].get(state)
        if lasted:
            print(f"  {state:<11} p50 {lasted['p50']:7.3f} s   p95 {lasted['p95']:7.3f} s   max {lasted['max']:7.3f} s")
