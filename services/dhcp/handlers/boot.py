"""The boot program, for those that are to get one."""

from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.boot import boot_program
from services.dhcp.exchange import Desk, Exchange


def name_boot_program(exchange: Exchange, desk: Desk) -> None:
    """Server and file: siaddr, `file` and option 67 always say the same, as each loader reads another of them."""
    if exchange.answer is MessageType.NAK:
        return
    boot = boot_program(
        exchange.client, exchange.machine, exchange.subnet, desk.kickstart, exchange.datagram.local, exchange.mac
    )
    if boot:
        exchange.boot = boot
        exchange.options |= boot.options
        # Ended by a zero octet: firmware copies it as it is and looks for the end.
        exchange.options[Option.BOOT_FILE] = boot.file.encode() + b"\0"
