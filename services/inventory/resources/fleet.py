"""The resources of a fleet, field for field as the public contract writes them."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from libs.desired import BootLoader
from libs.events import CATALOGUE
from services.inventory.resources.faults import nearest, wrong
from services.inventory.resources.values import (
    Duration,
    ImagePath,
    ImagePaths,
    KernelOptions,
    Limits,
    Mac,
    Name,
    Pool,
    Tags,
    Template,
    Text,
    Variables,
)

REDACTED = "…"


class Declared(BaseModel):
    """A frozen declaration. An unknown key is refused with the nearest one that is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                raise wrong(f"there is no key {key!r} here", nearest(str(key), cls.model_fields), key=str(key))
        return value


class Resource(Declared):
    """A declaration that has a name. `spec` is what is stored: only what differs from the defaults."""

    name: Name

    def spec(self) -> dict[str, Any]:
        """This declaration as JSON; equal declarations, however they are spelled, give equal ones."""
        return {"name": self.name, **self.model_dump(mode="json", exclude_defaults=True)}

    def shown(self) -> dict[str, Any]:
        """This declaration as the API shows it, with every default."""
        return self.model_dump(mode="json")


class Subnet(Resource):
    """A network that dhcp serves, on an interface of its host or through a relay agent."""

    cidr: IPv4Network
    interface: Annotated[Text, Field(min_length=1, max_length=15)] | None = None
    pool: Pool = []
    exclude: Pool = []  # addresses within the pool that are given to nobody
    gateway: IPv4Address | None = None
    dns: Annotated[list[IPv4Address], Field(max_length=8)] = []
    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")] | None = None
    lease_time: Duration = 3600
    mode: Literal["server", "proxy"] = "server"
    unknown: Literal["ignore", "discover", "lease"] = "ignore"
    boot_loader: BootLoader = "auto"
    next_server: IPv4Address | None = None


class Image(Resource):
    """An operating system to install; its files lie in the data folder below images/<name>."""

    family: Literal["redhat", "debian", "ubuntu", "suse", "image"]
    kernel: ImagePath
    initrd: ImagePaths = []
    arch: Literal["x86_64", "aarch64"] = "x86_64"
    version: Text | None = None
    kernel_options: KernelOptions = []
    variables: Variables = {}


class Profile(Resource):
    """What to make of a machine: an image, an answer file, and their particulars."""

    image: Name
    answers: Template | None = None
    kernel_options: KernelOptions = []
    variables: Variables = {}
    limits: Limits = {}
    boot_loader: BootLoader = "auto"


class Machine(Resource):
    """A computer, known by its hardware addresses."""

    macs: Annotated[list[Mac], Field(min_length=1, max_length=16)]
    uuid: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")] | None = None
    address: IPv4Address | None = None
    profile: Name | None = None
    tags: Tags = {}
    kernel_options: KernelOptions = []
    variables: Variables = {}
    boot_loader: BootLoader = "auto"
    external_id: Annotated[Text, Field(min_length=1)] | None = None
    status: Annotated[Any, Field(exclude=True, description="what became of it; ignored when written")] = None

    @field_validator("uuid")
    @classmethod
    def _lower(cls, value: str | None) -> str | None:
        return value.lower() if value else value


def _read_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    if not legal or any(sign.isspace() or not sign.isprintable() for sign in value):
        raise wrong("this is not an http or https address", "write it like https://chat.example/hook/…")
    return value


def _read_events(value: list[str]) -> list[str]:
    for pattern in value:
        if not any(fnmatchcase(known, pattern) for known in CATALOGUE):
            raise wrong(f"there is no event {pattern!r}", nearest(pattern, CATALOGUE))
    return value


class Webhook(Resource):
    """A place on the web that is told of events, as they happen."""

    url: Annotated[str, Field(max_length=2048, repr=False), AfterValidator(_read_url)]
    format: Literal["slack", "cloudevents"] = "cloudevents"
    events: Annotated[list[str], Field(min_length=1, max_length=64), AfterValidator(_read_events)] = [
        "install.done",
        "install.failed",
        "install.stalled",
    ]
    secret: Annotated[Text | None, Field(min_length=1, repr=False)] = None

    def wants(self, event_type: str) -> bool:
        """Whether this webhook is told of events of a type."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.events)

    def completed_by(self, stored: "Webhook") -> "Webhook":
        """This declaration, with the stored credentials where it only repeats what was shown of them."""
        shown = stored.shown()
        kept = {key: getattr(stored, key) for key in ("url", "secret") if getattr(self, key) == shown[key]}
        return self.model_copy(update=kept)

    def shown(self) -> dict[str, Any]:
        """The address and the secret are credentials: neither is ever shown again."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        url = f"{parts.scheme}://{parts.hostname}{port}/{REDACTED}"
        return {**super().shown(), "url": url, "secret": REDACTED if self.secret else None}


class Site(Declared):
    """What holds for every machine of the site, where nothing nearer to the machine says otherwise."""

    kernel_options: KernelOptions = []
    variables: Variables = {}

    def spec(self) -> dict[str, Any]:
        """As JSON, with what differs from the defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Fleet(Declared):
    """A whole declaration: what `apply` takes."""

    site: Site | None = None
    subnets: Annotated[list[Subnet], Field(max_length=1000)] = []
    images: Annotated[list[Image], Field(max_length=1000)] = []
    profiles: Annotated[list[Profile], Field(max_length=1000)] = []
    machines: Annotated[list[Machine], Field(max_length=10_000)] = []
    webhooks: Annotated[list[Webhook], Field(max_length=100)] = []

    def of(self, kind: str) -> list[Resource]:
        """The resources of a kind, by the kind's plural name."""
        found: list[Resource] = getattr(self, kind)
        return found


KINDS: Mapping[str, type[Resource]] = {
    "subnets": Subnet,
    "images": Image,
    "profiles": Profile,
    "machines": Machine,
    "webhooks": Webhook,
}
