"""Simulated machines that speak the real protocols over real sockets, without root.

A machine is powered on and does what its firmware, boot loader, installer and installed system would do: it asks
for an address through a relay agent, fetches what it is named, reads the text that it is given as the real program
reads it, and calls back where the answer file says. Nothing here knows kickfleet's services: a wrong file makes a
machine fail as a real one would.

    texts/       what the machine is given to read: text in, frozen values out, no sockets
    net/         the wire: relay agent, DHCP client, TFTP client, HTTP client
    loaders/     PXELINUX, shim, GRUB, iPXE: one file each, one table
    installers/  Anaconda, the Debian installer: likewise
    firmware, machine, fleet: the stages of one machine, and many of them
"""
