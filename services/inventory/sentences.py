"""Each event in a sentence, for people: diagnoses and chat messages quote them."""

from collections.abc import Mapping

from libs.envelope import Event

SENTENCES: Mapping[str, str] = {
    "lease.offered": "{e.ip} was offered ({e.client} client)",
    "lease.acknowledged": "{e.ip} was assigned ({e.client} client)",
    "lease.refused": "the address {e.requested} was refused: {e.reason}",
    "lease.declined": "the machine found {e.ip} in use by another host",
    "pool.exhausted": "subnet {e.subnet} has no free address ({e.leased} of {e.size} leased)",
    "rival.detected": "the DHCP server {e.server} answered as well, and was preferred",
    "machine.unknown": "{e.mac} asked for an address on subnet {e.subnet}",
    "transfer.failed": "{e.path} {e.reason} after {e.bytes} bytes (block {e.block}){e.detail:.80}",
    "bootconfig.fetched": "{e.path} arrived: boot {e.boots}",
    "answers.failed": "the answer file was refused: {e.reason}",
    "install.ordered": "profile {e.profile}, image {e.image}",
    "install.started": "the installer began",
    "install.progress": "{e.phase} {e.message}",
    "install.done": "the system is on the disk",
    "install.failed": "the installer gave up: {e.reason}",
    "install.cancelled": "withdrawn by {e.by}",
    "install.stalled": "stalled at {e.state} after {e.waited} s: {e.reason}",
    "machine.booted": "the machine came up from its disk",
    "state.changed": "{e.before} → {e.after}",
    "rollout.paused": "rollout {e.rollout} paused: {e.reason}",
    "rollout.finished": "rollout {e.rollout} finished: {e.installed} installed, {e.failed} failed",
}
FETCHED = "{e.path} arrived ({e.bytes} bytes, {e.seconds:.1f} s)"


def sentence(event: Event) -> str:
    """What happened, in a few words and without the machine's name."""
    fetched = FETCHED if event.TYPE.endswith(".fetched") else event.TYPE.replace(".", " ")
    return " ".join(SENTENCES.get(event.TYPE, fetched).format(e=event).split())
