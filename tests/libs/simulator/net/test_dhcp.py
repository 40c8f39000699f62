from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from random import Random
from uuid import UUID

import pytest

from libs.simulator.boot import Identity
from libs.simulator.errors import LeaseError, SimulationError
from libs.simulator.net.dhcp import DhcpClient
from libs.simulator.net.link import Link
from libs.simulator.net.personalities import ANACONDA, EDK2, IPXE, IPXE_EFI, PXE_ROM, SYSTEMD, Personality
from libs.simulator.net.relay import Relay, relay
from libs.simulator.options import Timing
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option, RelayOption, read_sub_options, read_u16
from libs.wire.pxe import client_of
from tests.libs.simulator.small_dhcp import HOST, SmallDhcp, small_dhcp

RELAY = IPv4Address("127.88.0.1")
MAC = "52:54:00:88:00:01"
UUID_ = UUID("4c4c4544-0044-4210-8031-c2c04f505931")


@asynccontextmanager
async def wire() -> AsyncIterator[tuple[SmallDhcp, Relay]]:
    async with small_dhcp(lambda client: f"{client.kind}.0") as server, relay(HOST, server.port, RELAY) as agent:
        yield server, agent


def client(agent: Relay, mac: str = MAC, loss: float = 0.0, pace: float = 0.05) -> DhcpClient:
    link = Link(loss, Random(7))
    socket = agent.attach(bytes.fromhex(mac.replace(":", "")), link)
    return DhcpClient(socket, Identity(mac, UUID_, "node01"), Timing(pace=pace), link.random)


async def test_a_lease_by_four_messages_through_the_relay_agent() -> None:
    offers: list[Message] = []

    async def offered(offer: Message) -> None:
        offers.append(offer)

    async with wire() as (server, agent):
        machine = client(agent)
        machine.offered = offered
        lease = await machine.lease(PXE_ROM)
    assert (str(lease.address), lease.next_server, lease.boot_file, lease.seconds) == (
        "127.88.0.10",
        HOST,
        "pxe.0",
        3600,
    )
    assert [request.type for request in server.requests] == [MessageType.DISCOVER, MessageType.REQUEST]
    assert [str(offer.yiaddr) for offer in offers] == ["127.88.0.10"]
    assert Option.RELAY_AGENT_INFORMATION not in offers[0].options
    for request in server.requests:
        agent_options = read_sub_options(request.options[Option.RELAY_AGENT_INFORMATION])
        assert (request.giaddr, request.hops, agent_options[RelayOption.SOURCE_PORT]) == (RELAY, 1, b"")
        assert agent_options[RelayOption.CIRCUIT_ID] == b"sim/525400880001"


@pytest.mark.parametrize(
    ("personality", "kind", "arch", "vendor_class"),
    [
        (PXE_ROM, "pxe", "bios", "PXEClient:Arch:00000:UNDI:002001"),
        (EDK2, "pxe", "uefi-x64", "PXEClient:Arch:00007:UNDI:003000"),
        (IPXE, "ipxe", "bios", "PXEClient:Arch:00000:UNDI:002001"),
        (IPXE_EFI, "ipxe", "uefi-x64", "PXEClient:Arch:00007:UNDI:003010"),
        (SYSTEMD, "other", None, ""),
    ],
)
async def test_every_client_is_recognised_for_what_it_is(
    personality: Personality, kind: str, arch: str | None, vendor_class: str
) -> None:
    async with wire() as (server, agent):
        await client(agent).lease(personality)
    for request in server.requests:
        seen = client_of(request)
        assert (seen.kind, seen.architecture and seen.architecture.name, seen.vendor_class) == (
            kind,
            arch,
            vendor_class,
        )
        assert seen.uuid == (UUID_ if personality.uuid else None)


async def test_edk2_asks_with_its_known_oddities() -> None:
    async with wire() as (server, agent):
        await client(agent).lease(EDK2)
    discover, request = server.requests
    sizes = [read_u16(message.options[Option.MAXIMUM_MESSAGE_SIZE]) for message in (discover, request)]
    assert sizes == [1472, 65280]
    assert discover.wants_broadcast
    assert Option.CLIENT_IDENTIFIER not in discover.options


async def test_an_installer_and_a_system_say_who_they_are() -> None:
    async with wire() as (server, agent):
        await client(agent).lease(ANACONDA)
        await client(agent).lease(SYSTEMD)
    installer, system = server.of(MessageType.DISCOVER)
    assert installer.options[Option.VENDOR_CLASS].startswith(b"anaconda-Linux ")
    assert installer.options[Option.CLIENT_IDENTIFIER] == bytes.fromhex("01525400880001")
    assert system.options[Option.CLIENT_IDENTIFIER].startswith(b"\xff")
    assert system.options[Option.HOST_NAME] == b"node01"
    assert not {Option.VENDOR_CLASS, Option.USER_CLASS, 93, 97, 175} & set(system.options)


async def test_one_socket_serves_many_machines() -> None:
    macs = [f"52:54:00:88:01:{number:02x}" for number in range(20)]
    async with wire() as (server, agent):
        leases = [await client(agent, mac).lease(PXE_ROM) for mac in macs]
    assert len({lease.address for lease in leases}) == len(macs)
    assert len(server.requests) == 2 * len(macs)


async def test_what_is_lost_is_sent_again_with_the_same_xid() -> None:
    async with wire() as (server, agent):
        server.ignored = 2
        await client(agent, pace=0.02).lease(PXE_ROM)
    assert len(server.of(MessageType.DISCOVER)) == 3
    assert len({request.xid for request in server.requests}) == 1


async def test_a_refused_address_is_asked_for_anew() -> None:
    async with wire() as (server, agent):
        server.naks = 1
        await client(agent).lease(PXE_ROM)
    kinds = [request.type for request in server.requests]
    assert kinds == [MessageType.DISCOVER, MessageType.REQUEST] * 2


async def test_the_ends_that_are_no_lease() -> None:
    async with wire() as (server, agent):
        server.ignored = 1000
        with pytest.raises(LeaseError, match="no DHCP server answers"):
            await client(agent, pace=0.001).lease(PXE_ROM)
        server.ignored, server.naks = 0, 1000
        with pytest.raises(LeaseError, match="refuses the address"):
            await client(agent, pace=0.1).lease(PXE_ROM)
        server.naks = 0
        server.boot_file = lambda _: ""
        with pytest.raises(LeaseError, match="no boot file name"):
            await client(agent).lease(PXE_ROM)


async def test_another_server_may_be_believed() -> None:
    async with wire() as (server, agent):
        machine = client(agent)
        machine.foreign_server = IPv4Address("127.99.0.1")
        with pytest.raises(LeaseError, match=r"another DHCP server, 127\.99\.0\.1"):
            await machine.lease(PXE_ROM)
        await client(agent, "52:54:00:88:00:02").lease(SYSTEMD)  # its DISCOVER comes behind the REQUEST
    (request, *_) = server.of(MessageType.REQUEST)
    assert request.options[Option.SERVER_IDENTIFIER] == IPv4Address("127.99.0.1").packed


async def test_lost_messages_are_made_good() -> None:
    async with wire() as (_server, agent):
        lease = await client(agent, loss=0.3, pace=0.02).lease(EDK2)
    assert lease.boot_file == "pxe.0"


async def test_a_relay_agent_needs_an_address_of_this_host() -> None:
    with pytest.raises(SimulationError, match=r"cannot use 192\.0\.2\.1"):
        async with relay(HOST, 67, IPv4Address("192.0.2.1")):
            pass


async def test_what_is_no_answer_is_dropped_and_counted() -> None:
    async with wire() as (server, agent):
        agent.datagram_received(b"nonsense", ("127.0.0.1", 67))
        socket = agent.attach(b"\x52\x54\0\0\0\1", Link())
        assert await socket.receive(0) is None
        assert agent.dropped == 1
        assert not server.requests
