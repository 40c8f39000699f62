"""One message to one address on the web: checked, bounded, and silent about the address, which is a credential."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from services.inventory.webhooks.notice import Message, Reply

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
WHOLE = 20.0  # seconds for everything, also a receiver that answers octet by octet
MOST_ANSWER = 64 * 1024
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, section 2.1
LONGEST_WAIT = 3600.0  # seconds that a receiver may ask us to wait


class Undelivered(Exception):
    """The message did not get there. `later`: seconds that the receiver asks to wait; `final`: do not try again."""

    def __init__(self, reason: str, *, later: float | None = None, final: bool = False) -> None:
        super().__init__(reason)
        self.later = later
        self.final = final


def new_client() -> httpx.AsyncClient:
    """A client that follows nothing, asks no proxy, and opens a connection for each message.

    Connections are made to the address that was checked: one that is kept could be another host's next time.
    """
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False, limits=limits)


async def post(client: httpx.AsyncClient, address: str, message: Message, *, allow_private: bool) -> Reply:
    """Post a message. Raises Undelivered, whose text names neither path nor query of the address."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        raise Undelivered("the webhook's address makes no sense", final=True) from None
    try:
        async with asyncio.timeout(WHOLE):
            target = await _resolve(url, allow_private=allow_private)
            request = client.build_request(
                "POST",
                url.copy_with(host=str(target)),
                content=message.body,
                headers={**message.headers, "host": url.netloc.decode(), "user-agent": "kickfleet"},
                extensions={"sni_hostname": url.host},
            )
            response = await client.send(request, stream=True)
            try:
                return Reply(response.status_code, await _read(response), _retry_after(response))
            finally:
                await response.aclose()
    except TimeoutError:
        raise Undelivered(f"{url.host} did not answer in time") from None
    except httpx.TimeoutException:
        raise Undelivered(f"{url.host} did not answer in time") from None
    except httpx.HTTPError as error:
        raise Undelivered(f"{url.host} cannot be reached: {_reason(error)}") from None


async def _resolve(url: httpx.URL, *, allow_private: bool) -> IPv4Address | IPv6Address:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undelivered(f"the name {url.host} is not known") from None
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses:
        raise Undelivered(f"the name {url.host} has no address")
    if not allow_private and not all(is_public(address) for address in addresses):
        remedy = "set inventory.allow_private_webhooks if that is meant"
        raise Undelivered(f"{url.host} is a private address; {remedy}", final=True)
    return addresses[0]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet, also when IPv4 is wrapped into IPv6."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return is_public(inner)
    return address.is_global and not address.is_multicast


async def _read(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MOST_ANSWER:
            break
    return body[:MOST_ANSWER]


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else None


def _reason(error: httpx.HTTPError) -> str:
    text = str(error)
    return text if text and "://" not in text else type(error).__name__
