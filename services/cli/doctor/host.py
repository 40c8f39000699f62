"""The host: its clock, its disk, the data folder."""

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from libs.settings import Settings
from services.cli.doctor.finding import Finding, fail, ok, warn
from services.cli.output import size

GIB = 1 << 30
ENOUGH, TOO_LITTLE = 5 * GIB, GIB
RELEASED = datetime(2025, 1, 1, tzinfo=UTC)
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
TIMEX_SIZE = 256  # struct timex is 208 octets on 64-bit Linux


def clock(_: Settings) -> Iterator[Finding]:
    """A wrong clock orders timelines wrongly and makes installers refuse certificates."""
    now = datetime.now(UTC)
    if now < RELEASED:
        yield fail("clock", f"the clock says {now:%Y-%m-%d}", "set it, and run an NTP client such as chrony")
        return
    # modes = 0: the kernel is only asked.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_SIZE))
    if state == TIME_ERROR:
        yield warn("clock", "the kernel's clock is not synchronised", "run an NTP client such as chrony")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Databases, spools and images need a folder that can be written, with room in it."""
    data = settings.data
    existing = next(folder for folder in (data, *data.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        remedy = "run as its owner, or set `data` to a folder of yours"
        yield fail("data", f"{existing} cannot be written by {_user()}", remedy)
        return
    yield ok("data", f"{data} can be written" if existing == data else f"{data} will be made in {existing}")
    free = shutil.disk_usage(existing).free
    text = f"{size(free)} free in {existing}"
    remedy = "make room, or set `data` to a folder on a larger disk"
    if free < TOO_LITTLE:
        yield fail("disk", text, remedy)
    elif free < ENOUGH:
        yield warn("disk", f"{text}, which an image or a long history can fill", remedy)
    else:
        yield ok("disk", text)


def token(settings: Settings) -> Iterator[Finding]:
    """The admin token is worth as much as the fleet."""
    file: Path = settings.data / "admin.token"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield fail(
            "token", f"{file} can be read by others (mode {mode:04o})", f"chmod 600 {file}, and make a new token"
        )
    else:
        yield ok("token", f"{file} is its owner's alone")


def _user() -> str:
    return os.environ.get("USER") or f"user {os.geteuid()}"
