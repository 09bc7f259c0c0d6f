"""`gateway tail`: watch what becomes of events."""

from __future__ import annotations

import time

import click
import msgspec
from rich.markup import escape

from gateway.cli.event_lines import line_of, look_up, printable
from gateway.cli.kept_events import kept_event
from gateway.cli.operating import ask
from gateway.cli.output import json_option, moment, out, print_line
from gateway.cli.settings import environment
from gateway.core.events import Place
from gateway.store import FILES_PER_WRITER, open_inbox_reader
from gateway.store.rows import TraceRow

TAIL_PAUSE_S = 0.3
ROUND_ROWS = 1000
LAST_FRAME = 2**24 - 1

_COLOURS = {"decided": "green", "rejected": "red", "set_aside": "red"}


@click.command()
@click.option("--source", default="", help="Only events of this source.")
@click.option("--outcome", default="", help="Only this outcome: decided, rejected, set_aside …")
@click.option(
    "--limit", type=click.IntRange(0, 1000), default=10, show_default=True, help="How many old ones to begin with."
)
@click.option("--follow/--no-follow", default=True, help="Wait for new ones.")
@json_option
def tail(source: str, outcome: str, limit: int, *, follow: bool, as_json: bool) -> None:
    """Watch events as they are decided: what came, what it changed, what is owed, and why nothing was."""
    met: dict[int, Place] = {}
    rows = _fresh(met, outcome=outcome, source=source, limit=max(limit, 1))
    show = _print_json if as_json else _print_lines
    show(rows[-limit:] if limit else [])
    while follow:
        time.sleep(TAIL_PAUSE_S)
        show(_fresh(met, outcome=outcome, source=source, limit=ROUND_ROWS))


def _fresh(met: dict[int, Place], *, outcome: str, source: str, limit: int) -> list[TraceRow]:
    """Traces not met before, by arrival; `met` (the newest place of each ingest process) is brought up to date."""
    writers = sorted(ask(lambda view: view.cursors()))
    found: list[TraceRow] = []
    for writer in writers:
        first = Place(inbox=writer * FILES_PER_WRITER, frame=0, ordinal=0)
        behind = Place(inbox=(writer + 1) * FILES_PER_WRITER - 1, frame=LAST_FRAME, ordinal=0)
        last = met.get(writer, first)
        rows = ask(lambda view, behind=behind: view.traces(before=behind, outcome=outcome, source=source, limit=limit))  # type: ignore[misc] # mypy infers no type for a lambda's default
        fresh = [row for row in rows if row.place > last]
        met[writer] = max((row.place for row in fresh), default=last)
        found += fresh
    return sorted(found, key=lambda row: (row.received_us, row.place))


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
