"""From a machine to the order that renders for it: its subnet, and the address of ours that it reaches."""

from collections.abc import Sequence

from libs.desired import InstallDocument, MachineDocument, SubnetDocument
from libs.net import address_towards
from libs.service import ServiceError
from libs.settings import HostPort, Settings
from services.kickstart.facts import BASE_URL, Order
from services.kickstart.fleet import Fleet
from services.kickstart.sandbox import Problem, RenderError

WILDCARDS = ("0.0.0.0", "::")
PUBLIC_URL = "kickstart.public_url"
PREVIEW = "preview"  # id and token of an install that is only looked at


class Orders:
    """Writes orders. Set `listening` to where the service's HTTP server really listens.

    Raises ServiceError for a public address that machines could not use.
    """

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self._site = settings.site
        self._public_url = settings.kickstart.public_url.rstrip("/")
        if self._public_url and not BASE_URL.fullmatch(self._public_url):
            raise ServiceError(f"{PUBLIC_URL}: {self._public_url!r} is not http://host, http://host:port or longer")
        self._fleet = fleet
        self.listening = settings.kickstart.listen

    def of(self, machine: MachineDocument) -> Order:
        """The order for a machine. Raises RenderError where no address of ours is known that it could reach."""
        subnet = self._fleet.subnet_of(machine)
        return self._order(machine, subnet, self._public_url or self._reached(machine, subnet))

    def preview(self, machine: MachineDocument, subnets: Sequence[SubnetDocument], *, install: bool) -> Order:
        """The order for looking at what a machine would be given.

        With `install`, a machine that has an image and no install to run is looked at as if it had one. `subnets` are
        considered before those that are in force. An address of ours that is not known yet is no error here.
        """
        if install and machine.image and machine.install is None:
            ordered = InstallDocument.model_validate({"id": PREVIEW, "token": PREVIEW, "ordered_at": 0})
            machine = machine.model_copy(update={"netboot": "install", "install": ordered})
        found = [net for net in subnets if machine.address and machine.address in net.cidr]
        subnet = found[0] if found else self._fleet.subnet_of(machine)
        try:
            url = self._public_url or self._reached(machine, subnet)
        except RenderError:
            url = f"http://{self.listening}"
        return self._order(machine, subnet, url)

    def _order(self, machine: MachineDocument, subnet: SubnetDocument | None, url: str) -> Order:
        return Order(machine=machine, subnet=subnet, base_url=url, site=self._site)

    def _reached(self, machine: MachineDocument, subnet: SubnetDocument | None) -> str:
        if self.listening.host not in WILDCARDS:
            return f"http://{self.listening}"
        ours = address_towards(self._fleet.address_in(subnet, machine)) if subnet else None
        if ours is None:
            why = f"there is no route to subnet {subnet.name}" if subnet else "no subnet of the machine is known"
            message = f"the address that the machine could reach is not known: {why}; set kickstart.public_url"
            raise RenderError(Problem(machine.name, message, variable=PUBLIC_URL))
        return f"http://{HostPort(str(ours), self.listening.port)}"
