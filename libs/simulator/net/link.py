"""A machine's network card: the one place where datagrams get lost on purpose."""

from dataclasses import dataclass, field
from random import Random


@dataclass
class Link:
    """Loses datagrams with a probability; the same seed loses the same ones."""

    loss: float = 0.0
    random: Random = field(default_factory=Random)
    received: int = 0  # octets of files

    def loses(self) -> bool:
        """Is the next datagram lost?"""
        return self.loss > 0 and self.random.random() < self.loss
