"""What a machine is given to read, as the real program reads it: text in, frozen values out; no sockets, no clock."""
