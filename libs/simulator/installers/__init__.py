"""Installers: what each reads, asks and tells; one file each, one table."""
