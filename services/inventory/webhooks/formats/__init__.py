"""The formats of webhooks: one file and one line each."""

from collections.abc import Mapping

from services.inventory.webhooks.formats import cloudevents, slack
from services.inventory.webhooks.notice import Format

FORMATS: Mapping[str, Format] = {
    "cloudevents": cloudevents.FORMAT,
    "slack": slack.FORMAT,
}
