"""The installers that a simulated machine can run: to add one, write its file and add its line here."""

from libs.simulator.errors import BootError
from libs.simulator.installers.anaconda import ANACONDA
from libs.simulator.installers.debian import DEBIAN
from libs.simulator.installers.installer import Kind
from libs.simulator.texts.cmdline import CommandLine

KINDS = (ANACONDA, DEBIAN)


def kind_of(line: CommandLine) -> tuple[Kind, str]:
    """The installer and its answer file's address. Raises BootError where the command line names none.

    Which installer a kernel belongs to follows from the option that its command line uses.
    """
    for kind in KINDS:
        url = line.get(*kind.options)
        if url:
            return kind, url
    wanted = ", ".join(f"{name}=" for kind in KINDS for name in kind.options)
    raise BootError(f"the kernel command line names no answer file ({wanted}): the installer would ask a person")
