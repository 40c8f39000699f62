"""The command line: one table of verbs, and one place where every ending becomes a message and an exit code."""

import difflib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import click

from libs.settings import SettingsError
from services.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_USE, CliError
from services.cli.verbs import Cli, common_options

COMMANDS = "services.cli.commands"
# The verbs in the sections of the help, each with its module: it is read when the verb is used, so that all are quick.
VERBS: Mapping[str, Mapping[str, str]] = {
    "Run": dict.fromkeys(("up", "dhcp", "tftp", "kickstart", "inventory"), "running"),
    "Declare and order": {"apply": "apply", "install": "install", "cancel": "install", "retry": "install"}
    | {"release": "leases", "adopt": "unknown"},
    "Look": {
        **dict.fromkeys(("machines", "installs", "images", "profiles", "subnets", "webhooks"), "listing"),
        **{
            "events": "events",
            "tail": "events",
            "why": "machine",
            "render": "machine",
            "leases": "leases",
            "unknown": "unknown",
            "transfers": "transfers",
        },
    },
    "Try": {"doctor": "doctor", "simulate": "simulate", "demo": "demo"},
}
MODULES = {name: module for section in VERBS.values() for name, module in section.items()}


class Kickfleet(click.Group):
    """All verbs; the help shows them in their sections."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(MODULES)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, which has its name in its module."""
        if cmd_name not in MODULES:
            return None
        found: click.Command = getattr(importlib.import_module(f"{COMMANDS}.{MODULES[cmd_name]}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A list of verbs under each heading."""
        limit = formatter.width - max(map(len, MODULES)) - 6
        for heading, names in VERBS.items():
            verbs = [verb for name in names if (verb := self.get_command(ctx, name))]
            with formatter.section(heading):
                formatter.write_dl([(verb.name or "", verb.get_short_help_str(limit)) for verb in verbs])


def _version() -> str:
    try:
        return metadata.version("kickfleet")
    except metadata.PackageNotFoundError:
        return "of a checkout that is not installed (`make setup`)"


@click.group(
    cls=Kickfleet,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=list[click.Parameter](common_options()),
)
@click.version_option(_version(), message="kickfleet %(version)s")
def kickfleet() -> None:
    """Bare machines install themselves over the network; you see where each one is, and why one stopped."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one call; returns the exit code. 0: done, 1: failed, 2: wrong use or wrong input, 130: interrupted."""
    cli = Cli()
    try:
        result: Any = kickfleet.main(argv, prog_name="kickfleet", standalone_mode=False, obj=cli)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as shown:
        print(shown.format_message())
        return EXIT_WRONG_USE
    except click.ClickException as error:
        return _say(cli, _usage(error), EXIT_WRONG_USE)
    except SettingsError as error:
        return _say(cli, str(error), EXIT_WRONG_USE)
    except CliError as error:
        return _say(cli, str(error), error.exit_code, error)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _internal(cli, error)


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "kickfleet"
    if isinstance(error, click.exceptions.NoSuchCommand):
        near = difflib.get_close_matches(error.command_name, MODULES, n=1, cutoff=0.5)
        return f"there is no verb `{error.command_name}`; {_hint(near, path)}"
    if isinstance(error, click.NoSuchOption):
        return f"there is no option `{error.option_name}`; {_hint(error.possibilities, path)}"
    message = error.format_message().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; see `{path} --help`"


def _hint(possibilities: Sequence[str] | None, path: str) -> str:
    return f"did you mean `{possibilities[0]}`?" if possibilities else f"see `{path} --help`"


def _say(cli: Cli, message: str, code: int, error: CliError | None = None) -> int:
    if cli.as_json:
        problems = error.problems if error else []
        print(json.dumps({"error": message, "exit_code": code, "problems": problems}), file=sys.stderr)
    else:
        details = map(_line, error.details if error else [])
        print("\n".join([f"kickfleet: {message}", *details]), file=sys.stderr)
    return code


def _line(problem: Mapping[str, str]) -> str:
    """Where it is written, what it is called, what is wrong, what would help."""
    places = [problem[key] for key in ("where", "field") if problem.get(key)]
    remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
    return "  " + ": ".join([*places, problem["message"]]) + remedy


def _internal(cli: Cli, error: Exception) -> int:
    if "KICKFLEET_DEBUG" in os.environ:
        traceback.print_exc()
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = (
        f"this is a fault of kickfleet itself: {type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
    )
    return _say(cli, f"{text}; KICKFLEET_DEBUG=1 shows more", EXIT_FAILED)
