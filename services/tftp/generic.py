"""Boot configurations for machines that have none of their own at the path they ask, served from memory.

GRUB builds that ask for nothing per machine (Debian's) branch here on their hardware address. A machine that nobody
registered boots its own disk. A registered one whose configuration was not rendered yet must not: it may be here to
be installed, so it starts over until the configuration is there.
"""

# `source` of a missing file says nothing and goes on; the machine's own file ends in `boot` and never comes back.
# `exit` is no way out: OVMF would stay in its set-up screen for good.
_GRUB_BRANCH = 'source "/grub/by-mac/$net_default_mac.cfg"\n'

_GRUB_STRANGER = f"""\
{_GRUB_BRANCH}echo "kickfleet has nothing for $net_default_mac: it boots from its disk"
set cpu=x64
if [ "$grub_cpu" = "arm64" ]; then
  set cpu=aa64
fi
for vendor in redhat rocky almalinux centos fedora ol debian ubuntu opensuse sles; do
  for program in shim grub; do
    if search --no-floppy --set=root --file /EFI/$vendor/$program$cpu.efi; then
      chainloader /EFI/$vendor/$program$cpu.efi
      boot
    fi
  done
done
for program in BOOT/BOOT$cpu.EFI Microsoft/Boot/bootmgfw.efi; do
  if search --no-floppy --set=root --file /EFI/$program; then
    chainloader /EFI/$program
    boot
  fi
done
echo "no disk of this machine has a boot loader; it starts over in a minute"
sleep 60
reboot
"""

_GRUB_WAITING = f"""\
{_GRUB_BRANCH}echo "the configuration of $net_default_mac is not rendered yet; it starts over in 15 seconds"
sleep 15
reboot
"""

_PXELINUX_STRANGER = """\
DEFAULT local
PROMPT 0
SAY kickfleet has nothing for this machine: it boots from its disk
LABEL local
  LOCALBOOT -1
"""


def generic(path: str, *, registered: bool) -> bytes | None:
    """The text at a path, for a machine that is registered or for a stranger; None where there is none.

    PXELINUX starts over by itself where it finds no configuration at all.
    """
    if path in ("grub/grub.cfg", "grub.cfg"):
        return (_GRUB_WAITING if registered else _GRUB_STRANGER).encode()
    if path == "pxelinux.cfg/default" and not registered:
        return _PXELINUX_STRANGER.encode()
    return None
