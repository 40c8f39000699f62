"""Select: everything that one machine's templates are told, out of its documents. What cannot be right is refused."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from libs.desired import ImageDocument, InstallDocument, MachineDocument, SubnetDocument
from libs.mac import MacError, dashed, parse_mac
from services.kickstart.cmdline import CommandLineError, checked_line
from services.kickstart.families import FAMILIES, Family, Target
from services.kickstart.sandbox import Problem, RenderError
from services.kickstart.values import Named, ValueRefused, named

MAX_MACS = 16  # a machine's boot files hold several copies of each text for every card; the bus takes 1 MiB
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IMAGE_PATH = re.compile(r"[A-Za-z0-9._+~-]+(/[A-Za-z0-9._+~-]+)*")
BASE_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?")


class Order(BaseModel):
    """What is to be rendered for: a machine with everything about it that templates may want to know."""

    machine: MachineDocument
    subnet: SubnetDocument | None = None
    base_url: str  # of the kickstart service, as the machine reaches it; no slash at the end
    site: str = "lab"

    @property
    def installs(self) -> bool:
        """Whether the machine is to install itself, rather than to boot its disk."""
        return self.machine.netboot == "install" and self.machine.install is not None


@dataclass(frozen=True)
class Select:
    """Reads one order. Each error names the document's field, in the form of a RenderError."""

    order: Order

    @property
    def machine(self) -> MachineDocument:
        """The machine."""
        return self.order.machine

    @property
    def install(self) -> InstallDocument:
        """The install that the machine is to run."""
        if self.machine.install is None:
            raise self._error("install", "the machine has no install to run")
        self._match(_TOKEN, self.machine.install.token, "install.token", "letters, digits, - and _")
        return self.machine.install

    @property
    def image(self) -> ImageDocument:
        """What is installed."""
        image = self.machine.image
        if image is None:
            raise self._error("image", "the machine's profile names no image")
        self._match(_IMAGE_NAME, image.name, "image.name", "letters, digits and ._-")
        for path in [image.kernel, *image.initrd]:
            self._match(_IMAGE_PATH, path, "image.kernel and image.initrd", "paths within the image without spaces")
            if ".." in path.split("/"):
                raise self._error("image.kernel and image.initrd", f"{path!r} leaves the image")
        return image

    @property
    def family(self) -> Family:
        """The family of the image."""
        name = self.image.family
        if name not in FAMILIES:
            raise self._error("image.family", f"there is no family {name!r}; known are {', '.join(sorted(FAMILIES))}")
        return FAMILIES[name]

    @property
    def macs(self) -> list[str]:
        """The machine's hardware addresses."""
        if not 1 <= len(self.machine.macs) <= MAX_MACS:
            raise self._error("macs", f"a machine has 1 to {MAX_MACS} hardware addresses, not {len(self.machine.macs)}")
        try:
            return [parse_mac(mac) for mac in self.machine.macs]
        except MacError as error:
            raise self._error("macs", str(error)) from None

    @property
    def uuids(self) -> list[str]:
        """The SMBIOS UUID as it is written and as PXELINUX spells its raw octets (SMBIOS 3 section 7.2.1)."""
        if not self.machine.uuid:
            return []
        try:
            written = UUID(self.machine.uuid)
        except ValueError:
            raise self._error("uuid", f"{self.machine.uuid!r} is not a UUID") from None
        return list(dict.fromkeys([str(written), str(UUID(bytes=written.bytes_le))]))

    def context(self, mac: str) -> dict[str, Any]:
        """The variables of a boot configuration that sends the machine to its disk."""
        self._match(BASE_URL, self.order.base_url, "kickstart.public_url", "http://host:port")
        try:
            return {
                "site": self.order.site,
                "machine": named("machine", self._machine(mac)),
                "subnet": named("subnet", self._subnet()),
                "vars": named("vars", self.machine.variables),
                "profile": self.machine.profile or "",
            }
        except ValueRefused as error:
            raise RenderError(Problem(self.machine.name, str(error), variable=error.variable)) from None

    def install_context(self, mac: str) -> dict[str, Any]:
        """The variables of everything that installs the machine: `context` and the installer's own."""
        image, install = self.image, self.install
        secret = f"{self.order.base_url}/i/{install.token}"
        answers = f"{secret}/{self.family.document}"
        return {
            **self.context(mac),
            "image": named("image", image.model_dump(mode="json")),
            "install": Named("install", {"id": install.id}),
            "tree": Named("tree", {"url": self._tree()}),
            "answers": Named("answers", {"url": answers}),
            "callbacks": Named("callbacks", _callbacks(secret)),
            "boot": Named("boot", self._boot(mac, answers)),
        }

    def _machine(self, mac: str) -> dict[str, Any]:
        machine = self.machine
        host, _, domain = self._match(_HOST_NAME, machine.name, "name", "a host name").partition(".")
        domain = domain or (self.order.subnet.domain if self.order.subnet else None) or ""
        if domain:
            self._match(_HOST_NAME, domain, "the subnet's domain", "a domain name")
        return {
            "name": machine.name,
            "hostname": host,
            "domain": domain or None,
            "fqdn": f"{host}.{domain}" if domain else host,
            "mac": mac,
            "macs": self.macs,
            "uuid": machine.uuid,
            "address": str(machine.address) if machine.address else None,
            "tags": machine.tags,
            "boot_loader": machine.boot_loader,
            "kernel_options": machine.kernel_options,
        }

    def _subnet(self) -> dict[str, Any]:
        subnet = self.order.subnet
        if subnet is None:
            return {}
        return {
            "name": subnet.name,
            "cidr": str(subnet.cidr),
            "network": str(subnet.cidr.network_address),
            "netmask": str(subnet.cidr.netmask),
            "prefix": subnet.cidr.prefixlen,
            "gateway": str(subnet.gateway) if subnet.gateway else None,
            "dns": [str(server) for server in subnet.dns],
            "domain": subnet.domain,
        }

    def _tree(self) -> str:
        return f"{self.order.base_url}/images/{self.image.name}/"

    def _boot(self, mac: str, answers: str) -> dict[str, Any]:
        image, described = self.image, self._machine(mac)
        target = Target(described["hostname"], described["domain"], mac, answers, self._tree())
        files = [image.kernel, *image.initrd]
        try:
            line = checked_line(
                self.family.arguments(target, self.machine.kernel_options),
                loaded=[f"{self._tree()}{path}" for path in files],
            )
        except CommandLineError as error:
            raise self._error("kernel_options", str(error)) from None
        paths = [f"/{tftp_path(image, path)}" for path in files]
        urls = [f"{self._tree()}{path}" for path in files]
        return {
            "arguments": line,
            "kernel": paths[0],
            "initrd": paths[1:],
            "kernel_url": urls[0],
            "initrd_urls": urls[1:],
            "bootif": f"01-{dashed(mac)}",
        }

    def _match(self, pattern: re.Pattern[str], value: str, field: str, form: str) -> str:
        if not pattern.fullmatch(value):
            raise self._error(field, f"{value!r} is not {form}")
        return value

    def _error(self, field: str, message: str) -> RenderError:
        return RenderError(Problem(self.machine.name, f"{field}: {message}", variable=field))


def tftp_path(image: ImageDocument, path: str) -> str:
    """Where tftp serves a file of an image."""
    return f"images/{image.name}/{path}"


def _callbacks(secret: str) -> dict[str, str]:
    kinds = {kind: f"{secret}/{kind}" for kind in ("started", "progress", "done", "failed")}
    return {**kinds, "log": f"{secret}/logs"}
