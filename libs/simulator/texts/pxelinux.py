"""pxelinux.cfg as PXELINUX 6 reads it (Syslinux wiki, Config): keywords in any case, what it does not know it skips.

The odd corners are PXELINUX's own and kept, because a configuration that trips over them must fail here too: a line
longer than 4095 octets goes on as a line of its own, `initrd=` is looked for anywhere in the arguments, and INITRD
ends up behind all parameters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from libs.simulator.errors import ConfigurationError

MAX_LINE = 4095  # octets that one line of a configuration may have
MAX_COMMAND = 2047  # characters of the command line that a Linux kernel on x86 takes

_KINDS = frozenset(
    ("kernel", "linux", "boot", "bss", "pxe", "fdimage", "com32", "config", "localboot")
)  # the keywords that say what a label starts
_BY_EXTENSION = {".c32": "com32", ".img": "fdimage", ".bss": "bss", ".bin": "boot", ".bs": "boot", ".0": "pxe"}


@dataclass(frozen=True)
class Label:
    """One LABEL block. `append` None: the global one; "-": none at all."""

    name: str
    kind: str = "kernel"
    kernel: str = ""
    append: str | None = None
    initrd: str | None = None
    sysappend: int = 0


@dataclass(frozen=True)
class Config:
    """A whole configuration. Times are in tenths of a second, 0: no limit."""

    labels: Mapping[str, Label] = field(default_factory=dict)
    default: str | None = None
    ui: str | None = None
    menu_default: str | None = None
    ontimeout: str | None = None
    append: str = ""
    sysappend: int = 0
    prompt: bool = False
    implicit: bool = True
    timeout: int = 0
    total_timeout: int = 0


@dataclass(frozen=True)
class Command:
    """What PXELINUX is about to start: the kind of image, its file and its arguments."""

    kind: str
    kernel: str
    arguments: str

    def initrds(self) -> list[str]:
        """The initial ram disks: PXELINUX takes the first `initrd=` that it finds anywhere in the arguments."""
        found = re.search(r"initrd=([^ ]*)", self.arguments)
        return [name for name in found[1].split(",") if name] if found else []

    def command_line(self) -> str:
        """What the kernel sees."""
        return f"BOOT_IMAGE={self.kernel} {self.arguments}"[:MAX_COMMAND]


def parse(text: bytes) -> Config:
    """Read a configuration. Raises ConfigurationError for what PXELINUX follows and this reader does not."""
    config, label, in_help = Config(), None, False
    labels: dict[str, Label] = {}
    for line in _lines(text):
        keyword, rest = _keyword(line)
        if in_help:
            in_help = keyword != "endtext"
        elif keyword == "text":
            in_help = True
        elif keyword == "include" or (keyword == "menu" and _keyword(rest)[0] in ("include", "begin")):
            raise ConfigurationError(f"pxelinux.cfg: {line.strip()[:60]!r} is not simulated")
        elif keyword == "label":
            name = rest.split(maxsplit=1)[0] if rest else ""
            label = Label(name, kernel=name, sysappend=config.sysappend)
            labels[name] = label
        elif keyword == "menu":
            config = _menu(config, label, rest)
        elif label is not None and (changed := _in_label(label, keyword, rest)) is not None:
            label = labels[label.name] = changed
        else:
            config = _global(config, keyword, rest)
    return replace(config, labels=labels)


def automatic(config: Config, values: Mapping[int, str]) -> Command:
    """What is started when nobody touches a key. `values`: the text of each SYSAPPEND bit that this machine has.

    Raises ConfigurationError where PXELINUX would wait for a key for ever.
    """
    if config.prompt and not config.ui and not (config.timeout or config.total_timeout):
        raise ConfigurationError("PXELINUX waits at its boot: prompt for ever (PROMPT without TIMEOUT)")
    if config.ui:
        if not (config.timeout or config.total_timeout):
            raise ConfigurationError(f"PXELINUX waits in its menu {config.ui} for ever (no TIMEOUT)")
        chosen = config.ontimeout or config.menu_default or config.default or next(iter(config.labels), "")
    else:
        chosen = (config.ontimeout if config.prompt else None) or config.default or ""
    if not chosen:
        raise ConfigurationError("No DEFAULT or UI configuration directive found!")
    return command(config, chosen, values)


def command(config: Config, line: str, values: Mapping[int, str]) -> Command:
    """What a line typed at the boot: prompt starts: a label, or else a file by its name with its arguments."""
    name, _, typed = line.strip().partition(" ")
    label = config.labels.get(name)
    if label is None:
        if not config.implicit:
            raise ConfigurationError(f"pxelinux.cfg: no LABEL {name!r}, and IMPLICIT 0 forbids a file of that name")
        return Command(_kind("kernel", name), name, _joined(typed, *_sysappend(config.sysappend, values)))
    append = config.append if label.append is None else label.append
    kernel, _, inline = label.kernel.partition(" ")
    arguments = _joined(
        inline,
        "" if append == "-" else append,
        f"initrd={label.initrd}" if label.initrd else "",
        *_sysappend(label.sysappend, values),
        typed,
    )
    return Command(_kind(label.kind, kernel), kernel, arguments)


def search(uuid: str, mac: str, address: str) -> list[str]:
    """The configuration names that PXELINUX tries, in its order: UUID, hardware address, address in hex, default."""
    octets = "".join(f"{int(part):02X}" for part in address.split("."))
    by_address = [octets[:length] for length in range(8, 0, -1)]
    return [f"pxelinux.cfg/{name}" for name in (uuid, f"01-{mac.replace(':', '-')}", *by_address, "default")]


def _lines(text: bytes) -> Iterator[str]:
    for whole in text.split(b"\n"):
        for start in range(0, max(len(whole), 1), MAX_LINE):
            part = whole[start : start + MAX_LINE]
            yield re.split(b"[\r\0]", part, maxsplit=1)[0].decode("utf-8", "replace")


def _keyword(line: str) -> tuple[str, str]:
    first, *rest = line.strip(" \t").split(maxsplit=1) or [""]
    return first.lower(), rest[0].strip() if rest else ""


def _in_label(label: Label, keyword: str, rest: str) -> Label | None:
    if keyword in _KINDS:
        return replace(label, kind=keyword, kernel=rest)
    match keyword:
        case "append":
            return replace(label, append=rest)
        case "initrd":
            return replace(label, initrd=rest)
        case "ipappend" | "sysappend":
            return replace(label, sysappend=_number(rest))
    return None


def _menu(config: Config, label: Label | None, rest: str) -> Config:
    if _keyword(rest)[0] == "default" and label is not None:
        return replace(config, menu_default=label.name)
    return config


def _global(config: Config, keyword: str, rest: str) -> Config:
    match keyword:
        case "default":
            return replace(config, default=rest)
        case "ui":
            return replace(config, ui=rest)
        case "ontimeout":
            return replace(config, ontimeout=rest)
        case "append":
            return replace(config, append=rest)
        case "ipappend" | "sysappend":
            return replace(config, sysappend=_number(rest))
        case "prompt":
            return replace(config, prompt=_number(rest) != 0)
        case "implicit":
            return replace(config, implicit=_number(rest) != 0)
        case "timeout":
            return replace(config, timeout=_number(rest))
        case "totaltimeout":
            return replace(config, total_timeout=_number(rest))
    return config


def _number(text: str) -> int:
    """As C's atoi and strtoul read it: what cannot be read is 0."""
    found = re.match(r"[+-]?(?:0[xX][0-9a-fA-F]{1,8}|[0-9]{1,9})", text)
    return int(found[0], 16 if "x" in found[0].lower() else 10) if found else 0


def _kind(kind: str, kernel: str) -> str:
    if kind != "kernel":
        return kind
    return next((kind for end, kind in _BY_EXTENSION.items() if kernel.endswith(end)), "kernel")


def _sysappend(bits: int, values: Mapping[int, str]) -> list[str]:
    return [text for bit, text in sorted(values.items()) if bits & bit]


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
