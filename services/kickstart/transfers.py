"""What goes out to machines by HTTP: images, iPXE scripts and answer files, each told as an event once it arrived."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structlog.typing import FilteringBoundLogger

from libs.desired import ImageDocument, MachineDocument
from libs.events import (
    AnswersFailed,
    AnswersFetched,
    BootconfigFetched,
    Event,
    Fetched,
    FileFetched,
    InitrdFetched,
    KernelFetched,
    TransferFailed,
)
from libs.mac import MacError, parse_mac
from services.kickstart import bootconfig, images
from services.kickstart.accesslog import Served
from services.kickstart.delivery import Delivery, Response
from services.kickstart.fleet import Fleet
from services.kickstart.images import ImageFile, NotThere, Part
from services.kickstart.installs import InstallEnded
from services.kickstart.orders import Orders
from services.kickstart.publisher import Publisher
from services.kickstart.ranges import Coverage
from services.kickstart.sandbox import RenderError
from services.kickstart.store import Install
from services.kickstart.workshop import Workshop

LARGE = 1024 * 1024  # bytes; smaller files of a tree are too many to be events
PLAIN = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]


@dataclass(frozen=True)
class Outgoing:
    """A response, and what is to be done once it is known what became of it."""

    response: Response
    after: Callable[[Delivery], None]


class Transfers:
    """Finds what is asked for."""

    def __init__(
        self,
        root: Path,
        fleet: Fleet,
        orders: Orders,
        publisher: Publisher,
        workshop: Workshop,
        emit: Callable[[Event], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._root = root
        self._fleet = fleet
        self._orders = orders
        self._publisher = publisher
        self._workshop = workshop
        self._emit = emit
        self._log = log
        self._coverage = Coverage()

    def image(self, path: str, ip: str, headers: Mapping[str, str]) -> Outgoing:
        """A file of an image. Raises NotThere."""
        try:
            file = images.find(self._root, path)
        except NotThere:
            self._missing(path, ip)
            raise
        part = images.part_for(file, headers)
        return Outgoing(part.response(), lambda delivery: self._image_sent(part, ip, delivery))

    def served(self, line: Served) -> None:
        """A file of an image that nginx served in our place: told as if we had."""
        ip = str(line.remote_addr)
        if line.request_method != "GET" or line.status not in (200, 206, 404):
            return
        try:
            file = images.find(self._root, line.path)
            if line.status == 404:
                return
        except NotThere:
            with contextlib.suppress(NotThere):
                self._missing(line.path, ip)
            return
        start, end = line.span or (0, file.size)
        arrived = line.request_completion == "OK" and line.body_bytes_sent == end - start and end <= file.size
        self._image_sent(
            Part(file, line.status, [], start, end), ip, Delivery(line.body_bytes_sent, arrived, line.request_time)
        )

    async def script(self, spelled: str, ip: str) -> Outgoing:
        """The iPXE script of the machine with a hardware address. Raises NotThere."""
        try:
            mac = parse_mac(spelled)
        except MacError:
            raise NotThere from None
        machine = self._fleet.by_mac(mac)
        files = await self._publisher.files_of(machine.name) if machine and machine.netboot != "deny" else None
        text = files.files.get(bootconfig.ipxe_path(mac)) if files else None
        if machine is None or files is None or text is None:
            raise NotThere
        about: dict[str, Any] = {"mac": mac, "machine": machine.name, "install_id": files.install_id, "ip": ip}
        about |= {"path": f"/boot/{bootconfig.ipxe_path(mac)}", "boots": files.boots}
        return _text(text, lambda delivery: self._emit(BootconfigFetched(**about, **_facts(delivery))))

    async def answers(self, token: str, ip: str) -> Outgoing:
        """The answer file of a running install, rendered now. Raises UnknownToken, InstallEnded, RenderError."""
        install = self._fleet.installs.running(token)
        machine = self._fleet.machine(install.machine)
        if machine is None:
            raise InstallEnded
        about = _about(install, ip)
        try:
            written = await self._workshop.answers(self._orders.of(machine))
        except RenderError as error:
            self._log.warning("an answer file cannot be rendered", machine=machine.name, error=str(error))
            self._emit(AnswersFailed(**about, reason=str(error), path=error.problem.template or ""))
            raise
        return _text(
            written.text,
            lambda delivery: self._emit(AnswersFetched(**about, path=written.document, **_facts(delivery))),
        )

    # --- afterwards -------------------------------------------------------------------------------------------

    def _image_sent(self, part: Part, ip: str, delivery: Delivery) -> None:
        file = part.file
        kind = self._kind(file)
        if not delivery.arrived:
            if kind is not FileFetched:
                self._failed(ip, file.path, "aborted", bytes=delivery.sent, size=file.size, seconds=delivery.seconds)
            return
        version = f"{file.path}{file.etag}"
        if part.status == 206 and not self._coverage.add(ip, version, part.start, part.end, file.size):
            return
        if kind is not FileFetched or file.size > LARGE:
            facts = {**_facts(delivery), "bytes": file.size}
            self._emit(kind(**self._client(ip, file.image), path=f"/images/{file.path}", **facts))

    def _missing(self, path: str, ip: str) -> None:
        """A kernel or initrd that is not there stops a boot; other files are asked for on the off chance."""
        image, _, name = images.clean(path).partition("/")
        known = self._fleet.image(image)
        if known and name in (known.kernel, *known.initrd):
            self._failed(ip, f"{image}/{name}", "missing")

    def _failed(self, ip: str, path: str, reason: str, **more: Any) -> None:
        client = self._client(ip, path.partition("/")[0])
        self._emit(TransferFailed(**client, path=f"/images/{path}", reason=reason, protocol="http", **more))

    def _kind(self, file: ImageFile) -> type[Fetched]:
        image = self._fleet.image(file.image)
        if image and file.name == image.kernel:
            return KernelFetched
        return InitrdFetched if image and file.name in image.initrd else FileFetched

    def _client(self, ip: str, image: str) -> dict[str, Any]:
        mac, machine = self._fleet.client(ip)
        install = machine.install if machine and _is_of(machine.image, image) else None
        return {"mac": mac, "machine": _name(machine), "install_id": install.id if install else None, "ip": ip}


def _is_of(document: ImageDocument | None, image: str) -> bool:
    return document is not None and document.name == image


def _name(machine: MachineDocument | None) -> str | None:
    return machine.name if machine else None


def _about(install: Install, ip: str) -> dict[str, Any]:
    return {"mac": install.mac or None, "machine": install.machine, "install_id": install.id, "ip": ip}


def _facts(delivery: Delivery) -> dict[str, Any]:
    return {"protocol": "http", "bytes": delivery.sent, "seconds": round(delivery.seconds, 6)}


def _text(text: str, arrived: Callable[[Delivery], None]) -> Outgoing:
    body = text.encode()

    def after(delivery: Delivery) -> None:
        if delivery.arrived:
            arrived(delivery)

    return Outgoing(Response(200, PLAIN, len(body), body), after)
