"""The boot programs that a simulated machine can run, by their kind."""

from collections.abc import Awaitable, Callable, Mapping

from libs.simulator.boot import Next
from libs.simulator.loaders import grub, pxelinux, shim
from libs.simulator.loaders.environment import Environment
from libs.simulator.loaders.programs import Kind
from libs.simulator.net.tftp_receiver import GRUB, PXELINUX, SHIM, Habit

Run = Callable[[Environment, str], Awaitable[Next]]

# How each of them asks TFTP for a program that it starts in its turn. iPXE is no row here: it begins with DHCP.
LOADERS: Mapping[Kind, tuple[Run, Habit]] = {
    "pxelinux": (pxelinux.run, PXELINUX),
    "shim": (shim.run, SHIM),
    "grub": (grub.run, GRUB),
}
