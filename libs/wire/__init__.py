"""Wire formats: bytes to frozen messages and back. No sockets, no clock, no files."""

from typing import ClassVar


class WireError(ValueError):
    """The octets are not a message of the protocol. `reason` is a short label, fit for a metric."""

    reason: ClassVar[str] = "malformed"


class TruncatedError(WireError):
    """The message ends inside a field."""

    reason = "truncated"


class UnterminatedError(WireError):
    """A text runs to the end of the message without the zero octet that ends it."""

    reason = "unterminated"


class FieldOverflowError(WireError):
    """A value does not fit the field that is to carry it."""

    reason = "overflow"
