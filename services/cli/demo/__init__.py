"""The demo: simulated machines install through the real services, on loopback and without root."""
