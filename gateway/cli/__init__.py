"""The command line. `main` is the program `gateway`; each group of commands has a file of its own."""

from __future__ import annotations

import importlib

import click
from click.shell_completion import CompletionItem

# What `gateway --help` says of each, in its order, and where it is. A module is loaded when its command is named, so that
# `gateway send` does not wait for the server's libraries, nor help and completion for all of them.
_COMMANDS = {
    "init": ("gateway.cli.project", "init", "Make a project: example mappings and fixture events."),
    "serve": ("gateway.cli.serving", "serve", "Run the gateway."),
    "demo": ("gateway.cli.demo", "demo", "Run sandbox, gateway and fixture events; show every delivery."),
    "sandbox": ("gateway.cli.serving", "sandbox", "Run the fake partners alone."),
    "check": ("gateway.cli.checking", "check", "Find every mistake of the mapping files; run their cases."),
    "test": ("gateway.cli.checking", "test", "Run the cases beside the mappings, a line each."),
    "schema": ("gateway.cli.checking", "schema", "Print the JSON Schema of a mapping file, for editors."),
    "try": ("gateway.cli.trying", "try_", "Show what one mapping makes of one event; send nothing."),
    "explain": ("gateway.cli.trying", "explain", "Tell what became of an event, and why."),
    "send": ("gateway.cli.sending", "send", "Post event files to the gateway."),
    "tail": ("gateway.cli.tailing", "tail", "Watch what becomes of events."),
    "lanes": ("gateway.cli.operating", "lanes", "List destinations: backlog, standing and why."),
    "pause": ("gateway.cli.operating", "pause", "Stop sending to a destination; keep its backlog."),
    "resume": ("gateway.cli.operating", "resume", "End a pause, a hold and all waiting of a destination."),
    "deliveries": ("gateway.cli.operating", "deliveries", "List what is owed, and the latest attempts."),
    "dead": ("gateway.cli.operating", "dead", "List what was given up, and why."),
    "retry": ("gateway.cli.operating", "retry", "Try dead and waiting deliveries again, by id or filter."),
    "replay": ("gateway.cli.operating", "replay", "Route kept events again through today's mappings."),
    "member": ("gateway.cli.people", "member", "Show what is known of a person: audiences, lists, deliveries."),
    "erase": ("gateway.cli.people", "erase", "Delete a person here and at every destination."),
    "destination": ("gateway.cli.destination", "destination", "Check and try destinations; find and make lists."),
    "sync": ("gateway.cli.syncs", "sync", "Lists kept by runs: show, explain, plan, run, pause, clear."),
    "run": ("gateway.cli.runs", "run", "Runs of syncs: list, show, log, approve, reject, cancel."),
    "backup": ("gateway.cli.keeping", "backup", "Copy the databases while the gateway runs."),
    "restore": ("gateway.cli.keeping", "restore", "Check a backup, and put it in place."),
    "doctor": ("gateway.cli.keeping", "doctor", "Look at everything that could be wrong."),
    "openapi": ("gateway.cli.describing", "openapi", "Print the OpenAPI document of the admin API."),
    "completion": ("gateway.cli.completion", "completion", "Print the completion script of a shell."),
}


class _Commands(click.Group):
    """Imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Names, in the order of a newcomer's questions."""
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 # click's signature
        """A line for each command, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, _, says) in _COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options that begin so."""
        found = [
            CompletionItem(name, help=says) for name, (_, _, says) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
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
