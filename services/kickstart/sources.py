"""Where templates come from: the site's folder first, then the built-in ones, each by one name.

`redhat.ks.j2` is the site's file of that name, else the built-in one; `builtin/redhat.ks.j2` is always the built-in
one, so that a site's file can extend what it replaces.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jinja2 import BaseLoader, Environment, TemplateNotFound, TemplateSyntaxError
from jinja2.loaders import split_template_path

HERE = Path(__file__).parent
BUILTIN = "builtin"
MAX_TEMPLATE = 256 * 1024  # bytes
MAX_FILES = 5000  # of the site's folder that are watched


class _Stamp(NamedTuple):
    path: Path
    modified: int
    size: int


class Sources(BaseLoader):
    """Loads templates, and loads them again when their files change.

    With `keep_good` a file that no longer parses is passed over for what it was when it did; `broken` names it.
    """

    def __init__(self, site: Path | None, *, keep_good: bool) -> None:
        self._site = site
        self._keep_good = keep_good
        self._good: dict[str, str] = {}
        self.broken: dict[str, TemplateSyntaxError] = {}
        self.names: dict[str, str] = {}  # file name -> template name, for errors

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """The text of a template and a function that says whether it is still current. Raises TemplateNotFound."""
        stamp = self._stamp(template)
        if stamp is None:
            raise TemplateNotFound(template)
        text = self._sound(environment, template, stamp)
        self.names[str(stamp.path)] = template
        return text, str(stamp.path), lambda: self._stamp(template) == stamp

    def _sound(self, environment: Environment, template: str, stamp: _Stamp) -> str:
        try:
            text = _read(template, stamp)
            environment.parse(text, template, str(stamp.path))
        except TemplateSyntaxError as error:
            if not self._keep_good or template not in self._good:
                raise
            self.broken[template] = error
            return self._good[template]
        self._good[template] = text
        self.broken.pop(template, None)
        return text

    def _stamp(self, template: str) -> _Stamp | None:
        for path in self._places(template):
            try:
                status = path.stat()
            except OSError:
                continue
            if path.is_file():
                return _Stamp(path, status.st_mtime_ns, status.st_size)
        return None

    def _places(self, template: str) -> Iterator[Path]:
        parts = split_template_path(template)  # refuses `..`
        if parts and parts[0] == BUILTIN:
            parts = parts[1:]
        elif self._site is not None:
            yield self._site.joinpath(*parts)
        yield (HERE if parts[:1] == ["snippets"] else HERE / "templates").joinpath(*parts)


def _read(template: str, stamp: _Stamp) -> str:
    if stamp.size > MAX_TEMPLATE:
        raise TemplateSyntaxError(f"the file has {stamp.size} bytes; {MAX_TEMPLATE} are allowed", 1, template)
    try:
        return stamp.path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise TemplateSyntaxError(f"the file is not UTF-8 text: {error.reason}", 1, template) from None
    except OSError as error:
        raise TemplateSyntaxError(f"the file cannot be read: {error.strerror}", 1, template) from None


def fingerprint(folder: Path) -> int:
    """A number that changes when a file of the folder comes, goes or changes."""
    seen = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            try:
                status = os.stat(os.path.join(parent, name))  # noqa: PTH116, PTH118
            except OSError:
                continue
            seen.append((parent, name, status.st_mtime_ns, status.st_size))
            if len(seen) >= MAX_FILES:
                return hash(tuple(seen))
    return hash(tuple(seen))
