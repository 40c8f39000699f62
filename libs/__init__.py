"""What the services share: keys, events, settings, wire formats and the bus. Never imports a service."""
