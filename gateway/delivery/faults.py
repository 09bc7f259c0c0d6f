"""Where in our own code a fault came up, told without the error's text: that may quote a payload."""

from __future__ import annotations

import traceback

FRAMES_MAX = 8


def where(error: BaseException) -> list[str]:
    """The innermost frames as `file.py:line function`, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
