"""Slack's incoming webhooks: `text` for notifications and old clients, `blocks` for the message itself."""

import json

from services.inventory.sentences import sentence
from services.inventory.webhooks.notice import Format, Message, Notice, Reply

MARKS = {
    "install.done": ":white_check_mark:",
    "machine.booted": ":rocket:",
    "install.failed": ":x:",
    "install.stalled": ":hourglass:",
    "install.cancelled": ":heavy_minus_sign:",
}
LONGEST = 2900  # characters; a section takes 3000


def build(notice: Notice) -> Message:
    """One line: a mark, the machine, what happened; and one below it: profile, how long it took, the event's type."""
    event = notice.event
    who = notice.machine or event.mac or event.ip or "kickfleet"
    headline = f"*{_escaped(who)}*: {_escaped(sentence(event))}"
    facts = [notice.profile and f"profile {notice.profile}", _took(notice.took), f"`{event.TYPE}`"]
    details = " · ".join(_escaped(fact) for fact in facts if fact)
    body = {
        "text": f"{who}: {sentence(event)}"[:LONGEST],
        "blocks": [
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": f"{MARKS.get(event.TYPE, '')} {headline}".strip()[:LONGEST]},
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": details[:LONGEST]}]},
        ],
    }
    return Message(json.dumps(body).encode(), {"content-type": "application/json"})


def refusal(reply: Reply) -> str | None:
    """Slack answers 200 and `ok`; anything else names its error in the body."""
    if reply.status == 200:
        return None
    said = reply.body[:100].decode(errors="replace").strip()
    return f"Slack answered {reply.status}{f' ({said})' if said.isprintable() and said else ''}"


def _escaped(text: str) -> str:
    """The three characters that Slack reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _took(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s after the order" if minutes else f"{rest} s after the order"


FORMAT = Format(build, refusal)
