"""Definition files into destinations: one, or all those of a folder; and the files that ship with the gateway."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.core.errors import Problem
from gateway.destinations.http_audience.format import read_definition
from gateway.destinations.http_audience.found import Findings
from gateway.destinations.http_audience.perform import HttpAudience

CATALOG = Path(__file__).parent / "catalog"


def load_definition(
    found: Findings, *, variables: Mapping[str, str] | None = None
) -> tuple[HttpAudience | None, list[Problem]]:
    """One parsed file as a destination, and what is wrong with it. variables: for secrets; None is the environment."""
    file = read_definition(found)
    destination = None
    if file is not None:
        destination = HttpAudience(file, variables=os.environ if variables is None else variables)
    return destination, list(found.problems)


def definitions_from(
    files: Iterable[Findings], *, variables: Mapping[str, str] | None = None, taken: Iterable[str] = ()
) -> tuple[dict[str, HttpAudience], list[Problem]]:
    """Parsed files as destinations by slug, and all problems of all of them.

    taken: slugs and names of other destinations, which no definition may use.
    """
    made: dict[str, HttpAudience] = {}
    problems: list[Problem] = []
    owners = dict.fromkeys(taken, "a destination that ships with the gateway")
    for found in files:
        destination, _ = load_definition(found, variables=variables)
        if destination is not None:
            for name in (destination.file.slug, *destination.file.names):
                if name in owners:
                    pointer = "/slug" if name == destination.file.slug else "/names"
                    found.add(pointer, f"`{name}` is the name of {owners[name]} already.", "Choose another.")
                owners.setdefault(name, f"the definition in {found.file}")
            if not any(problem.severity == "error" for problem in found.problems):
                made[destination.file.slug] = destination
        problems.extend(found.problems)
    return made, problems


def catalog_files() -> list[Path]:
    """The definitions that ship with the gateway, by name."""
    return sorted(CATALOG.glob("*.json"), key=lambda path: path.stem)
