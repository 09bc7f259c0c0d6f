"""The one line that an attempt keeps of several requests, and of several answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

LINES_MAX: Final = 5  # ours: different requests told in one line


def in_one_line(lines: Sequence[str]) -> str:
    """Lines of several requests as one, equal ones counted, the first LINES_MAX of them."""
    counts = Counter(lines)
    told = [line if count == 1 else f"{count} x {line}" for line, count in counts.items()]
    return "; ".join(told[:LINES_MAX]) + (f"; and {len(told) - LINES_MAX} more" if len(told) > LINES_MAX else "")
