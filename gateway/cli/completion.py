"""`gateway completion`: the line that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gateway.cli.output import EXIT_INVALID, fail


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, for example: gateway completion bash >> ~/.bashrc."""
    made = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if made is None:
        fail(f"{shell} is not known.", code=EXIT_INVALID)
    click.echo(made(root, {}, "gateway", "_GATEWAY_COMPLETE").source())
