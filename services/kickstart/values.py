"""What templates are told, wrapped so that a value cannot write more than one line unless the template asks for it."""

from collections.abc import Mapping
from typing import Any

# Everything that some reader takes for the end of a line, or that a terminal or a parser obeys.
_SEPARATORS = "\u2028\u2029"


class ValueRefused(ValueError):
    """A value may not stand where a template puts it; `variable` is the name by which templates reach it."""

    def __init__(self, variable: str | None, message: str) -> None:
        super().__init__(message)
        self.variable = variable


class Named(dict[str, Any]):
    """A mapping that knows the name by which templates reach it, so that errors can say it."""

    def __init__(self, name: str, items: Mapping[str, Any]) -> None:
        super().__init__(items)
        self._name = name

    def member(self, key: object) -> str:
        """The full name of one entry."""
        return f"{self._name}.{key}" if self._name else str(key)


class Multiline:
    """Text with line breaks or control characters. It can be written with the filters `lines` and `script` alone."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    def __str__(self) -> str:
        raise ValueRefused(
            self._name,
            f"{self._name} holds a line break or a control character, which would write more than one line here;"
            " use the filter `lines` or `script` where several lines are meant",
        )

    def reveal(self) -> str:
        """The text as it is."""
        return self._text


def is_plain(text: str) -> bool:
    """Whether the text stays on its line: no control characters, no line separators, nothing unencodable."""
    return not any(
        char < " " or "\x7f" <= char <= "\x9f" or char in _SEPARATORS or "\ud800" <= char <= "\udfff" for char in text
    )


def named(name: str, value: object) -> Any:
    """`value` (JSON: mappings, sequences, text, numbers) as templates see it under `name`.

    Absent values (None) are left out of mappings, so that `is defined` asks the right question. Raises ValueRefused
    for keys that are not plain text and for values that JSON does not know.
    """
    if isinstance(value, str):
        return value if is_plain(value) else Multiline(name, value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return Named(name, {key: named(_member(name, key), item) for key, item in value.items() if item is not None})
    if isinstance(value, list | tuple):
        return [named(f"{name}[{index}]", item) for index, item in enumerate(value)]
    raise ValueRefused(name, f"{name} is a {type(value).__name__}; only text, numbers, lists and mappings can be used")


def _member(name: str, key: object) -> str:
    if not isinstance(key, str) or not is_plain(key):
        raise ValueRefused(name, f"{name} has the key {key!r}; keys are text on one line")
    return f"{name}.{key}" if name else key
