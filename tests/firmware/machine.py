"""A machine with real boot firmware: QEMU without KVM, told to boot from its network card first, then its disk."""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from tests.firmware.lab import Lab, end
from tests.firmware.packages import OVMF_CODE, OVMF_VARS

DISK_BYTES = 64 * 1024 * 1024
POLL_SECONDS = 0.1


class Firmware(Enum):
    """BIOS: SeaBIOS, whose virtio network ROM is iPXE. UEFI: OVMF with its own network stack, no iPXE."""

    BIOS = "bios"
    UEFI = "uefi"


class MachineStopped(AssertionError):
    """The machine did not say what was expected; the message carries the end of its console."""


@dataclass
class Machine:
    """A machine in the lab. Its serial console is the file `<name>.console` in the lab's folder."""

    lab: Lab
    name: str
    mac: str
    firmware: Firmware
    kernel: tuple[str, ...] = ()  # arguments that make the firmware start a kernel at once, not what it finds
    _process: subprocess.Popen[bytes] | None = None

    @property
    def uuid(self) -> UUID:
        """What the SMBIOS table says: real machines have one, and their loaders ask for files by it."""
        return uuid5(NAMESPACE_OID, self.mac)

    @property
    def console(self) -> Path:
        return self.lab.folder / f"{self.name}.console"

    def power_on(self) -> None:
        """Start the machine, with an empty disk the first time; nothing happens to one that is on."""
        if self._process is not None and self._process.poll() is None:
            return
        disk = self.lab.folder / f"{self.name}.disk"
        if not disk.exists():
            with disk.open("wb") as file:
                file.truncate(DISK_BYTES)
        self._process = self.lab.start(f"{self.name}.qemu", self._command(disk, self.lab.tap()))

    def power_off(self) -> None:
        if self._process is not None:
            end(self._process)

    def text(self) -> str:
        """What the console has shown so far, without the terminal's escape sequences."""
        if not self.console.exists():
            return ""
        raw = self.console.read_bytes().decode("ascii", errors="replace")
        return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|[\x00\r]", "", raw)

    def wait_for(self, pattern: str, seconds: float, after: int = 0) -> int:
        """Wait until the console shows `pattern` behind offset `after`; return the offset behind the match."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text()
            if found := re.compile(pattern).search(text, after):
                return found.end()
            if self._process is None or self._process.poll() is not None:
                raise MachineStopped(f"{self.name} is off and never said {pattern!r}:\n{text[-2000:]}")
            if time.monotonic() > deadline:
                raise MachineStopped(f"{self.name} did not say {pattern!r} in {seconds:.0f} s:\n{text[-2000:]}")
            time.sleep(POLL_SECONDS)

    def _command(self, disk: Path, tap: str) -> list[str]:
        card = f"virtio-net-pci,netdev=net,mac={self.mac},bootindex=1"
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64,+rdrand", "-m", "512"),
            *("-nodefaults", "-display", "none", "-serial", f"file:{self.console}", "-name", self.name),
            *("-uuid", str(self.uuid)),
            *("-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"),
            *("-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={disk}"),
            *("-device", "virtio-blk-pci,drive=disk,bootindex=2"),
            *self.kernel,
            *(self._uefi(card) if self.firmware is Firmware.UEFI else self._bios(card)),
        ]

    def _bios(self, card: str) -> list[str]:
        # graphics=off makes SeaBIOS, its network ROM and the BIOS loaders speak to the serial port.
        return ["-machine", "pc,graphics=off", "-device", card]

    def _uefi(self, card: str) -> list[str]:
        variables = self.lab.folder / f"{self.name}.vars"
        if not variables.exists():
            shutil.copyfile(OVMF_VARS, variables)
        return [
            *("-machine", "q35"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
            *("-device", f"{card},romfile="),
        ]
