"""Images by HTTP: kernels, initial ram disks and install trees, whole or in ranges, never from outside their folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from services.kickstart.delivery import FilePart, Response
from services.kickstart.ranges import Unsatisfiable, parse_range


class NotThere(Exception):
    """There is no such file in the images."""


@dataclass(frozen=True)
class ImageFile:
    """A file of an image. `path` is what follows /images/, without empty parts."""

    path: str
    file: Path
    size: int
    modified: int  # ns

    @property
    def image(self) -> str:
        """The image's name."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The path within the image."""
        return self.path.partition("/")[2]

    @property
    def etag(self) -> str:
        """Another one for every other content, as far as size and time of change tell (RFC 9110 section 8.8.3)."""
        return f'"{self.modified:x}-{self.size:x}"'


def clean(path: str) -> str:
    """A path as clients may write it, with `//` as `/`. Raises NotThere for one that could leave the folder."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or any("\0" in part or "\\" in part for part in parts):
        raise NotThere
    return "/".join(parts)


def find(root: Path, path: str) -> ImageFile:
    """The file at a path below the images' folder. Raises NotThere, also for folders and links that lead outside."""
    cleaned = clean(path)
    try:
        inside = root.resolve(strict=True)
        file = (inside / cleaned).resolve(strict=True)
        status = file.stat()
    except (OSError, ValueError):  # ValueError: a name that cannot be encoded
        raise NotThere from None
    if not file.is_relative_to(inside) or not file.is_file():
        raise NotThere
    return ImageFile(cleaned, file, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Part:
    """The answer to a request for a file: status, headers and which octets."""

    file: ImageFile
    status: int
    headers: list[tuple[str, str]]
    start: int
    end: int

    def response(self) -> Response:
        """As a response to send."""
        if self.status == 304:
            return Response(self.status, self.headers, None)
        if self.status == 416:
            return Response(self.status, self.headers, 0)
        part = FilePart(self.file.file, self.start, self.end)
        return Response(self.status, self.headers, self.end - self.start, part)


def part_for(file: ImageFile, headers: Mapping[str, str]) -> Part:
    """What a request with these headers is to be given (RFC 9110 sections 13 and 14)."""
    described = [
        ("accept-ranges", "bytes"),
        ("etag", file.etag),
        ("last-modified", formatdate(file.modified // 10**9, usegmt=True)),
    ]
    if headers.get("if-none-match") == file.etag:
        return Part(file, 304, described, 0, 0)
    described.append(("content-type", "application/octet-stream"))
    try:
        wanted = parse_range(headers.get("range"), file.size) if _same(file, headers.get("if-range")) else None
    except Unsatisfiable:
        return Part(file, 416, [*described, ("content-range", f"bytes */{file.size}")], 0, 0)
    if wanted is None:
        return Part(file, 200, described, 0, file.size)
    start, end = wanted
    return Part(file, 206, [*described, ("content-range", f"bytes {start}-{end - 1}/{file.size}")], start, end)


def _same(file: ImageFile, if_range: str | None) -> bool:
    return if_range in (None, file.etag, formatdate(file.modified // 10**9, usegmt=True))
