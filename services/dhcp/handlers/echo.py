"""What every answer carries: who answers, and the client's and the relay's own words back to them."""

from libs.wire.dhcp_options import Option
from services.dhcp.exchange import Desk, Exchange

# RFC 6842, RFC 3011 section 2, RFC 4578 section 2, RFC 3046 section 2.2; 82 is written last by the encoder.
_ECHOED = (
    Option.CLIENT_IDENTIFIER,
    Option.SUBNET_SELECTION,
    Option.CLIENT_MACHINE_IDENTIFIER,
    Option.RELAY_AGENT_INFORMATION,
)


def echo_identity(exchange: Exchange, _desk: Desk) -> None:
    """Message type, server identifier, and the echoes, in refusals too."""
    if exchange.answer is None:
        return
    exchange.options[Option.MESSAGE_TYPE] = bytes((exchange.answer,))
    exchange.options[Option.SERVER_IDENTIFIER] = exchange.server.packed
    for code in _ECHOED:
        if code in exchange.request.options and _is_wanted(exchange, code):
            exchange.options[code] = exchange.request.options[code]


def _is_wanted(exchange: Exchange, code: int) -> bool:
    """The machine identifier goes back to boot firmware alone."""
    return code != Option.CLIENT_MACHINE_IDENTIFIER or exchange.client.boots
