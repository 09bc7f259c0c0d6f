"""The command line. `main` is the program `gateway`; each group of commands has a file of its own."""

from __future__ import annotations

import importlib

import click

# Loaded when asked for, so that `gateway send` does not wait for the server's libraries.
_COMMANDS = {
    "init": ("gateway.cli.project", "init"),
    "serve": ("gateway.cli.serving", "serve"),
    "demo": ("gateway.cli.demo", "demo"),
    "sandbox": ("gateway.cli.serving", "sandbox"),
    "check": ("gateway.cli.checking", "check"),
    "test": ("gateway.cli.checking", "test"),
    "schema": ("gateway.cli.checking", "schema"),
    "try": ("gateway.cli.trying", "try_"),
    "explain": ("gateway.cli.trying", "explain"),
    "send": ("gateway.cli.sending", "send"),
    "tail": ("gateway.cli.sending", "tail"),
    "lanes": ("gateway.cli.operating", "lanes"),
    "pause": ("gateway.cli.operating", "pause"),
    "resume": ("gateway.cli.operating", "resume"),
    "deliveries": ("gateway.cli.operating", "deliveries"),
    "dead": ("gateway.cli.operating", "dead"),
    "retry": ("gateway.cli.operating", "retry"),
    "replay": ("gateway.cli.operating", "replay"),
    "destination": ("gateway.cli.destination", "destination"),
    "sync": ("gateway.cli.syncs", "sync"),
    "run": ("gateway.cli.runs", "run"),
    "backup": ("gateway.cli.keeping", "backup"),
    "restore": ("gateway.cli.keeping", "restore"),
    "doctor": ("gateway.cli.keeping", "doctor"),
    "openapi": ("gateway.cli.describing", "openapi"),
    "completion": ("gateway.cli.completion", "completion"),
}


class _Commands(click.Group):
    """Imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Names, in the order of a newcomer's questions."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "gateway":
                raise
            raise click.ClickException(
                f"`gateway {cmd_name}` needs {error.name}, which is missing: pip install 'audience-gateway[sandbox]'."
            ) from error
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="audience-gateway", prog_name="gateway")
def main() -> None:
    """Audience gateway: Segment events in, audience lists at ad platforms kept equal.

    \b
    Exit codes: 0 good · 1 failed · 2 what was given cannot be used · 3 held · 4 partly done
    """  # noqa: D301 # click reads the backslash
