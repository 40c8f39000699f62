"""An engine with a small fleet, and packets to put in: what most tests of the service start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from libs.desired import AddressRange, MachineDocument, SubnetDocument
from libs.events import Event
from libs.wire.dhcp import BROADCAST_FLAG, NONE, Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option, RelayOption, write_sub_options
from services.dhcp.allocation import Allocation
from services.dhcp.boot import KickstartAddress
from services.dhcp.engine import Batch, Engine
from services.dhcp.exchange import Datagram, Desk, Reply
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Lease, Leases, State
from tests.services.dhcp.wire import Wire

SERVER = IPv4Address("10.77.0.2")
RELAY = IPv4Address("10.88.0.1")
EVERYONE = IPv4Address("255.255.255.255")
MAC = "52:54:00:00:00:01"
OTHER = "52:54:00:00:00:02"
STRANGER = "52:54:00:00:00:99"
NOW = 1_900_000_000.0
Options = Mapping[int, bytes] | Mapping[Option, bytes] | Mapping[RelayOption, bytes]
PXE = b"PXEClient:Arch:00000:UNDI:002001"


def subnet(name: str = "rack1", **changes: Any) -> SubnetDocument:
    """rack1: 10.77.0.0/24 on eth1, ten addresses in the pool."""
    values: dict[str, Any] = {
        "name": name,
        "cidr": IPv4Network("10.77.0.0/24"),
        "interface": "eth1",
        "pools": [AddressRange(first=IPv4Address("10.77.0.100"), last=IPv4Address("10.77.0.109"))],
        "gateway": IPv4Address("10.77.0.1"),
        "dns": [IPv4Address("10.77.0.53")],
        "domain": "lab.example",
    }
    return SubnetDocument(**values | changes)


def far_subnet(**changes: Any) -> SubnetDocument:
    """rack2: 10.88.0.0/24, behind a relay."""
    pool = AddressRange(first=IPv4Address("10.88.0.100"), last=IPv4Address("10.88.0.199"))
    values: dict[str, Any] = {
        "cidr": IPv4Network("10.88.0.0/24"),
        "interface": None,
        "pools": [pool],
        "gateway": RELAY,
    }
    return subnet(**{"name": "rack2"} | values | changes)


def machine(name: str = "node01", mac: str = MAC, **changes: Any) -> MachineDocument:
    """A machine of the fleet that boots its disk."""
    return MachineDocument(**{"name": name, "macs": [mac], **changes})


def message(kind: MessageType, mac: str = MAC, options: Options | None = None, **fields: Any) -> Message:
    """A request of a client."""
    values: dict[str, Any] = {"op": 1, "xid": 0x1234ABCD, "chaddr": bytes.fromhex(mac.replace(":", "")), **fields}
    return Message(options={Option.MESSAGE_TYPE: bytes((kind,)), **by_number(options or {})}, **values)


def by_number(options: Options) -> dict[int, bytes]:
    """Options by code, whichever way the codes were written."""
    return {int(code): value for code, value in options.items()}


def address(text: str) -> bytes:
    """An address as an option's value."""
    return IPv4Address(text).packed


@dataclass
class Carrier:
    """What packets travel by: cables and sockets, or nothing between a test and the engine."""

    wire: Wire | None = None


carrier = Carrier()


def carries(datagram: Datagram) -> bool:
    """Whether a kernel lets it through at all: with no source, broadcasts alone; nothing from a loopback address."""
    return not datagram.source.is_loopback and (datagram.source != NONE or datagram.destination == EVERYONE)


@dataclass
class Answer:
    """What came of one request."""

    batch: Batch
    reply: Reply | None
    message: Message | None

    @property
    def silent(self) -> str:
        """Why there was no answer; "" where there was one."""
        return next(iter(self.batch.unanswered), "")

    @property
    def given(self) -> Message:
        """The answer, which the test expects."""
        assert self.message, f"no answer: {self.silent}, {self.batch.faults}"
        return self.message

    @property
    def sent(self) -> Reply:
        """The answer with its way."""
        assert self.reply
        return self.reply

    @property
    def address(self) -> str:
        """yiaddr."""
        return str(self.given.yiaddr)

    def event(self, kind: type[Event]) -> Event | None:
        """The event of a type."""
        return next((event for event in self.batch.events if isinstance(event, kind)), None)


@dataclass
class Lab:
    """The engine, with a clock that moves when it is told to."""

    fleet: Fleet = field(default_factory=Fleet)
    leases: Leases = field(default_factory=Leases)
    now: float = NOW
    stored: dict[IPv4Address, Lease] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desk = Desk(self.fleet, Allocation(self.fleet, self.leases), KickstartAddress(port=8081))
        self.engine = Engine(self.desk)

    def declare(self, *documents: SubnetDocument | MachineDocument) -> "Lab":
        """Put documents into the fleet."""
        for document in documents:
            if isinstance(document, SubnetDocument):
                self.fleet.put_subnet(document.name, document)
            else:
                self.fleet.put_machine(document.name, document)
        return self

    def put(self, request: Message | bytes, **arrival: Any) -> Answer:
        """One request in. By default it was broadcast on eth1; see Datagram for what else it may be."""
        data = request if isinstance(request, bytes) else encode(request)
        datagram = self.datagram(data, **arrival)
        if carrier.wire and carries(datagram):
            datagram = carrier.wire.carry(datagram)
        return self.settle(self.engine.handle([datagram], self.now))

    def datagram(self, data: bytes, **arrival: Any) -> Datagram:
        """Octets as they come in."""
        values: dict[str, Any] = {
            "source": NONE,
            "source_port": 68,
            "destination": EVERYONE,
            "local": SERVER,
            "interface": "eth1",
            "index": 7,
        }
        return Datagram(data=data, **values | arrival)

    def settle(self, batch: Batch) -> Answer:
        """What a batch comes to: its leases are stored, its reply is read."""
        assert not batch.faults, batch.faults
        for lease in batch.changes:
            self.stored[lease.address] = lease
            if lease.state is State.FREE:
                del self.stored[lease.address]
        reply = batch.replies[0] if batch.replies else None
        if not reply:
            return Answer(batch, None, None)
        return Answer(batch, reply, decode(carrier.wire.answer(reply) if carrier.wire else reply.data))

    def unicast(self, request: Message, source: str = "10.77.0.100") -> Answer:
        """A request that was sent to our own address."""
        return self.put(request, source=IPv4Address(source), destination=SERVER)

    def relayed(
        self, request: Message, *, agent: Options | None = None, giaddr: IPv4Address = RELAY, port: int = 67
    ) -> Answer:
        """The request as a relay agent passes it on."""
        values = {name: getattr(request, name) for name in request._fields}
        options = dict(request.options)
        if agent is not None:
            options[Option.RELAY_AGENT_INFORMATION] = write_sub_options(by_number(agent))
        passed = Message(**values | {"giaddr": giaddr, "hops": 1, "options": options})
        return self.put(passed, source=giaddr, source_port=port, destination=SERVER, interface="eth0", index=2)

    # --- a client's usual steps -------------------------------------------------------------------------------

    def discover(self, mac: str = MAC, **options: bytes) -> Answer:
        """A broadcast DISCOVER; options by their names."""
        return self.put(message(MessageType.DISCOVER, mac, named(options), flags=BROADCAST_FLAG))

    def select(self, wanted: str, mac: str = MAC, server: IPv4Address = SERVER, **options: bytes) -> Answer:
        """SELECTING: it takes an offer."""
        chosen = {"REQUESTED_ADDRESS": address(wanted), "SERVER_IDENTIFIER": server.packed}
        return self.put(message(MessageType.REQUEST, mac, named(chosen | options), flags=BROADCAST_FLAG))

    def reboot(self, wanted: str, mac: str = MAC) -> Answer:
        """INIT-REBOOT: it asks whether its address from before still holds."""
        return self.put(message(MessageType.REQUEST, mac, {Option.REQUESTED_ADDRESS: address(wanted)}))

    def renew(self, held: str, mac: str = MAC) -> Answer:
        """RENEWING."""
        return self.unicast(message(MessageType.REQUEST, mac, ciaddr=IPv4Address(held)), held)

    def rebind(self, held: str, mac: str = MAC) -> Answer:
        """REBINDING."""
        return self.put(message(MessageType.REQUEST, mac, ciaddr=IPv4Address(held)), source=IPv4Address(held))

    def decline(self, refused: str, mac: str = MAC) -> Answer:
        """DECLINE."""
        options = {"REQUESTED_ADDRESS": address(refused), "SERVER_IDENTIFIER": SERVER.packed}
        return self.put(message(MessageType.DECLINE, mac, named(options)))

    def release(self, held: str, mac: str = MAC, server: IPv4Address = SERVER) -> Answer:
        """RELEASE."""
        options = named({"SERVER_IDENTIFIER": server.packed})
        return self.unicast(message(MessageType.RELEASE, mac, options, ciaddr=IPv4Address(held)), held)

    def obtain(self, mac: str = MAC, **options: bytes) -> str:
        """DISCOVER and REQUEST; the address."""
        offered = self.discover(mac, **options).address
        granted = self.select(offered, mac, SERVER, **options)
        assert granted.given.type == MessageType.ACK
        return granted.address


def named(options: dict[str, bytes]) -> dict[int, bytes]:
    """Options by code."""
    return {Option[name]: value for name, value in options.items()}


def lab(*documents: SubnetDocument | MachineDocument) -> Lab:
    """A lab with rack1, rack2 and node01, or with just these documents."""
    return Lab().declare(*(documents or (subnet(), far_subnet(), machine())))
