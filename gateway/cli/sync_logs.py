"""The sync log as a file or a stream, page by page, read beside a running engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import click

from gateway.cli.output import EXIT_INVALID, fail
from gateway.cli.settings import environment
from gateway.core.errors import OrderError, StoreError
from gateway.store import open_state_reader
from gateway.store.api import StateView
from gateway.syncs.log_lines import (
    FORMATS,
    PAGE_LINES,
    LogFormat,
    LogLines,
    encoded_page,
    encoder,
    lines_between,
)
from gateway.syncs.names import find_sync

T = TypeVar("T")


class Read(Protocol):
    """One question on a snapshot."""

    def __call__(self, work: Callable[[StateView], T]) -> T:
        """Run it."""


format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default=None, help="One flat line an operation, for other programs."
)
out_option = click.option(
    "--out",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Into this file; it appears whole.",
)


def form_of(text: str | None) -> LogFormat:
    """The format that an option named; JSON lines where it named none."""
    return "csv" if text == "csv" else "ndjson"


def export_run(run: int, form: LogFormat, path: Path | None, *, status: str = "") -> None:
    """A run's whole log."""

    def pieces() -> Iterator[bytes]:
        head, encode = encoder(form)
        yield head
        after: int | None = 0
        with reading() as read:
            if read(lambda view: view.run(run)) is None:
                fail(f"There is no run {run}; `gateway run list` names them.", code=EXIT_INVALID)
            while after is not None:
                piece, _count, after = read(partial(encoded_page, run=run, after=after, encode=encode, status=status))
                yield piece

    _write(pieces(), path)


def export_sync(name: str, form: LogFormat, path: Path | None, *, since_us: int, until_us: int) -> None:
    """A sync's log of a time."""

    def pieces() -> Iterator[bytes]:
        head, encode = encoder(form)
        yield head
        place: tuple[int, int] | None = (0, 0)
        with reading() as read:
            found = read(lambda view: find_sync(view, name))
            if found is None:
                fail(f"There is no sync `{name}`; `gateway sync list` names them.", code=EXIT_INVALID)
            told = f"{found[0].mapping}/{found[1].key}"
            while place is not None:

                def page(
                    view: StateView, after: tuple[int, int] = place
                ) -> tuple[list[dict[str, object]], tuple[int, int] | None]:
                    lines = LogLines(view, told)
                    return lines_between(
                        view, lines, found[0].id, since_us=since_us, until_us=until_us, after=after, limit=PAGE_LINES
                    )

                lines, place = read(page)
                yield encode(lines)

    _write(pieces(), path)


@contextmanager
def reading() -> Iterator[Read]:
    """The state, opened once for many questions; ends with a sentence when there is none."""
    try:
        state = open_state_reader(environment().data)
    except StoreError as error:
        fail(str(error))
    try:
        yield state.read
    except StoreError as error:
        fail(str(error))
    except OrderError as error:
        fail(str(error), code=EXIT_INVALID)
    finally:
        state.close()


def _write(pieces: Iterator[bytes], path: Path | None) -> None:
    if path is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    from gateway.syncs.log_export import write_whole  # noqa: PLC0415 # it logs, and loading that takes a quarter of a second

    try:
        write_whole(path, pieces)
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror or type(error).__name__}).", code=EXIT_INVALID)
