"""The wire of simulated machines: real sockets, bound to the address that the machine was leased."""
