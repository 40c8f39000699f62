"""What passes between the sockets, the engine and its handlers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal, NamedTuple

from libs.desired import MachineDocument, SubnetDocument
from libs.events import Event
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, RelayOption
from libs.wire.pxe import Client
from services.dhcp.allocation import Allocation, Applicant
from services.dhcp.boot import BootProgram, KickstartAddress
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Hardware, Lease, Source
from services.dhcp.quota import sources_of
from services.dhcp.reports import OncePerInterval

REPORT_SECONDS = 600.0
REPORT_LIMIT = 1024


@dataclass(slots=True)  # not frozen: that would double the time to make one
class Datagram:
    """One datagram as it came in. `local` is the address of ours that it reached us by.

    `at_boot_port`: it came to port 4011, where firmware asks for its boot program alone (PXE 2.1 section 2.2.3).
    """

    data: bytes
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    local: IPv4Address
    interface: str
    index: int
    at_boot_port: bool = False

    @property
    def was_unicast(self) -> bool:
        """Whether it was sent to our own address."""
        return self.destination == self.local


@dataclass(slots=True)  # not frozen: that would double the time to make one
class Delivery:
    """How a reply travels. `index` names the interface to send on, 0 leaves it to the routing table.

    relay and unicast: a datagram to `address`:`port`. broadcast: to 255.255.255.255 on the interface.
    frame: to the hardware address `chaddr` on the interface, as the client cannot answer ARP for `address` yet.
    boot: a datagram to `address`:`port`, from the boot port.
    """

    way: Literal["relay", "unicast", "broadcast", "frame", "boot"]
    address: IPv4Address
    port: int
    source: IPv4Address
    index: int = 0
    chaddr: bytes = b""


class Reply(NamedTuple):
    """One answer, ready to leave."""

    data: bytes
    delivery: Delivery
    type: MessageType


class SilenceError(Exception):
    """The datagram gets no answer, as the protocol wants it. `reason` is a short label, for a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Network:
    """What clients of a subnet are told by one of our addresses, written once; valid while the subnet is this one."""

    subnet: SubnetDocument
    local: IPv4Address
    times: Mapping[int, bytes]
    options: Mapping[int, bytes]


@dataclass
class Desk:
    """What the handlers know beside the packet."""

    fleet: Fleet
    allocation: Allocation
    kickstart: KickstartAddress = field(default_factory=KickstartAddress)
    networks: dict[str, Network] = field(default_factory=dict)  # by the subnet's name
    can_probe: bool = False  # whether this host may ask by ARP who uses an address
    unknown: OncePerInterval = field(default_factory=lambda: OncePerInterval(REPORT_SECONDS, REPORT_LIMIT))
    rivals: OncePerInterval = field(default_factory=lambda: OncePerInterval(REPORT_SECONDS, REPORT_LIMIT))
    exhausted: OncePerInterval = field(default_factory=lambda: OncePerInterval(60.0, REPORT_LIMIT))


@dataclass(slots=True)
class Exchange:
    """One request on its way through the handlers, and the answer as it grows."""

    datagram: Datagram
    request: Message
    type: MessageType
    now: float
    agent: Mapping[int, bytes]  # sub-options of option 82
    hardware: Hardware
    client: Client
    subnet: SubnetDocument
    machine: MachineDocument | None
    server: IPv4Address  # what goes into option 54
    requested: IPv4Address | None  # option 50
    mac: str | None  # the client's hardware address as the fleet spells it
    relay: str | None  # the relay agent it came through
    applicant: Applicant  # the client as one who wants an address
    answer: MessageType | None = None
    yiaddr: IPv4Address | None = None
    options: dict[int, bytes] = field(default_factory=dict)
    boot: BootProgram | None = None
    renewed: bool = False  # the client uses the address already, and asks for more time
    reason: str = ""  # of a refusal
    may_probe: bool = False  # whether an address may be probed now
    unprobed: IPv4Address | None = None  # the address that is to be probed before it is offered
    events: list[Event] = field(default_factory=list)
    changes: list[Lease] = field(default_factory=list)
    seconds: int | None = None  # how long the lease lasts, where it is not the subnet's time
    claim: Lease | None = None  # what the bus has to agree to before it is granted
    claimed: Lease | None = None  # what it has agreed to
    attempts: int = 0  # claims for this request that others were ahead of

    @property
    def lease_seconds(self) -> int:
        """How long a lease lasts."""
        return self.subnet.lease_seconds if self.seconds is None else self.seconds

    @property
    def sources(self) -> tuple[Source, ...]:
        """What an offer to it is counted under; nothing for a machine of the fleet."""
        if self.machine:
            return ()
        return sources_of(self.relay or self.datagram.interface, self.agent.get(RelayOption.CIRCUIT_ID))


Handler = Callable[[Exchange, Desk], None]
