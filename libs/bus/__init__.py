"""The message bus: the only room that speaks to NATS."""

from libs.bus.connection import Bus
from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import BusUnavailable, ConflictError
from libs.bus.ledger import Entry, Ledger
from libs.bus.publisher import Publisher
from libs.bus.replica import Replica
from libs.bus.spool import Record, Spool
from libs.bus.stream import Message
from libs.bus.writer import Writer

__all__ = [
    "Bus",
    "BusUnavailable",
    "ConflictError",
    "EmbeddedServer",
    "Entry",
    "Ledger",
    "Message",
    "Publisher",
    "Record",
    "Replica",
    "Spool",
    "Writer",
]
