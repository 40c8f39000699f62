"""The service as machines and operators see it: tokens, answer files, scripts, questions, health."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest

from libs.bus import BusUnavailable
from libs.desired import MACHINES
from libs.service import ServiceError, serve
from services.kickstart.rpc import SUBJECT
from services.kickstart.service import kickstart
from tests.services.kickstart.examples import DEBIAN, TOKEN, machine
from tests.services.kickstart.world import World
from tests.support.running import settings_in
from tests.support.waiting import until

BY_MAC = "pxelinux.cfg/01-52-54-00-00-00-01"


async def test_an_answer_file_goes_to_the_tokens_bearer_alone(house: World) -> None:
    await house.order()
    for name in ("ks.cfg", "answers"):
        response = await house.http.get(f"/i/{TOKEN}/{name}")
        assert response.status_code == 200
        assert "url --url=http://127.0.0.1:" in response.text
        assert response.headers["cache-control"] == "no-store"
    event = await house.until_event("answers.fetched", machine="node01")
    assert (event.mac, event.install_id, event.ip) == ("52:54:00:00:00:01", "i1", "127.0.0.1")
    assert (event.bytes, event.protocol, event.path) == (len(response.content), "http", "ks.cfg")
    await until(lambda: len(house.tape.of("answers.fetched")) == 2, "every fetch is an event")
    head = await house.http.head(f"/i/{TOKEN}/ks.cfg")
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(response.content))
    for token in ("nobody", TOKEN[:-1], TOKEN + "x", "%00", "a" * 5000):
        assert (await house.http.get(f"/i/{token}/ks.cfg")).status_code == 403
    assert (await house.http.get(f"/i/{TOKEN}/shadow")).status_code == 404


async def test_a_preseed_is_served_to_a_debian_installer(house: World) -> None:
    await house.order(image=DEBIAN)
    assert "d-i preseed/late_command" in (await house.http.get(f"/i/{TOKEN}/preseed.cfg")).text


async def test_no_token_is_told_to_the_bus(house: World) -> None:
    await house.order()
    await house.http.get(f"/i/{TOKEN}/ks.cfg")
    await house.call("started")
    await house.until_event("install.started")
    assert all(TOKEN.encode() not in message.data for message in house.tape.messages)


async def test_an_answer_file_that_cannot_be_rendered(house: World) -> None:
    (house.templates / "own.j2").write_text("x\n{{ vars.rack }}\n")
    await house.order(answers="own.j2")
    response = await house.http.get(f"/i/{TOKEN}/ks.cfg")
    assert (response.status_code, response.text) == (500, "own.j2, line 2: vars.rack is not defined\n")
    event = await house.until_event("answers.failed")
    assert (event.reason, event.path, event.install_id) == (response.text.strip(), "own.j2", "i1")
    (house.templates / "own.j2").write_text("reboot\n")
    assert (await house.http.get(f"/i/{TOKEN}/ks.cfg")).text == "reboot\n"


async def test_an_ipxe_script_for_the_machine(house: World) -> None:
    await house.order()
    for spelled in ("52-54-00-00-00-01", "52:54:00:00:00:01", "525400000001"):
        response = await house.http.get(f"/boot/ipxe/{spelled}")
        assert response.text.startswith("#!ipxe\n")
        assert TOKEN in response.text
    event = await house.until_event("bootconfig.fetched", install_id="i1", boots="install", protocol="http")
    assert event.bytes == len(response.content)
    for nobody in ("52-54-00-00-00-99", "ff-ff-ff-ff-ff-ff", "x"):
        assert (await house.http.get(f"/boot/ipxe/{nobody}")).status_code == 404
    await house.order(netboot="disk", install=None)
    assert "sanboot" in (await house.http.get("/boot/ipxe/52-54-00-00-00-01")).text
    await house.until_event("bootconfig.fetched", boots="disk", install_id=None)
    await house.put(MACHINES, machine(netboot="deny", install=None))
    await house.until_no_boot_files()
    assert (await house.http.get("/boot/ipxe/52-54-00-00-00-01")).status_code == 404


async def ask(house: World, **question: object) -> dict[str, Any]:
    """The answer, from a service that may not have found the bus yet."""

    async def answered() -> dict[str, Any] | None:
        with contextlib.suppress(BusUnavailable):
            return await house.bus.request(SUBJECT, question, 30)
        return None

    found: dict[str, Any] = await until(answered, "the service answers questions")
    return found


async def test_an_operator_sees_what_a_machine_would_be_given(house: World) -> None:
    await house.order(netboot="disk", install=None)
    document = machine(netboot="disk", install=None).model_dump(mode="json")
    (shown,) = (await ask(house, machines=[document]))["results"]
    assert shown["errors"] == []
    files = shown["files"]
    assert "/i/preview/ks.cfg" in files[BY_MAC]
    assert "%packages" in files["ks.cfg"]
    (now,) = (await ask(house, machines=[document], install=False))["results"]
    assert "LOCALBOOT" in now["files"][BY_MAC]
    (judged,) = (await ask(house, machines=[document], content=False))["results"]
    assert judged["files"] == {}


async def test_an_operator_is_told_what_is_wrong(house: World) -> None:
    (house.templates / "own.j2").write_text("cmdline\nlang {{ vars.language }}\n")
    (house.templates / "bad.j2").write_text("cmdline\nnonsense\n")
    question = [machine(answers=name).model_dump(mode="json") for name in ("own.j2", "bad.j2", "none.j2")]
    own, bad, none = (await ask(house, machines=question, validate=True, content=False))["results"]
    assert own["errors"] == [
        {
            "file": "ks.cfg",
            "template": "own.j2",
            "line": 2,
            "variable": "vars.language",
            "message": "vars.language is not defined",
        }
    ]
    assert "line 2 as rendered, 'nonsense': " in str(bad["errors"])
    assert "there is no template 'none.j2'" in str(none["errors"])


async def test_a_subnet_that_is_not_declared_yet_can_be_asked_with(house: World) -> None:
    document = machine(address="10.99.0.5").model_dump(mode="json")
    subnet = {"name": "new", "cidr": "10.99.0.0/24", "domain": "new.example"}
    (shown,) = (await ask(house, machines=[document], subnets=[subnet]))["results"]
    assert "node01.new.example" in str(shown["files"])


@pytest.mark.parametrize("question", [{}, {"machines": 3}, {"machines": [{"name": 1}]}, {"machines": [], "subnets": 1}])
async def test_a_question_that_cannot_be_read(house: World, question: dict[str, object]) -> None:
    assert "cannot be read" in (await ask(house, **question))["error"]


async def test_health_and_metrics(house: World) -> None:
    await house.order()
    await house.http.get(f"/i/{TOKEN}/ks.cfg")

    async def ready() -> bool:
        return (await house.http.get("/readyz")).status_code == 200

    await until(ready, "the service is ready")
    text = (await house.http.get("/metrics")).text
    assert 'kickfleet_kickstart_requests_total{kind="answers",status="200"} 1.0' in text
    assert "kickfleet_kickstart_machines 1.0" in text


async def test_a_port_in_use_is_one_sentence(house: World) -> None:
    port = httpx.URL(str(house.http.base_url)).port
    settings = settings_in(house.settings.data / "second", kickstart__listen=f"127.0.0.1:{port}")
    with pytest.raises(ServiceError, match="the port is in use"):
        await serve("kickstart", kickstart, settings, stop=asyncio.Event())
