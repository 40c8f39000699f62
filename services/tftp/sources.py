"""What is served: an ordered list of places where a path is looked up. How it is sent is the business of others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from libs.events import BootconfigFetched, Fetched, FileFetched, InitrdFetched, KernelFetched
from services.tftp.content import Content, TextContent
from services.tftp.errors import ExpectedMissError, MissingError
from services.tftp.files import Library
from services.tftp.fleet import Fleet, Role, Who
from services.tftp.generic import generic
from services.tftp.loaders import loader_of, packaged
from services.tftp.paths import is_expected_miss

_ROLES: dict[Role, type[Fetched]] = {"kernel": KernelFetched, "initrd": InitrdFetched}


@dataclass(frozen=True, slots=True)
class Found:
    """A file for a client. `event` is what its arrival means; `boots` what a boot configuration tells the machine."""

    content: Content
    who: Who
    event: type[Fetched] = FileFetched
    boots: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: a path below the root, and who asks."""

    path: str
    who: Who


Source = Callable[[Ask], Found | None]


class Sources:
    """All that is served. Each source gives a file, or None to leave it to the next one."""

    def __init__(self, fleet: Fleet, library: Library, *, images: Path, folders: list[Path]) -> None:
        """`images` holds a folder for each image; `folders` are the site's own, the first one winning."""
        self._fleet = fleet
        self._library = library
        self._images = images
        self._folders = folders
        self._order: tuple[Source, ...] = (
            self._rendered,
            self._image,
            self._from_folders,
            self._packaged,
            self._generic,
        )

    def find(self, path: str, ip: str) -> Found:
        """The file at a normalised path, for the client at an address.

        Raises MissingError, ExpectedMissError where its client does not mind, and RefusedError.
        """
        ask = Ask(path, self._fleet.who(ip, path))
        for source in self._order:
            if found := source(ask):
                return found
        raise ExpectedMissError if is_expected_miss(path) else MissingError

    def who(self, path: str, ip: str) -> Who:
        """The machine behind a request that cannot be served."""
        return self._fleet.who(ip, path)

    def _rendered(self, ask: Ask) -> Found | None:
        rendered = self._fleet.rendered(ask.path)
        if not rendered:
            return None
        content = TextContent(rendered.octets)
        if ask.who.machine != rendered.document.machine:
            return Found(content, ask.who)  # someone else had a look: no milestone of this machine
        return Found(content, ask.who, BootconfigFetched, rendered.document.boots)

    def _image(self, ask: Ask) -> Found | None:
        folder, _, below = ask.path.partition("/")
        if folder != "images" or not below:
            return None
        role = self._fleet.role(ask.path)
        content = self._library.open_below(self._images, below)
        return Found(content, ask.who, _ROLES[role] if role else FileFetched)

    def _from_folders(self, ask: Ask) -> Found | None:
        for folder in self._folders:
            try:
                return self._loader(ask, self._library.open_below(folder, ask.path))
            except MissingError:
                continue
        return None

    def _packaged(self, ask: Ask) -> Found | None:
        for place in packaged(ask.path):
            try:
                return self._loader(ask, self._library.open(place))
            except MissingError:
                continue
        return None

    def _generic(self, ask: Ask) -> Found | None:
        octets = generic(ask.path, registered=ask.who.machine is not None)
        return Found(TextContent(octets), ask.who) if octets is not None else None

    def _loader(self, ask: Ask, content: Content) -> Found:
        loader = loader_of(ask.path)
        return Found(content, ask.who, loader.event if loader else FileFetched)
