"""Every behaviour of the server is one small handler; CHAINS is the order in which they see a request, by the
subnet's mode.

A handler adds to the exchange, or ends it by raising SilenceError. One that does not concern itself with the message's
type returns at once.
"""

from collections.abc import Mapping

from services.dhcp.exchange import Handler
from services.dhcp.handlers.boot import name_boot_program
from services.dhcp.handlers.discover import offer_address
from services.dhcp.handlers.echo import echo_identity
from services.dhcp.handlers.give_back import decline_address, release_address
from services.dhcp.handlers.inform import inform_client
from services.dhcp.handlers.network import describe_network
from services.dhcp.handlers.proxy import offer_boot_program, record_boot_offer, say_it_is_for_firmware
from services.dhcp.handlers.report import record_answer
from services.dhcp.handlers.request import grant_request
from services.dhcp.handlers.rival import notice_rival
from services.dhcp.handlers.unknown import admit_machine

_SERVER: tuple[Handler, ...] = (
    admit_machine,
    notice_rival,
    decline_address,
    release_address,
    offer_address,
    grant_request,
    inform_client,
    describe_network,
    name_boot_program,
    echo_identity,
    record_answer,
)
_PROXY: tuple[Handler, ...] = (
    offer_boot_program,
    admit_machine,
    name_boot_program,
    say_it_is_for_firmware,
    echo_identity,
    record_boot_offer,
)
CHAINS: Mapping[str, tuple[Handler, ...]] = {"server": _SERVER, "proxy": _PROXY}
