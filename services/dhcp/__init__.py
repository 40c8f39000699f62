"""The DHCP service: addresses for the fleet's machines, and the boot program for those that ask for one."""
