"""From an answered Exchange to the octets that leave."""

from collections.abc import Mapping
from functools import lru_cache

from libs.wire import WireError
from libs.wire.dhcp import BOOTREPLY, NONE, Message, encode, encoded_size
from libs.wire.dhcp_options import MessageType, Option, read_u16
from services.dhcp.boot import FILE_FIELD
from services.dhcp.delivery import deliver, flags
from services.dhcp.exchange import Exchange, Reply

SMALLEST_LIMIT = 576  # octets of IP datagram that every host takes (RFC 2131 section 2)
LARGEST_LIMIT = 1500  # Ethernet's; firmware has been seen to say 65280
_HEADERS = 28  # IP and UDP
_FIXED = 241  # octets of a message without options: header, cookie, END

# RFC 2131 section 4.3.2, table 3: what a refusal may carry (61 by RFC 6842).
_IN_REFUSAL = frozenset(
    {
        Option.MESSAGE_TYPE,
        Option.SERVER_IDENTIFIER,
        Option.MESSAGE,
        Option.CLIENT_IDENTIFIER,
        Option.RELAY_AGENT_INFORMATION,
    }
)
_FIRST = (Option.MESSAGE_TYPE, Option.SERVER_IDENTIFIER, Option.LEASE_TIME, Option.SUBNET_MASK)
# What goes overboard where a client takes only small messages, the least needed first.
_DISPENSABLE = (
    Option.BROADCAST_ADDRESS,
    Option.REBINDING_TIME,
    Option.RENEWAL_TIME,
    Option.DOMAIN_NAME,
    Option.HOST_NAME,
    Option.DOMAIN_NAME_SERVER,
)


def compose(exchange: Exchange) -> Reply | None:
    """The reply of an exchange; None where it has no answer."""
    if exchange.answer is None:
        return None
    message = _refusal(exchange) if exchange.answer is MessageType.NAK else _grant(exchange)
    return Reply(encode(message), deliver(exchange, message), exchange.answer)


def _grant(exchange: Exchange) -> Message:
    request, boot = exchange.request, exchange.boot
    file = boot.file.encode() if boot else b""
    return Message(
        op=BOOTREPLY,
        htype=request.htype,
        xid=request.xid,
        flags=flags(exchange),
        chaddr=request.chaddr,
        ciaddr=NONE if exchange.answer is MessageType.OFFER else request.ciaddr,
        yiaddr=exchange.yiaddr or NONE,
        siaddr=boot.server if boot else NONE,
        giaddr=request.giaddr,
        file=file if len(file) <= FILE_FIELD else b"",
        options=fitted(ordered(exchange.options, request), room(request)),
    )


def _refusal(exchange: Exchange) -> Message:
    request = exchange.request
    return Message(
        op=BOOTREPLY,
        htype=request.htype,
        xid=request.xid,
        flags=flags(exchange),
        chaddr=request.chaddr,
        giaddr=request.giaddr,
        options={code: value for code, value in exchange.options.items() if code in _IN_REFUSAL},
    )


def ordered(options: Mapping[int, bytes], request: Message) -> dict[int, bytes]:
    """Type, server, times and mask first, then as the client listed them (RFC 2132 section 9.8), then the rest."""
    wishes = request.options.get(Option.PARAMETER_REQUEST_LIST, b"")
    return {code: options[code] for code in _order(wishes, tuple(options))}


@lru_cache(maxsize=512)
def _order(wishes: bytes, codes: tuple[int, ...]) -> tuple[int, ...]:
    # Whole fleets ask for the same, and get the same.
    return tuple(code for code in dict.fromkeys((*_FIRST, *wishes, *codes)) if code in codes)


def room(request: Message) -> int:
    """Octets for options in a message that this client takes (option 57, RFC 2132 section 9.10)."""
    try:
        limit = read_u16(request.options[Option.MAXIMUM_MESSAGE_SIZE])
    except (KeyError, WireError):
        limit = SMALLEST_LIMIT
    return min(max(limit, SMALLEST_LIMIT), LARGEST_LIMIT) - _HEADERS - _FIXED


def fitted(options: dict[int, bytes], room: int) -> dict[int, bytes]:
    """The options that fit, the dispensable ones given up first; never moved to `file` or `sname`."""
    octets = sum(map(len, options.values()))
    if octets + octets // 64 + 2 * len(options) <= room:  # more than the codes and lengths can take
        return options
    size = sum(encoded_size(value) for value in options.values())
    for code in _DISPENSABLE:
        if size <= room:
            break
        if code in options:
            size -= encoded_size(options.pop(code))
    return options
