"""What a definition file is read with: its value, places for its problems, and the questions every reader asks.

`config.files.Findings` is one; the two folders do not import each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from gateway.core.errors import Problem


class Document(Protocol):
    """A parsed file."""

    @property
    def value(self) -> object:
        """What the file holds."""


class Findings(Protocol):
    """Collects the problems of one file, each with line, column and pointer."""

    @property
    def file(self) -> str:
        """Its path as people know it."""

    @property
    def document(self) -> Document | None:
        """None when the file is no JSON."""

    @property
    def problems(self) -> list[Problem]:
        """What was found so far."""

    def add(self, pointer: str, what: str, mend: str = "", *, severity: str = "error", column_offset: int = 0) -> None:
        """Keep one problem."""

    def warn(self, pointer: str, what: str, mend: str = "", *, column_offset: int = 0) -> None:
        """Keep one warning."""

    def table(self, value: object, pointer: str, known: Iterable[str], *, what: str) -> dict[str, object] | None:
        """`value` if it is an object; unknown members are errors."""

    def text(self, owner: Mapping[str, object], key: str, pointer: str, *, default: str | None = None) -> str:
        """A text member that is not empty."""

    def flag(self, owner: Mapping[str, object], key: str, pointer: str, *, default: bool) -> bool:
        """A boolean member or its default."""

    def choice(
        self, owner: Mapping[str, object], key: str, pointer: str, choices: tuple[str, ...], default: str
    ) -> str:
        """A text member that is one of `choices`."""

    def number(
        self, owner: Mapping[str, object], key: str, pointer: str, low: float, high: float, default: float
    ) -> float:
        """A number member within bounds, or its default."""


def step(key: str) -> str:
    """One step of a JSON Pointer (RFC 6901), with its slash."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def whole(
    found: Findings, owner: Mapping[str, object], key: str, pointer: str, low: int, high: int, default: int
) -> int:
    """A whole number within bounds, or its default; anything else is an error."""
    value = found.number(owner, key, pointer, low, high, default)
    if int(value) != value:
        found.add(f"{pointer}/{key}", f"`{key}` must be a whole number.")
        return default
    return int(value)


def entries(
    found: Findings, owner: Mapping[str, object], key: str, pointer: str, *, most: int, what: str
) -> dict[str, object]:
    """An object member whose own keys are names the file's author chose; absent is empty, too many is an error."""
    value = owner.get(key, {})
    if not isinstance(value, dict):
        found.add(f"{pointer}/{key}", f"`{key}` must be an object of {what} by name.")
        return {}
    if len(value) > most:
        found.add(f"{pointer}/{key}", f"`{key}` may have {most} {what}, but it has {len(value)}.")
        return {}
    return value


def listed(found: Findings, owner: Mapping[str, object], key: str, pointer: str, *, most: int) -> list[object]:
    """A list member; absent is empty, too long is an error."""
    value = owner.get(key, [])
    if not isinstance(value, list) or len(value) > most:
        found.add(f"{pointer}/{key}", f"`{key}` must be a list of at most {most} items.")
        return []
    return value
