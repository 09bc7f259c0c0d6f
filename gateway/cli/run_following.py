"""Following a run to its end: progress with the time it still takes, then how it ended, as the exit code too."""

from __future__ import annotations

import contextlib
import time
from typing import Self
from urllib.parse import quote

import click

from gateway.cli.operating import order
from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_HELD, EXIT_PARTIAL, err, print_json, span
from gateway.cli.run_pages import print_run
from gateway.cli.shown_members import Shown, number

POLL_S = 0.5
LINE_EVERY_S = 5.0  # where there is no terminal to draw on
ENDED = frozenset({"succeeded", "partial", "failed", "held", "skipped", "cancelled", "interrupted"})
EXITS = {"succeeded": EXIT_GOOD, "skipped": EXIT_GOOD, "partial": EXIT_PARTIAL, "held": EXIT_HELD}


def finish(run: int, *, as_json: bool) -> None:
    """Follow a run to its end and exit as it ended. Progress goes to standard error, so that --json stays one document."""
    path, started = f"/api/runs/{quote(str(run))}", time.monotonic()
    with _Progress() as progress:
        while True:
            shown = order("GET", f"{path}/progress", dict[str, object])
            if shown["status"] in ENDED:
                break
            progress.tell(progress_line(shown, time.monotonic() - started))
            time.sleep(POLL_S)
    shown = order("GET", path, dict[str, object])  # the whole page takes longer to make: once
    if as_json:
        print_json(shown)
    else:
        print_run(shown)
    raise click.exceptions.Exit(EXITS.get(str(shown["status"]), EXIT_FAILED))


def progress_line(shown: Shown, passed_s: float) -> str:
    """Where a run stands, and how long the rest takes: at the pace so far, and never less than the destination's limit allows."""
    planned, ended = number(shown, "planned"), number(shown, "ended")
    line = f"run {shown['id']} {shown['status']}"
    if shown["status"] != "sending":
        return f"{line}: {planned} planned so far" if planned else line
    line += f": {ended} of {planned}"
    limit = shown.get("seconds_left")
    left_s = float(limit) if isinstance(limit, int | float) else 0.0
    if 0 < ended < planned:
        left_s = max(left_s, passed_s * (planned - ended) / ended)
    return f"{line}, about {span(left_s)} to go" if left_s >= 1 else line


class _Progress(contextlib.AbstractContextManager["_Progress"]):
    """One line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._status = err.status("…") if err.is_terminal else None
        self._last, self._told_at = "", 0.0

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, line: str) -> None:
        """Show where it stands."""
        if self._status is not None:
            self._status.update(line)
        elif line != self._last and (not self._last or time.monotonic() - self._told_at >= LINE_EVERY_S):
            err.print(line, markup=False, soft_wrap=True)
            self._last, self._told_at = line, time.monotonic()
