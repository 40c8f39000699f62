"""Names on the command line, found in the API, with the nearest one where there is none."""

import difflib
from typing import Any
from urllib.parse import quote

from services.cli.api import Api
from services.cli.errors import WrongUse


async def named(api: Api, kind: str, name: str) -> dict[str, Any]:
    """The resource of a kind (`machines`) by its name. Raises WrongUse."""
    found: dict[str, Any] | None = await api.find(f"/v1/{kind}/{quote(name, safe='')}")
    if found is not None:
        return found
    known = [str(item["name"]) async for item in api.pages(f"/v1/{kind}")]
    raise WrongUse(f"there is no {kind.removesuffix('s')} {name!r}; {_hint(name, known, kind)}")


async def install_of(api: Api, target: str) -> dict[str, Any]:
    """An install by its id, or the latest one of a machine by the machine's name. Raises WrongUse."""
    found: dict[str, Any] | None = await api.find(f"/v1/installs/{quote(target, safe='')}")
    if found is not None:
        return found
    machine = await named(api, "machines", target)
    install = machine["status"]["install"]
    if install is None:
        raise WrongUse(f"no install of machine {target!r} was ever ordered; `kickfleet install {target}` orders one")
    latest: dict[str, Any] = await api.get(f"/v1/installs/{install}")
    return latest


def _hint(name: str, known: list[str], kind: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"`kickfleet {kind}` lists them"
