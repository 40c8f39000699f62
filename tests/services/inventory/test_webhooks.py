"""Webhooks against a real receiver: bodies, signatures, retries, order, and addresses that are never told."""

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import Publisher
from libs.events import InstallDone, InstallFailed, InstallProgress
from services.inventory.webhooks.formats import cloudevents, slack
from services.inventory.webhooks.notice import Message, Notice, Reply
from services.inventory.webhooks.sending import Undelivered, is_public, new_client, post
from tests.services.inventory.receiver import Receiver, answer_of, receiver
from tests.services.inventory.support import START, fleet, inventory_of, mac_of, teller
from tests.support.running import nats_server, settings_in
from tests.support.waiting import until

SECRET = "whsec_" + base64.b64encode(b"a secret of some length").decode()


class Desk:
    """An inventory, a receiver, and somebody who tells events."""

    def __init__(self, api: httpx.AsyncClient, tell: Publisher, hook: Receiver) -> None:
        self.api = api
        self.tell = tell
        self.hook = hook

    async def declare(self, name: str = "ops", **more: Any) -> None:
        wanted = {"url": self.hook.url(), "format": "cloudevents", **more}
        (await self.api.put(f"/v1/webhooks/{name}", json=wanted)).raise_for_status()

    def done(self, number: int = 1, **more: Any) -> InstallDone:
        event = InstallDone(mac=mac_of(number), **more)
        self.tell.emit(event)
        return event

    async def deliveries(self, state: str, count: int, name: str = "ops") -> list[dict[str, Any]]:
        """Wait until so many deliveries are in a state."""
        found: list[dict[str, Any]] = []

        async def look() -> bool:
            items = (await self.api.get(f"/v1/webhooks/{name}/deliveries")).json()["items"]
            found[:] = [item for item in items if item["state"] == state]
            return len(found) >= count

        await until(look, f"{count} deliveries are {state}")
        return found


@asynccontextmanager
async def desk_of(folder: Path, **overrides: object) -> AsyncIterator[Desk]:
    settings = settings_in(folder, **overrides)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(nats_server(settings))
        hook = await stack.enter_async_context(receiver())
        api = await stack.enter_async_context(inventory_of(settings))
        tell = await stack.enter_async_context(teller(settings, folder))
        (await api.post("/v1/apply", json=fleet(3))).raise_for_status()
        yield Desk(api, tell, hook)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(tmp_path) as found:
        yield found


async def test_a_signed_cloudevent_arrives_once(desk: Desk) -> None:
    await desk.declare(secret=SECRET)
    event = desk.done()
    desk.tell.emit(InstallProgress(mac=mac_of(1), phase="not wanted"))
    await desk.deliveries("delivered", 1)
    (got,) = desk.hook.requests
    assert got.path == "/hook/s3cret"
    assert got.headers["content-type"] == "application/cloudevents+json"
    assert got.headers["host"] == f"127.0.0.1:{desk.hook.port}"
    document = json.loads(got.body)
    assert (document["id"], document["type"], document["specversion"]) == (event.id, "install.done", "1.0")
    assert document["data"]["machine"] == "node01"
    # As Standard Webhooks has it: base64 of the HMAC of id, timestamp and body, under the decoded secret.
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.digest(b"a secret of some length", signed, hashlib.sha256)).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


async def test_slack_gets_a_message_worth_reading(desk: Desk) -> None:
    (install,) = (await desk.api.post("/v1/installs", json={"machines": ["node01"]})).json()["items"]
    await desk.declare(format="slack", events=["install.failed"])
    desk.tell.emit(InstallFailed(mac=mac_of(1), install_id=install["id"], reason="no <disk> & no hope"))
    await desk.deliveries("delivered", 1)
    body = json.loads(desk.hook.requests[0].body)
    assert body["text"] == "node01: the installer gave up: no <disk> & no hope"
    section, context = body["blocks"]
    assert section["text"] == {
        "type": "mrkdwn",
        "text": ":x: *node01*: the installer gave up: no &lt;disk&gt; &amp; no hope",
    }
    assert "profile web · " in context["elements"][0]["text"]
    assert "after the order" in context["elements"][0]["text"]


async def test_a_receiver_that_fails_is_tried_again_in_order(desk: Desk) -> None:
    await desk.declare()
    desk.hook.answers = [answer_of(500), answer_of(429, retry_after="1"), b"HTTP/1.1 garbage\r\n\r\n"]
    events = [desk.done(number) for number in (1, 2, 3)]
    await desk.deliveries("delivered", 3)
    ids = [json.loads(got.body)["id"] for got in desk.hook.requests]
    assert ids == [events[0].id] * 4 + [events[1].id, events[2].id]


async def test_a_receiver_that_fails_delays_no_other(desk: Desk) -> None:
    async with receiver() as other:
        await desk.declare()
        await desk.declare("other", url=other.url())
        desk.hook.answers = [b""]  # it takes the request and says nothing
        desk.done()
        await desk.deliveries("delivered", 1, "other")
        assert [item["state"] for item in await desk.deliveries("pending", 1)] == ["pending"]


async def test_a_refusal_is_given_up_after_some_attempts(desk: Desk) -> None:
    await desk.declare(format="slack")
    await desk.declare("redirected", url=desk.hook.url("/moved"))
    desk.hook.answers = [answer_of(302, location=desk.hook.url("/elsewhere"))] * 10
    desk.done()
    (dead,) = await desk.deliveries("dead", 1)
    assert dead["attempts"] == 4
    (moved,) = await desk.deliveries("dead", 1, "redirected")
    assert moved["error"] == "the receiver answered 302"
    assert {got.path for got in desk.hook.requests} == {"/hook/s3cret", "/moved"}


async def test_private_targets_are_refused_unless_allowed(tmp_path: Path) -> None:
    async with desk_of(tmp_path, inventory__allow_private_webhooks=False) as desk:
        await desk.declare()
        desk.done()
        (waiting,) = await desk.deliveries("pending", 1)

        async def tried() -> bool:
            found = (await desk.deliveries("pending", 1))[0]
            waiting.update(found)
            return bool(found["error"])

        await until(tried, "the delivery was tried")
        remedy = "set inventory.allow_private_webhooks if that is meant"
        assert waiting["error"] == f"127.0.0.1 is a private address; {remedy}"
        assert desk.hook.requests == []


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), receiver() as hook, teller(settings, tmp_path) as tell:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            closed = held.getsockname()[1]
            async with inventory_of(settings) as api:
                desk = Desk(api, tell, hook)
                (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
                await desk.declare(url=f"http://127.0.0.1:{closed}/hook")
                event = desk.done()

                async def tried() -> bool:
                    return bool((await desk.deliveries("pending", 1))[0]["attempts"])

                await until(tried, "the delivery was tried in vain")
                (failed,) = await desk.deliveries("pending", 1)
                assert failed["error"].startswith("127.0.0.1 cannot be reached")
        async with inventory_of(settings) as api:
            desk = Desk(api, tell, hook)
            await desk.declare()
            await desk.deliveries("delivered", 1)
            assert [json.loads(got.body)["id"] for got in hook.requests] == [event.id]


async def test_old_events_are_no_news(desk: Desk) -> None:
    await desk.declare()
    desk.done(1, time=START - timedelta(days=2))
    event = desk.done(2)
    await desk.deliveries("delivered", 1)
    assert [json.loads(got.body)["id"] for got in desk.hook.requests] == [event.id]


async def test_a_webhook_that_is_removed_gets_nothing_more(desk: Desk) -> None:
    await desk.declare()
    desk.hook.answers = [answer_of(429, retry_after="3600")]
    desk.done()
    await until(lambda: desk.hook.requests, "the first attempt")
    (await desk.api.delete("/v1/webhooks/ops")).raise_for_status()
    assert (await desk.api.get("/v1/webhooks/ops/deliveries")).status_code == 404
    await desk.declare()
    event = desk.done(2)
    await desk.deliveries("delivered", 1)
    assert [json.loads(got.body)["id"] for got in desk.hook.requests[1:]] == [event.id]


async def test_a_webhook_that_is_mended_is_tried_at_once(desk: Desk) -> None:
    await desk.declare()
    desk.hook.answers = [answer_of(503, retry_after="3600")]
    event = desk.done()
    await until(lambda: desk.hook.requests, "the first attempt")

    async def waits() -> bool:
        return bool((await desk.deliveries("pending", 1))[0]["attempts"])

    await until(waits, "the failure is noted")
    await desk.declare(url=desk.hook.url("/mended"))
    await desk.deliveries("delivered", 1)
    assert [json.loads(got.body)["id"] for got in desk.hook.requests if got.path == "/mended"] == [event.id]


# --- one message ------------------------------------------------------------------------------------------------


async def send(url: str, *, allow_private: bool = True) -> Reply:
    async with new_client() as client:
        return await post(client, url, Message(b"{}"), allow_private=allow_private)


async def test_an_answer_without_end_is_cut_off() -> None:
    async with receiver() as hook:
        hook.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 1_000_000]
        reply = await send(hook.url())
    assert (reply.status, len(reply.body)) == (200, 65536)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/hook/s3cret?key=s3cret", "http://user:s3cret@127.0.0.1:{port}/"]
)
async def test_no_error_tells_the_address(url: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Undelivered) as caught:
            await send(url.format(port=held.getsockname()[1]))
    assert "s3cret" not in str(caught.value)
    too_long = "a" * 64  # no name server is asked for such a name
    with pytest.raises(Undelivered, match=r"is not known|makes no sense") as caught:
        await send(f"http://{too_long}/s3cret")
    assert "s3cret" not in str(caught.value)


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    async with receiver() as hook:
        await send(f"http://localhost:{hook.port}/x")
        assert hook.requests[0].headers["host"] == f"localhost:{hook.port}"
        with pytest.raises(Undelivered, match="localhost is a private address") as caught:
            await send(f"http://localhost:{hook.port}/x", allow_private=False)
        assert caught.value.final
        assert len(hook.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::"),
        *("64:ff9b::a00:1", "64:ff9b::7f00:1"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    expected = base64.b64encode(hmac.digest(b"plain", b"id.1.{}", hashlib.sha256)).decode()
    assert cloudevents.signature("plain", "id", "1", b"{}") == expected
    assert cloudevents.build(Notice(InstallDone(), {}, START)).headers.keys().isdisjoint({"webhook-signature"})


def test_slack_says_why_it_refused() -> None:
    assert slack.refusal(Reply(200, b"ok")) is None
    assert slack.refusal(Reply(404, b"no_service")) == "Slack answered 404 (no_service)"
