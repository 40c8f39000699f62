"""What nginx tells when it serves the images in kickstart's place: one line of its access log a request, by syslog.

`deploy/nginx/kickfleet.conf` has the format: nginx's variables as a JSON object (`log_format … escape=json`) behind the
header of RFC 3164. Datagrams may be lost, repeated, or come from anyone who can reach the port.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, ValidationError
from structlog.typing import FilteringBoundLogger

from libs.service import bind_error
from libs.settings import HostPort

MAX_LINE = 8192  # octets
_HEADER = re.compile(rb"<\d{1,3}>[^{]{0,256}kickfleet: ")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
Count = Annotated[int, Field(ge=0, lt=2**63)]


class LogError(ValueError):
    """A datagram is no line of our access log."""


class Served(BaseModel):
    """One request as nginx saw its end. Names are those of nginx's variables."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    remote_addr: IPvAnyAddress
    request_method: str
    uri: Annotated[str, Field(max_length=4096)]
    status: Annotated[int, Field(ge=0, le=999)]  # 0: the client was gone before the headers
    body_bytes_sent: Count
    request_time: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # seconds
    request_completion: Literal["OK", ""]
    sent_http_content_range: Annotated[str, Field(max_length=128)] = ""

    @property
    def path(self) -> str:
        """The path below /images/. nginx has decoded it and made `//` one."""
        return self.uri.removeprefix("/images/")

    @property
    def span(self) -> tuple[int, int] | None:
        """The first octet and the one behind the last of a part; None for a whole file."""
        match = _CONTENT_RANGE.fullmatch(self.sent_http_content_range) if self.status == 206 else None
        return (int(match[1]), int(match[2]) + 1) if match else None


def parse_line(datagram: bytes) -> Served:
    """Read one datagram. Raises LogError, which names the field at fault."""
    header = _HEADER.match(datagram)
    if header is None or len(datagram) > MAX_LINE:
        raise LogError(f"not a syslog message with the tag `kickfleet` of at most {MAX_LINE} bytes")
    try:
        served = Served.model_validate_json(datagram[header.end() :])
    except ValidationError as error:
        first = error.errors()[0]
        raise LogError(f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}") from None
    if not served.uri.startswith("/images/"):
        raise LogError("uri: it does not begin with /images/")
    return served


class LogReceiver(asyncio.DatagramProtocol):
    """Takes the datagrams. What is no line of ours is counted, and told once."""

    def __init__(self, take: Callable[[Served], None], log: FilteringBoundLogger) -> None:
        self._take = take
        self._log = log
        self.refused = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One line."""
        try:
            served = parse_line(data)
        except LogError as error:
            self.refused += 1
            if self.refused == 1:
                self._log.warning("a datagram is no line of nginx's access log", sender=addr[0], error=str(error))
            return
        self._take(served)


async def receive_log(
    listen: HostPort, take: Callable[[Served], None], log: FilteringBoundLogger
) -> asyncio.DatagramTransport:
    """Listen for nginx's access log. Raises ServiceError."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: LogReceiver(take, log), local_addr=(listen.host, listen.port)
        )
    except OSError as error:
        raise bind_error(error, "the receiver of nginx's access log", f"udp {listen}") from None
    return transport
