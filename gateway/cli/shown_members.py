"""Reading members of JSON answers, for commands that print them."""

from __future__ import annotations

from gateway.cli.output import span

Shown = dict[str, object]


def number(shown: Shown, name: str) -> int:
    """A whole number; 0 for anything else."""
    value = shown.get(name)
    return value if isinstance(value, int) else 0


def rows(shown: Shown, name: str) -> list[Shown]:
    """A list of objects; empty for anything else."""
    value = shown.get(name)
    return value if isinstance(value, list) else []


def inner(shown: Shown, name: str) -> Shown:
    """An object; empty for anything else."""
    value = shown.get(name)
    return value if isinstance(value, dict) else {}


def told(shown: Shown, name: str) -> str:
    """The counts of an object that are not 0, in words."""
    return ", ".join(f"{count} {what}" for what, count in inner(shown, name).items() if count)


def took(shown: Shown) -> str:
    """How long a run took."""
    started, finished = number(shown, "started_us"), number(shown, "finished_us")
    return span((finished - started) / 1e6) if started and finished else "-"
