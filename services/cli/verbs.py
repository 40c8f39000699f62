"""What all verbs share: `--config` and `--json`, wherever on the line they stand, and what follows from them."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any

import click

from libs.settings import Settings, load
from services.cli.errors import WrongUse


@dataclass
class Cli:
    """One call of the command line."""

    config: Path | None = None
    as_json: bool = False
    overrides: dict[str, object] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """The deployment's settings. Raises SettingsError."""
        return load(self.config, os.environ, self.overrides)


def _remember_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Cli).config = value.absolute()


def _remember_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    cli = context.ensure_object(Cli)
    cli.as_json = cli.as_json or value


def common_options() -> list[click.Option]:
    """The options of every verb."""
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The configuration file (default: ./kickfleet.toml where there is one).",
        expose_value=False,
        is_eager=True,
        callback=_remember_config,
    )
    as_json = click.Option(
        ["--json"],
        is_flag=True,
        help="Print JSON for programs.",
        expose_value=False,
        is_eager=True,
        callback=_remember_json,
    )
    return [config, as_json]


class Verb(click.Command):
    """A verb: a click command with the options that all have."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += common_options()


def verb(name: str, **settings: Any) -> Callable[[Callable[..., Any]], Verb]:
    """Declare a verb. Its function gets a `Cli` first; the first line of its docstring is its help."""
    return click.command(name, cls=Verb, **settings)


def awaited(function: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., int | None]:
    """Run an asynchronous verb in an event loop of its own, with the `Cli` as its first argument."""

    def run(context: click.Context, /, **arguments: Any) -> int | None:
        return asyncio.run(function(context.ensure_object(Cli), **arguments))

    return update_wrapper(click.pass_context(run), function)


def read_input(file: str) -> bytes:
    """A file's content, or standard input's for `-`. Raises WrongUse."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise WrongUse(f"{file} cannot be read: {error.strerror}") from None
