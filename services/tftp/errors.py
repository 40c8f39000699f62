"""Why a request is not served: what the client is told, and what is reported. No message ever names a path."""

from typing import ClassVar

from libs.wire.tftp import ErrorCode


class NotServedError(Exception):
    """A request that is answered with ERROR; `text` goes to the client."""

    code: ClassVar[ErrorCode] = ErrorCode.UNDEFINED
    reason: ClassVar[str] = "refused"  # as `transfer.failed` says it
    text: ClassVar[str] = "not served"


class MissingError(NotServedError):
    """There is no such file."""

    code = ErrorCode.FILE_NOT_FOUND
    reason = "missing"
    text = "file not found"


class ExpectedMissError(MissingError):
    """There is no such file, and the client that asks does not count on it."""


class RefusedError(NotServedError):
    """The path leads out of the folder that is served, or to something that is no file or cannot be read."""

    code = ErrorCode.ACCESS_VIOLATION
    text = "access refused"


class WritingError(NotServedError):
    """The client wants to store a file."""

    code = ErrorCode.ACCESS_VIOLATION
    text = "this server is read-only"


class ModeError(NotServedError):
    """The mode is neither octet nor netascii."""

    code = ErrorCode.ILLEGAL_OPERATION
    text = "ask in mode octet or netascii"


class TooLargeForTextError(NotServedError):
    """netascii is for texts; a file of this size is none."""

    text = "the file is too large for netascii, ask in mode octet"


class ChangingError(NotServedError):
    """The file was written to while it was read for netascii."""

    text = "the file is being written, ask again"
