"""Logs that installers upload: bounded in number and size, each whole or not there."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
MAX_LOGS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class UploadRefused(Exception):
    """The log is not taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Uploads:
    """Keeps logs below a folder, one folder an install."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, install_id: str, name: str, body: AsyncIterator[bytes]) -> int:
        """Write a log in place of an earlier one of its name; returns its octets. Raises UploadRefused."""
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(install_id):
            raise UploadRefused(404, "a log's name has letters, digits, dots, dashes and underscores, at most 64")
        folder = self._folder / install_id
        folder.mkdir(parents=True, exist_ok=True)
        kept = {path.name for path in folder.iterdir()}
        if name not in kept and len(kept) >= MAX_LOGS:
            raise UploadRefused(429, f"an install has at most {MAX_LOGS} logs")
        partial = self._folder / f".{install_id}.{name}"
        try:
            size = await _write(partial, body)
            partial.replace(folder / name)
        finally:
            partial.unlink(missing_ok=True)
        return size


async def _write(path: Path, body: AsyncIterator[bytes]) -> int:
    size = 0
    with path.open("wb") as file:
        async for chunk in body:
            size += len(chunk)
            if size > MAX_BYTES:
                raise UploadRefused(413, f"a log has at most {MAX_BYTES} bytes")
            file.write(chunk)
    return size
