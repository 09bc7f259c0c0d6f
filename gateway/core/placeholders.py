"""The word that importers leave where only a person knows what belongs there, and where it still stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TO_FILL_IN: Final = "fill in"
"""Stands where what was imported does not say what a mapping file needs."""

Steps = tuple[str, ...]


def places_to_fill_in(value: object, place: Steps = ()) -> Iterator[tuple[Steps, bool]]:
    """(steps to a value, whether it is the member's name and not its value) wherever the word is all that stands there."""
    if isinstance(value, str):
        if _is_left(value):
            yield place, False
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        here = (*place, str(step))
        if isinstance(step, str) and _is_left(step):
            yield here, True
        yield from places_to_fill_in(one, here)


def _is_left(text: str) -> bool:
    return text.strip().casefold() == TO_FILL_IN
