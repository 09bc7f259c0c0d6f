"""Reading decoded JSON options strictly: every wrong member becomes a `Problem` with pointer and mend, none raises."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from gateway.core.errors import Problem

DURATION_S_MAX = 10 * 366 * 86_400

_duration = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)")
_unit_s = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_s(text: object) -> int | None:
    """Seconds of a text such as `30s`, `15m`, `20h`, `7d`; None for anything else or beyond ten years."""
    found = _duration.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    seconds = int(found[1]) * _unit_s[found[2]]
    return seconds if seconds <= DURATION_S_MAX else None


def shown(value: object) -> str:
    """A value as a problem names it: short texts and numbers as they are, the rest by kind."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)[:40]
        case str():
            return f"`{value[:40]}`"
        case dict():
            return "an object"
        case _:
            return "a list"


class OptionReader:
    """One object of options at one JSON Pointer; its problems go to a list that all readers of a file share."""

    def __init__(
        self, value: object, pointer: str, known: Sequence[str], problems: list[Problem], *, what: str
    ) -> None:
        """known: the members it may have, others are errors. what: how problems call the object ("`guards`")."""
        self.pointer = pointer
        self.problems = problems
        self.members: dict[str, object] = {}
        if not isinstance(value, dict):
            self.add("", f"{what} must be an object, but it is {shown(value)}.")
            return
        for key, member in value.items():
            if key in known:
                self.members[key] = member
                continue
            near = difflib.get_close_matches(str(key), known, n=1)
            mend = f"Did you mean `{near[0]}`?" if near else f"Known members: {', '.join(known)}."
            self.add(str(key), f"`{key}` is not a member of {what}.", mend)

    def add(self, key: str, what: str, mend: str = "", *, severity: str = "error") -> None:
        """Keep a problem at a member ("" is the object itself)."""
        place = f"{self.pointer}/{key.replace('~', '~0').replace('/', '~1')}" if key else self.pointer
        self.problems.append(Problem(what=what, mend=mend, pointer=place, severity=severity))

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """A member that is one of the texts `choices`."""
        value = self.members.get(key, default)
        if isinstance(value, str) and value in choices:
            return value
        mend = f"Write one of {', '.join(f'`{one}`' for one in choices)}."
        self.add(key, f"`{key}` cannot be {shown(value)}.", mend)
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """A member that is true or false."""
        value = self.members.get(key, default)
        if isinstance(value, bool):
            return value
        self.add(key, f"`{key}` must be true or false, but it is {shown(value)}.")
        return default

    def whole(self, key: str, default: int | None, *, low: int, high: int) -> int | None:
        """A whole number within bounds; null is allowed where the default is None."""
        value = self.members.get(key, default)
        if value is None and default is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.add(key, f"`{key}` must be a whole number from {low} to {high}, but it is {shown(value)}.")
        return default

    def number(self, key: str, default: float | None, *, low: float, high: float) -> float | None:
        """A number within bounds; null is allowed where the default is None."""
        value = self.members.get(key, default)
        if value is None and default is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self.add(key, f"`{key}` must be a number from {low:g} to {high:g}, but it is {shown(value)}.")
        return default

    def duration(self, key: str, default_s: int | None) -> int | None:
        """A duration in seconds; null is allowed and means none."""
        if key not in self.members:
            return default_s
        value = self.members[key]
        seconds = duration_s(value)
        if seconds is None and value is not None:
            self.add(
                key, f"`{key}` is no duration: {shown(value)}.", 'Write a number and s, m, h or d, such as `"7d"`.'
            )
            return default_s
        return seconds
