"""Events as sentences: one phrase for each type of the catalogue, about the machine that stands before it."""

from collections.abc import Callable, Mapping
from typing import Any

from services.cli.output import duration, plural, size

Data = Mapping[str, Any]
Phrase = Callable[[Data], str]

CLIENTS = {"pxe": "its firmware", "ipxe": "iPXE", "http": "its firmware (HTTP boot)", "other": "its system"}


def _client(data: Data) -> str:
    return CLIENTS.get(str(data.get("client")), "it")


def _offered(data: Data) -> str:
    boot = f", with {data['boot_file']}" if data.get("boot_file") else ""
    return f"{_client(data)} was offered {data.get('ip')}{boot}"


def _acknowledged(data: Data) -> str:
    verb = "renewed" if data.get("renewed") else "took"
    return f"{_client(data)} {verb} {data.get('ip')} for {duration(data.get('seconds') or 0)}"


def _refused(data: Data) -> str:
    why = f": {data['reason']}" if data.get("reason") else ""
    return f"asked for {data.get('requested') or 'an address'} and was refused{why}"


def _exhausted(data: Data) -> str:
    return (
        f"got no address: subnet {data.get('subnet')} has none left ({data.get('leased')} of {data.get('size')} leased)"
    )


def _rival(data: Data) -> str:
    return f"took the offer of another DHCP server, {data.get('server')}, on subnet {data.get('subnet')}"


def _unknown(data: Data) -> str:
    arch = f" ({data['arch']})" if data.get("arch") else ""
    return f"is not registered{arch} and asks for an address on subnet {data.get('subnet')}"


def _fetched(what: str) -> Phrase:
    def phrase(data: Data) -> str:
        seconds = data.get("seconds") or 0
        amount, again = size(data.get("bytes") or 0), data.get("retransmits") or 0
        extra = f", {again} sent again" if again else ""
        return f"has {what} {data.get('path')} by {data.get('protocol')}: {amount} in {duration(seconds)}{extra}"

    return phrase


def _bootconfig(data: Data) -> str:
    boots = "the installer" if data.get("boots") == "install" else "the disk"
    return f"has its boot configuration {data.get('path')}: boot {boots}"


def _transfer_failed(data: Data) -> str:
    reasons = {"aborted": "broke off", "timed_out": "stopped answering during", "missing": "asked in vain for"}
    verb = reasons.get(str(data.get("reason")), "was refused")
    whole = f" of {size(data['size'])}" if data.get("size") else ""
    progress = f" after {size(data['bytes'])}{whole}" if data.get("bytes") else ""
    detail = f" ({data['detail']})" if data.get("detail") else ""
    return f"{verb} {data.get('path')}{progress}{detail}"


def _progress(data: Data) -> str:
    percent = f" {data['percent']:.0f} %" if data.get("percent") is not None else ""
    message = f": {data['message']}" if data.get("message") else ""
    return f"installs: {data.get('phase') or 'at work'}{percent}{message}"


def _failed(data: Data) -> str:
    return f"failed to install: {data.get('reason') or 'the installer gave no reason'}"


def _changed(data: Data) -> str:
    fields = ", ".join(data.get("changed") or [])
    return "was declared anew" + (f": {fields}" if fields else "")


def _ordered(data: Data) -> str:
    by = f" by {data['by']}" if data.get("by") else ""
    return f"is to be installed with {data.get('profile')} ({data.get('image')}), ordered{by}"


def _cancelled(data: Data) -> str:
    return "is not to be installed any more" + (f", says {data['by']}" if data.get("by") else "")


def _stalled(data: Data) -> str:
    waited = duration(data.get("waited") or 0)
    expected = data.get("reason") or f"{data.get('expected') or 'the next milestone'} did not come"
    return f"is stalled in {data.get('state')} for {waited}: {expected}"


def _state(data: Data) -> str:
    return f"{data.get('before')} → {data.get('after')}"


def _rollout(data: Data) -> str:
    return f"rollout {data.get('rollout')} began with {plural(int(data.get('machines') or 0), 'machine')}"


def _rollout_finished(data: Data) -> str:
    return f"rollout {data.get('rollout')} ended: {data.get('installed')} installed, {data.get('failed')} failed"


PHRASES: Mapping[str, Phrase] = {
    "lease.offered": _offered,
    "lease.acknowledged": _acknowledged,
    "lease.refused": _refused,
    "lease.declined": lambda data: f"found {data.get('ip')} in use by another host",
    "lease.released": lambda data: f"gave {data.get('ip')} back",
    "lease.expired": lambda data: f"let its lease of {data.get('ip')} run out",
    "pool.exhausted": _exhausted,
    "rival.detected": _rival,
    "machine.unknown": _unknown,
    "pxelinux.fetched": _fetched("the boot loader"),
    "grub.fetched": _fetched("the boot loader"),
    "ipxe.fetched": _fetched("the boot loader"),
    "shim.fetched": _fetched("the boot loader"),
    "bootconfig.fetched": _bootconfig,
    "kernel.fetched": _fetched("the kernel"),
    "initrd.fetched": _fetched("the initial ram disk"),
    "file.fetched": _fetched("the file"),
    "transfer.failed": _transfer_failed,
    "answers.fetched": _fetched("its answers"),
    "answers.failed": lambda data: f"gets no answer file: {data.get('reason')}",
    "install.started": lambda _: "has begun to install",
    "install.progress": _progress,
    "install.done": lambda _: "is installed; its next boot is from the disk",
    "install.failed": _failed,
    "machine.registered": lambda _: "was registered",
    "machine.changed": _changed,
    "machine.removed": lambda _: "was removed from the fleet",
    "machine.discovered": lambda _: "told what it is made of",
    "install.ordered": _ordered,
    "install.cancelled": _cancelled,
    "install.stalled": _stalled,
    "machine.booted": lambda _: "came up from its disk",
    "state.changed": _state,
    "rollout.started": _rollout,
    "rollout.paused": lambda data: f"rollout {data.get('rollout')} paused: {data.get('reason')}",
    "rollout.finished": _rollout_finished,
}


def who(data: Data) -> str:
    """What to call the machine of an event: its name, else its hardware address, else its address."""
    return str(data.get("machine") or data.get("mac") or data.get("ip") or "–")


def sentence(kind: str, data: Data) -> str:
    """What happened, without the machine. A type that only a newer kickfleet knows is told as it came."""
    phrase = PHRASES.get(kind)
    return phrase(data) if phrase else f"{kind} {dict(data)}"
