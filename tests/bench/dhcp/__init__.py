"""DHCP servers side by side: `make bench-dhcp`, as root. README.md of the folder above tells what was found."""
