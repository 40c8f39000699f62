"""Fuzz targets: each is a module of this name."""

TARGETS = ("dhcp", "tftp")
