"""Where a command finds its project: settings, folders, definitions; and `gateway init`, which makes one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click
import msgspec
from rich.markup import escape

from gateway.cli.output import EXIT_INVALID, fail, out
from gateway.config.folder import Loaded, read_folder
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.rulebook import Rulebook
from gateway.service.shelf import Shelf

STARTER_FOLDERS = ("mappings", "fixtures")
SCHEMA = "mapping.schema.json"
PACKAGE = Path(__file__).resolve().parent.parent


def load_rulebook(
    folder: Path, *, strict_secrets: bool, shelf: Shelf | None = None, only: str = ""
) -> Loaded[Rulebook]:
    """Compile a folder as the engine would. strict_secrets: a secret that is not set is an error, else a warning.

    shelf: holds the destinations the rulebook was compiled with, afterwards. only: the one mapping file that is of interest, by
    its name without `.json`; what is wrong with the others is no matter.
    """
    known = shelf or Shelf(os.environ)
    secrets = SecretSource(variables=os.environ, strict=strict_secrets)
    read = read_folder(folder)
    if only:
        read = msgspec.structs.replace(read, mappings=tuple(one for one in read.mappings if one.stem == only))
    loaded = compile_rulebook(read, known.definitions, secrets, known)
    if loaded.value is not None:
        known.take(loaded.value)
    return loaded


def copy_starter(folder: Path) -> None:
    """Lay the example project into `folder`, with the schema that its mapping files name for editors.

    The examples lie inside the installed package, or at the root of a checkout, from where they name the package's own schema.
    """
    packaged = PACKAGE / "starter"
    starter = packaged if packaged.is_dir() else PACKAGE.parent
    for name in STARTER_FOLDERS:
        shutil.copytree(starter / name, folder / name)
    if not (folder / SCHEMA).exists():
        shutil.copyfile(PACKAGE / "config" / SCHEMA, folder / SCHEMA)
    for path in (folder / "mappings").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f'"../gateway/config/{SCHEMA}"', f'"../{SCHEMA}"'), encoding="utf-8")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Make a project folder: example mappings with their cases, sources, and fixture events.

    Nothing that is already there is touched.
    """
    taken = [name for name in STARTER_FOLDERS if (folder / name).exists()]
    if taken:
        fail(f"{folder / taken[0]} is already there; choose another folder.", code=EXIT_INVALID)
    copy_starter(folder)
    out.print(f"Made [bold]{escape(str(folder))}[/bold] with mappings/ and fixtures/. Next:")
    out.print("  export STACKADAPT_TOKEN=…   the token that StackAdapt gave you")
    out.print("  gateway check               look for mistakes, run the cases")
    out.print("  gateway serve               start it")
    out.print("The mapping files of the other platforms are switched off; set `enabled` where you have an account.")
