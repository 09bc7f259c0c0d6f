"""The definitions that ship with the gateway, as destinations: read once, when they are first asked for.

The files are read here without the strict reader's places and mends, since tests hold them against it: what is wrong with
one raises at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from gateway.core.errors import Problem
from gateway.destinations.http_audience.loading import catalog_files, load_definition
from gateway.destinations.http_audience.perform import HttpAudience

PLACE: Final = "gateway/destinations/http_audience/catalog"
PAGES: Final = "docs/destinations/catalogue"


class CatalogError(Exception):
    """A shipped definition cannot be used: the installation is broken, or a file in it was edited."""


@cache
def catalog() -> dict[str, HttpAudience]:
    """Every shipped definition by slug, in the order of the slugs. Raises CatalogError."""
    made = [_shipped(path) for path in catalog_files()]
    return {one.file.slug: one for one in made}


def _shipped(path: Path) -> HttpAudience:
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise CatalogError(f"{path.name} cannot be read: {error}") from error
    destination, _ = load_definition(_Trusted(f"{PLACE}/{path.name}", value), variables=os.environ)
    assert destination is not None, "its problems raise"
    file = destination.file
    return HttpAudience(msgspec.structs.replace(file, page=f"{PAGES}/{file.slug}.md"), variables=os.environ)


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    value: object


class _Trusted:
    """What a reader asks of a file, answered without looking for the right words: the first problem raises."""

    def __init__(self, file: str, value: object) -> None:
        self.file = file
        self.document = _Value(value=value)
        self.problems: list[Problem] = []

    def add(self, pointer: str, what: str, mend: str = "", *, severity: str = "error", column_offset: int = 0) -> None:  # noqa: ARG002
        """Raise."""
        raise CatalogError(f"{self.file}#{pointer}: {what}")

    def warn(self, pointer: str, what: str, mend: str = "", *, column_offset: int = 0) -> None:  # noqa: ARG002
        """Shipped files have no warnings either."""
        self.add(pointer, what)

    def table(self, value: object, pointer: str, known: Iterable[str], *, what: str) -> dict[str, object] | None:
        """An object with known members."""
        if not isinstance(value, dict) or not value.keys() <= set(known):
            self.add(pointer, f"{what} is no object, or has an unknown member.")
            return None
        return value

    def text(self, owner: Mapping[str, object], key: str, pointer: str, *, default: str | None = None) -> str:
        """A text member that is not empty."""
        value = owner.get(key, default)
        if not isinstance(value, str) or (key in owner and not value.strip()):
            self.add(f"{pointer}/{key}", f"`{key}` is no text.")
        return str(value)

    def flag(self, owner: Mapping[str, object], key: str, pointer: str, *, default: bool) -> bool:
        """A boolean member or its default."""
        value = owner.get(key, default)
        if not isinstance(value, bool):
            self.add(f"{pointer}/{key}", f"`{key}` is neither true nor false.")
        return value is True

    def choice(
        self, owner: Mapping[str, object], key: str, pointer: str, choices: tuple[str, ...], default: str
    ) -> str:
        """A text member that is one of `choices`."""
        value = owner.get(key, default)
        if value not in choices:
            self.add(f"{pointer}/{key}", f"`{key}` is none of {', '.join(choices)}.")
        return str(value)

    def number(
        self, owner: Mapping[str, object], key: str, pointer: str, low: float, high: float, default: float
    ) -> float:
        """A number member within bounds, or its default."""
        value = owner.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.add(f"{pointer}/{key}", f"`{key}` is no number from {low:g} to {high:g}.")
            return default
        return value
