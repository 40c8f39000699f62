"""Several dhcp servers that serve the same subnets: who may give which address, and how their leases become one.

`partition` (who owns an address), `membership` (how servers come and go), `merge` (which of two records stands) are
pure; `identity` keeps on the disk what a server must know without the bus; `link` speaks with the others over it.
"""
