"""How commands speak: tables and colour for people, JSON for programs, documented exit codes, no personal data unasked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.core.errors import Problem

EXIT_GOOD = 0
EXIT_FAILED = 1  # it ran, and something is wrong: a case fails, a service does not answer, nothing was found
EXIT_INVALID = 2  # what was given cannot be used: options, files, settings
EXIT_HELD = 3  # waits for a person
EXIT_PARTIAL = 4  # part of it was done

WIDTH_WITHOUT_TERMINAL = 200  # pipes and files fold nothing

_width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
out = Console(highlight=False, width=_width)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDTH_WITHOUT_TERMINAL)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def print_line(value: object) -> None:
    """Print one JSON line, for streams."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def fail(message: str, *, code: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong on standard error and end with `code`."""
    err.print(f"[red]error[/red]  {escape(message)}")
    raise click.exceptions.Exit(code)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; an empty one says so. Columns without names have no head."""
    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="dim",
        show_header=any(columns),
    )
    for column in columns:
        shown.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        shown.add_row(*(escape(str(cell)) for cell in row))
        count += 1
    out.print(shown if count else f"[bold]{escape(title)}[/bold]  none")


def print_problems(problems: Iterable[Problem], console: Console = out) -> None:
    """Print problems of files, each with place, what and how to mend it."""
    for problem in problems:
        colour = "red" if problem.severity == "error" else "yellow"
        place = f"{problem.file}#{problem.pointer}" if problem.pointer else problem.file
        where = f"  line {problem.line}, column {problem.column}" if problem.line else ""
        console.print(f"[{colour}]{problem.severity:<7}[/{colour}]  {escape(place)}[dim]{where}[/dim]", soft_wrap=True)
        console.print(f"  {escape(problem.what)}", soft_wrap=True)
        if problem.mend:
            console.print(f"  [dim]{escape(problem.mend)}[/dim]", soft_wrap=True)


def moment(us: int) -> str:
    """A Unix time in microseconds as people read it, UTC."""
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S") if us else "-"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 error`, `2 errors`. many: where it is not made with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def span(seconds: float) -> str:
    """A duration as people read it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
