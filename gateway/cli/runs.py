"""`gateway run …`: runs of syncs, their log, and what to do with one that is held or should stop."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import NoReturn, get_args

import click
import msgspec

from gateway.admin.answers import LineStatus
from gateway.admin.sync_orders import ApproveOrder, NoOrder
from gateway.cli.operating import ask, order
from gateway.cli.output import EXIT_HELD, EXIT_INVALID, fail, json_option, out, print_json, print_line, table
from gateway.cli.run_following import finish
from gateway.cli.run_pages import print_run
from gateway.cli.shown_members import Shown
from gateway.cli.sync_logs import export_run, form_of, format_option, out_option
from gateway.cli.sync_pages import print_runs
from gateway.store.api import StateView
from gateway.syncs.names import find_sync
from gateway.syncs.run_pages import run_page
from gateway.syncs.showing import counters_shown, result_line, run_line

LOG_PAGE = 1000


@click.group("run")
def run() -> None:
    """Runs of syncs: list and show them, read their log, approve, reject or stop one."""


@run.command("list")
@click.option("--sync", "name", default="", help="Only of this sync.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
def list_(name: str, limit: int, *, as_json: bool) -> None:
    """List runs, newest first."""

    def look(view: StateView) -> list[Shown]:
        found = find_sync(view, name) if name else None
        if name and found is None:
            fail(f"There is no sync `{name}`; `gateway sync list` names them.", code=EXIT_INVALID)
        return [
            {**run_line(one), "counters": counters_shown(one)}
            for one in view.runs(sync=found[0].id if found else 0, limit=limit)
        ]

    shown = ask(look)
    if as_json:
        print_json(shown)
    else:
        print_runs(shown)


@run.command()
@click.argument("number", type=int)
@json_option
def show(number: int, *, as_json: bool) -> None:
    """Show one run: how it went, counters, guards, what went wrong by code."""
    shown = fetch_run(number)
    if as_json:
        print_json(shown)
    else:
        print_run(shown)
    if shown["status"] == "held":
        raise click.exceptions.Exit(EXIT_HELD)


@run.command()
@click.argument("number", type=int)
@click.option("--status", type=click.Choice(get_args(LineStatus)), default=None, help="Only lines that ended so.")
@format_option
@out_option
@json_option
def log(number: int, status: str | None, form: str | None, path: Path | None, *, as_json: bool) -> None:
    """Print the sync log of a run, a line an operation; with --json one JSON object a line.

    With --format or --out the whole log as a file of flat lines, for other programs.
    """
    if form is not None or path is not None:
        export_run(number, form_of(form), path, status=status or "")
        return
    if ask(lambda view: view.run(number)) is None:
        _unknown(number)
    after = 0
    rows: list[Shown] = []
    while True:
        page = ask(
            lambda view, after=after: [  # type: ignore[misc] # a default of a lambda has no type
                result_line(one)
                for one in view.row_results(run=number, after_seq=after, status=status or "", limit=LOG_PAGE)
            ]
        )
        for one in page:
            if as_json:
                print_line(one)
        rows += [] if as_json else page
        if len(page) < LOG_PAGE:
            break
        after = int(str(page[-1]["seq"]))
    if not as_json:
        table(
            f"Log of run {number}",
            ("seq", "member", "operation", "status", "code", "http", "attempts", "message"),
            (
                (
                    one["seq"], one["member_ref"], one["operation"], one["status"], one["code"], one["http_status"],
                    one["attempts"], one["message"],
                )
                for one in rows
            ),
        )  # fmt: skip


@run.command()
@click.argument("number", type=int)
@click.option("--wait", is_flag=True, help="Until it has ended.")
@json_option
def approve(number: int, *, wait: bool, as_json: bool) -> None:
    """Let a held run go; it is planned anew, and held again if the numbers moved."""
    _run_order(
        number, "approve", ApproveOrder(by=getpass.getuser()), f"run {number} may go", as_json=as_json and not wait
    )
    if wait:
        finish(number, as_json=as_json)


@run.command()
@click.argument("number", type=int)
@json_option
def reject(number: int, *, as_json: bool) -> None:
    """End a held run; the next tick plans anew."""
    _run_order(number, "reject", NoOrder(), f"run {number} is ended", as_json=as_json)


@run.command()
@click.argument("number", type=int)
@json_option
def cancel(number: int, *, as_json: bool) -> None:
    """Stop a run: what is on its way ends, the rest is planned again by the next run."""
    _run_order(number, "cancel", NoOrder(), f"run {number} stops", as_json=as_json)


def fetch_run(number: int) -> Shown:
    """One run's page; ends with a sentence when there is none."""

    def look(view: StateView) -> Shown | None:
        found = view.run(number)
        return run_page(view, found) if found is not None else None

    shown = ask(look)
    if shown is None:
        _unknown(number)
    return shown


def _unknown(number: int) -> NoReturn:
    fail(f"There is no run {number}; `gateway run list` names them.", code=EXIT_INVALID)


def _run_order(number: int, verb: str, given: msgspec.Struct, sentence: str, *, as_json: bool) -> None:
    shown = order("POST", f"/api/runs/{number}:{verb}", dict[str, object], given, unusable=EXIT_INVALID)
    if as_json:
        print_json(shown)
    else:
        out.print(sentence)
