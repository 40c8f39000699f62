"""Server-sent events, as the HTML standard defines them (section 9.2.6): text lines in, events out. No sockets."""

from dataclasses import dataclass, field

LONGEST_EVENT = 4 * 1024 * 1024  # characters of one event's data


@dataclass(frozen=True)
class ServerEvent:
    """One event of the stream. `id` is what Last-Event-ID would resume after."""

    id: str
    kind: str
    data: str


@dataclass
class Parser:
    """Feed it line by line; a blank line ends an event. `retry`: milliseconds that the server asks to wait."""

    last_id: str = ""
    retry: int | None = None
    _kind: str = ""
    _data: list[str] = field(default_factory=list)
    _size: int = 0

    def feed(self, line: str) -> ServerEvent | None:
        """The event that this line completes, if it does. Raises ValueError for one that is too long."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value) + 1
            if self._size > LONGEST_EVENT:
                raise ValueError(f"an event is longer than {LONGEST_EVENT} characters")
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, kind = "\n".join(self._data), self._kind or "message"
        complete = bool(self._data)
        self._data, self._kind, self._size = [], "", 0
        return ServerEvent(self.last_id, kind, data) if complete else None
