"""What the `leases` bucket holds is a LeaseDocument, though it is not made as one."""

from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from libs.desired import LeaseDocument
from services.dhcp.fleet import Fleet
from services.dhcp.lease_view import LeaseView
from services.dhcp.leases import Hardware, Lease, Leases, State
from tests.services.dhcp.lab import MAC, machine
from tests.support.running import bus_of, settings_in


@pytest.mark.parametrize("expires", [1e9, 1_760_000_000.25, 1_760_000_000.123456])
async def test_it_reads_back_as_a_document(tmp_path: Path, expires: float) -> None:
    fleet, address = Fleet(), IPv4Address("10.77.0.100")
    fleet.put_machine("node01", machine())
    hardware = Hardware(1, bytes.fromhex(MAC.replace(":", "")))
    lease = Lease(address=address, hardware=hardware, subnet="rack1", state=State.BOUND, expires=expires)
    async with bus_of(settings_in(tmp_path)) as bus:
        written = LeaseView(bus, fleet, Leases())._document(lease)
    moment = datetime.fromtimestamp(expires, UTC)
    document = LeaseDocument(ip=address, mac=MAC, subnet="rack1", machine="node01", expires=moment)
    assert written == document.model_dump(mode="json")
