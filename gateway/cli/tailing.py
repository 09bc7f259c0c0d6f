"""`gateway tail`: watch what becomes of events."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import msgspec
from rich.markup import escape

from gateway.cli.event_lines import line_of, look_up, printable
from gateway.cli.kept_events import kept_event
from gateway.cli.known_names import refuse_unknown_source
from gateway.cli.operating import ask
from gateway.cli.output import EXIT_GOOD, err, json_option, moment, out, print_line
from gateway.cli.settings import environment
from gateway.core.events import Place
from gateway.store import FILES_PER_WRITER, FRAME_MAX, NO_INBOX, open_inbox_reader
from gateway.store.rows import TraceRow

TAIL_PAUSE_S = 0.3
FIRST_ROWS = 50  # of a look while nothing much comes
PAGE_ROWS = 1000  # of the next ones, and of what is looked up and printed at once
ROUND_ROWS_MAX = 50_000  # of one look: some seconds of all that a machine can take in
ORDERS = -1  # beside the numbers of ingest processes: what operators ordered
_ORDERED = (Place(inbox=NO_INBOX, frame=0, ordinal=0), Place(inbox=NO_INBOX, frame=FRAME_MAX, ordinal=0))

OUTCOMES = ("decided", "rejected", "set_aside", "audience")  # of duplicates no line is kept

Show = Callable[[list[TraceRow]], None]

_COLOURS = {"decided": "green", "rejected": "red", "set_aside": "red"}


@click.command()
@click.option("--source", default="", help="Only events of this source.")
@click.option("--outcome", type=click.Choice(OUTCOMES), default=None, help="Only events of which this became.")
@click.option(
    "--limit", type=click.IntRange(0, 1000), default=10, show_default=True, help="How many old ones to begin with."
)
@click.option("--follow/--no-follow", default=True, help="Wait for new ones.")
@json_option
def tail(source: str, outcome: str | None, limit: int, *, follow: bool, as_json: bool) -> None:
    """Watch events as they are decided: what came, what it changed, what is owed, and why nothing was. Ctrl-C ends it."""
    show = _print_json if as_json else _print_lines
    try:
        _watch(show, outcome=outcome or "", source=source, limit=limit, follow=follow)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(EXIT_GOOD) from None  # the way in which it is meant to end


def _watch(show: Show, *, outcome: str, source: str, limit: int, follow: bool) -> None:
    met: dict[int, Place] = {}
    rows = _fresh(met, outcome=outcome, source=source, first=max(limit, 1), most=max(limit, 1))
    if source and not rows and not ask(lambda view: view.traces(source=source, limit=1)):
        refuse_unknown_source(source)
    show(rows[-limit:] if limit else [])
    while follow:
        time.sleep(TAIL_PAUSE_S)
        rows = _fresh(met, outcome=outcome, source=source, first=FIRST_ROWS, most=ROUND_ROWS_MAX)
        for start in range(0, len(rows), PAGE_ROWS):
            show(rows[start : start + PAGE_ROWS])


def _fresh(met: dict[int, Place], *, outcome: str, source: str, first: int, most: int) -> list[TraceRow]:
    """Traces not met before, by arrival; `met` (the newest place of each ingest process, and of orders) is brought up to date.

    first: rows of the first look at each ingest process. most: rows in all of each; what is older is passed over, and said.
    """
    windows = {writer: _window(writer) for writer in ask(lambda view: view.cursors())}
    found: list[TraceRow] = []
    for writer, (start, end) in sorted({ORDERS: _ORDERED, **windows}.items()):
        last = met.get(writer, start)
        fresh, is_cut = _behind(last, end, outcome=outcome, source=source, first=first, most=most)
        if is_cut and writer in met:
            err.print(f"[yellow]so many came that only the latest {most} are shown[/yellow]")
        met[writer] = max((row.place for row in fresh), default=last)
        found += fresh
    return sorted(found, key=lambda row: (row.received_us, row.place))


def _window(writer: int) -> tuple[Place, Place]:
    """Before the first and behind the last place of an ingest process."""
    return (
        Place(inbox=writer * FILES_PER_WRITER, frame=FRAME_MAX, ordinal=0),
        Place(inbox=(writer + 1) * FILES_PER_WRITER - 1, frame=FRAME_MAX, ordinal=0),
    )


def _behind(
    last: Place, before: Place, *, outcome: str, source: str, first: int, most: int
) -> tuple[list[TraceRow], bool]:
    """Traces between two places, newest first, and whether there were more than `most`."""
    found: list[TraceRow] = []
    rows = min(first, most)
    while rows > 0:
        page = ask(
            lambda view, before=before, rows=rows: view.traces(  # type: ignore[misc] # mypy infers no type for a lambda's default
                before=before, outcome=outcome, source=source, limit=rows
            )
        )
        fresh = [row for row in page if row.place > last]
        found += fresh
        if len(fresh) < rows:
            return found, False
        before, rows = fresh[-1].place, min(PAGE_ROWS, most - len(found))
    return found, True


def _print_json(rows: list[TraceRow]) -> None:
    for row in rows:
        print_line(
            {
                "place": _place(row),
                "received_us": row.received_us,
                "source": row.source,
                "outcome": row.outcome,
                "deliveries": row.deliveries,
                "summary": msgspec.json.decode(row.summary or b"{}"),
            }
        )


def _print_lines(rows: list[TraceRow]) -> None:
    if not rows:
        return
    reader = open_inbox_reader(environment().data)
    try:
        for told in ask(lambda view: look_up(view, rows)):
            row = told.row
            colour = _COLOURS.get(row.outcome, "yellow")
            where = f"[dim]{moment(row.received_us)}[/dim]  {_place(row):<10} {escape(printable(row.source)):<10}"
            word = f"[{colour}]{row.outcome:<9}[/{colour}]"
            out.print(f"{where} {word} {escape(line_of(told, kept_event(reader, row)))}", soft_wrap=True)
    finally:
        reader.close()


def _place(row: TraceRow) -> str:
    return f"{row.place.inbox}.{row.place.frame}.{row.place.ordinal}"
