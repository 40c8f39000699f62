"""Typed settings: kickfleet.toml, then KICKFLEET_<SECTION>__<KEY> from the environment, then flags.

Every key has a default here and a line in the README; an unknown key is an error that names the nearest valid one.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.fields import FieldInfo

ENVIRONMENT_PREFIX = "KICKFLEET_"
DEFAULT_FILE = "kickfleet.toml"


class SettingsError(ValueError):
    """A setting is unknown or has a wrong value; the message names it and says what would be right."""


@dataclass(frozen=True)
class HostPort:
    """An address to listen on: `host:port`; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(value: object) -> HostPort:
    """Read `host:port` or `[ipv6]:port`. Raises ValueError with what would be right."""
    if isinstance(value, HostPort):
        return value
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", str(value))
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{value!r} is not host:port, as in 127.0.0.1:8080")
    return HostPort(match[1] or match[2], int(match[3]))


def _host_port_or_none(value: object) -> str:
    return str(parse_host_port(value)) if value else ""


LogAddress = Annotated[str, BeforeValidator(_host_port_or_none)]
ListenAddress = Annotated[HostPort, BeforeValidator(parse_host_port), PlainSerializer(str)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True)


class BusSettings(_Section):
    """Where events and desired state travel."""

    url: str = Field(
        "", description='"": the embedded NATS server; else one or more nats:// addresses, comma-separated'
    )
    listen: ListenAddress = Field(HostPort("127.0.0.1", 4222), description="where the embedded server listens")


class DatabaseSettings(_Section):
    """Where inventory keeps the fleet and its history."""

    url: str = Field("", description='"": SQLite in `data`; else postgresql+psycopg://…')


class DhcpSettings(_Section):
    """The DHCP service."""

    name: str = Field("", description='what operators call this server where several share subnets; "": the host name')
    listen: str = Field("0.0.0.0", description="address of the socket for relays and unicast")
    port: Port = Field(67, description="UDP port; a subnet in mode proxy also opens the port 3944 above it (4011)")
    status: ListenAddress = Field(HostPort("127.0.0.1", 8067), description="health and metrics by HTTP")


class TftpSettings(_Section):
    """The TFTP service."""

    listen: ListenAddress = Field(HostPort("0.0.0.0", 69), description="UDP address and port")
    loaders: str = Field("", description='a folder of boot loaders, before `data`/loaders and the packages\'; "": none')
    status: ListenAddress = Field(HostPort("127.0.0.1", 8069), description="health and metrics by HTTP")


class KickstartSettings(_Section):
    """The service that renders answer files and serves images by HTTP."""

    listen: ListenAddress = Field(HostPort("0.0.0.0", 8081), description="HTTP address and port for machines")
    public_url: str = Field("", description='"": http://<the address that the machine\'s subnet reaches>:<port>')
    nginx_log: LogAddress = Field(
        "", description='UDP address for the access log of an nginx that serves the images; "": none'
    )
    templates: Path = Field(
        Path("templates"), description="the site's answer files and snippets, before the built-in ones"
    )


class InventorySettings(_Section):
    """The service that knows the fleet."""

    listen: ListenAddress = Field(HostPort("127.0.0.1", 8080), description="HTTP address and port of the API")
    url: str = Field("", description='where the command line finds the API; "": http://<inventory.listen>')
    allow_private_webhooks: bool = Field(False, description="let webhooks go to private and loopback addresses")


class LogSettings(_Section):
    """How services speak."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is written")
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, JSON elsewhere")


class Settings(_Section):
    """All settings of a deployment; every service reads the same file."""

    site: str = Field("lab", pattern=r"^[a-z0-9][a-z0-9-]{0,30}$", description="names the deployment in event subjects")
    data: Path = Field(Path("var"), description="databases, JetStream, spools, tokens, images; safe to back up")
    bus: BusSettings = BusSettings()
    database: DatabaseSettings = DatabaseSettings()
    dhcp: DhcpSettings = DhcpSettings()
    tftp: TftpSettings = TftpSettings()
    kickstart: KickstartSettings = KickstartSettings()
    inventory: InventorySettings = InventorySettings()
    log: LogSettings = LogSettings()


def load(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Settings:
    """Read the settings. `config` None means ./kickfleet.toml where there is one; `overrides` are flags by dotted key.

    Relative folders are taken from the configuration file's folder. Raises SettingsError.
    """
    path = config if config is not None else Path(DEFAULT_FILE)
    values = _read(path, required=config is not None)
    _merge(values, _from_environment(environ), path)
    _merge(values, _nested(overrides or {}), path)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, path)) from None
    return _resolved(settings, path.absolute().parent)


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"there is no configuration file {path}; name another with --config") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    pairs = {}
    for name, value in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX) and ("__" in name or name[10:].lower() in ("site", "data")):
            pairs[name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")] = value
    return _nested(pairs)


def _nested(pairs: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in pairs.items():
        section, _, key = dotted.partition(".")
        if key:
            tree.setdefault(section, {})[key] = value
        else:
            tree[section] = value
    return tree


def _merge(into: dict[str, Any], more: Mapping[str, Any], path: Path) -> None:
    for key, value in more.items():
        if not isinstance(value, Mapping):
            into[key] = value
            continue
        section = into.setdefault(key, {})
        if not isinstance(section, dict):
            raise SettingsError(f"{path}: `{key}` is a section, written [{key}], not a value")
        section.update(value)


def section_of(name: str) -> type[BaseModel] | None:
    """The model of a section; None where the name is a plain setting's."""
    kind = Settings.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def known_keys() -> list[str]:
    """Every setting by its dotted key, in the order of this file."""
    keys: list[str] = []
    for name in Settings.model_fields:
        section = section_of(name)
        keys += [f"{name}.{key}" for key in section.model_fields] if section else [name]
    return keys


def field_of(dotted: str) -> FieldInfo:
    """The declaration of a setting: its default and description."""
    section, _, key = dotted.partition(".")
    model = section_of(section)
    return model.model_fields[key] if model else Settings.model_fields[section]


def _explain(error: ValidationError, path: Path) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        candidates = known_keys() + [name for name in Settings.model_fields if name not in known_keys()]
        near = difflib.get_close_matches(key, candidates, n=1, cutoff=0.0)
        return f"{path}: there is no setting `{key}`; the nearest is `{near[0]}`"
    return f"{path}: `{key}` is wrong: {first['msg'].removeprefix('Value error, ')}"


def _resolved(settings: Settings, base: Path) -> Settings:
    kickstart = settings.kickstart.model_copy(update={"templates": base / settings.kickstart.templates})
    loaders = str(base / settings.tftp.loaders) if settings.tftp.loaders else ""
    tftp = settings.tftp.model_copy(update={"loaders": loaders})
    return settings.model_copy(update={"data": base / settings.data, "kickstart": kickstart, "tftp": tftp})
