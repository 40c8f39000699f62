"""TFTP servers side by side: ours, tftpd-hpa, atftpd, dnsmasq and tftpy, under a load generator in C."""
