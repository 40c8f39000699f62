"""What can go wrong with the bus."""


class BusUnavailable(Exception):
    """The bus did not take or answer the request in time; it may be away or restarting."""


class ConflictError(Exception):
    """Somebody else has written the key since the revision that was named."""
