"""CloudEvents 1.0, structured mode (HTTP binding, section 3.2), signed as Standard Webhooks 1.0 has it."""

import base64
import binascii
import hashlib
import hmac
import json

from services.inventory.webhooks.notice import Format, Message, Notice

PREFIX = "whsec_"


def build(notice: Notice) -> Message:
    """The event. With a secret, `webhook-signature` is `v1,` and the HMAC-SHA256 of `<id>.<timestamp>.<body>`."""
    body = json.dumps(dict(notice.document), separators=(",", ":")).encode()
    timestamp = str(int(notice.now.timestamp()))
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": notice.event.id,
        "webhook-timestamp": timestamp,
    }
    if notice.secret:
        headers["webhook-signature"] = f"v1,{signature(notice.secret, notice.event.id, timestamp, body)}"
    return Message(body, headers)


def signature(secret: str, id: str, timestamp: str, body: bytes) -> str:
    """The signature in base64. A secret that begins with whsec_ is base64, any other is taken as it is."""
    signed = f"{id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


FORMAT = Format(build)
