"""`gateway openapi`: the admin API as a document, without a running gateway."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gateway.admin.api import all_routes
from gateway.admin.openapi import document
from gateway.cli.output import out, print_json


@click.command()
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Into this file instead.")
def openapi(write: Path | None) -> None:
    """Print the OpenAPI document of the admin API; a running engine has it at /api/openapi.json."""
    made = document(all_routes())
    if write is None:
        print_json(made)
        return
    write.write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    out.print(f"{write}", markup=False)
