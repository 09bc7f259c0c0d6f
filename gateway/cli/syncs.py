"""`gateway sync …`: lists kept equal by runs; what the next run would do, and orders to do it."""

from __future__ import annotations

import time
from typing import TypeVar
from urllib.parse import quote

import click

from gateway.admin.syncs import SyncOrder
from gateway.cli.checking import json_option
from gateway.cli.operating import ask, order
from gateway.cli.output import (
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_HELD,
    EXIT_INVALID,
    EXIT_PARTIAL,
    fail,
    moment,
    out,
    print_json,
    print_line,
    span,
    table,
)
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import SyncRow
from gateway.syncs.names import find_sync
from gateway.syncs.showing import sync_list, sync_page

Shown = dict[str, object]
T = TypeVar("T")

POLL_S = 0.5
ENDED = frozenset({"succeeded", "partial", "failed", "held", "skipped", "cancelled", "interrupted"})
_EXITS = {"succeeded": EXIT_GOOD, "skipped": EXIT_GOOD, "partial": EXIT_PARTIAL, "held": EXIT_HELD}


@click.group()
def sync() -> None:
    """Lists kept equal by runs: show, plan, run, pause and clear them.

    A sync is one mapping and one audience; its id is `file/mapping/audience`.
    """


@sync.command("list")
@click.option("--deleted", is_flag=True, help="Deleted ones, too.")
@json_option
def list_(*, deleted: bool, as_json: bool) -> None:
    """List the syncs with their standing and next run."""
    shown = ask(lambda view: sync_list(view, deleted=deleted))
    if as_json:
        print_json(shown)
        return
    table(
        "Syncs",
        ("sync", "status", "audience", "on the list", "next run", "last success", "why"),
        (
            (
                one["name"], one["status"], one["audience_size"], one["list_size"], moment(_number(one, "next_us")),
                moment(_number(one, "last_success_us")), one["why"],
            )
            for one in shown
        ),
    )  # fmt: skip


@sync.command()
@click.argument("name")
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Show one sync: sizes, what is waiting, alerts, its last runs."""
    shown = ask(lambda view: sync_page(view, *_found(view, name)))
    if as_json:
        print_json(shown)
        return
    out.print(f"[bold]{shown['name']}[/bold]  {shown['status']}  {shown['why']}", soft_wrap=True)
    out.print(
        f"in the audience {shown['audience_size']} · in for the sync {shown['members_in']} · on the list {shown['list_size']} · "
        f"records a run would look at {shown['waiting']} · not renderable {shown['unmappable']}"
    )
    out.print(
        f"next run {moment(_number(shown, 'next_us'))} · last success {moment(_number(shown, 'last_success_us'))}"
    )
    for alert in _rows(shown, "alerts"):
        out.print(f"[red]{alert['level']}[/red]  {alert['name']}: {alert['message']}", soft_wrap=True)
    print_runs(_rows(shown, "runs"))


@sync.command()
@click.argument("name")
@click.option("--resend", is_flag=True, help="As if everybody were to be added again.")
@click.option("--reveal", is_flag=True, help="Show the bodies of the requests; they hold personal data.")
@json_option
def plan(name: str, *, resend: bool, reveal: bool, as_json: bool) -> None:
    """Say what the next run would do: counts, guards, samples, the very requests. Nothing is sent."""
    shown = _order(name, "plan", SyncOrder(kind="resend" if resend else "", reveal=reveal))
    if as_json:
        print_json(shown)
    else:
        _print_plan(shown)
    if shown.get("held"):
        raise click.exceptions.Exit(EXIT_HELD)


@sync.command()
@click.argument("name")
@click.option("--resend", is_flag=True, help="Add everybody who is in again, whatever is known of the list.")
@click.option("--wait", is_flag=True, help="Until the run has ended; the exit code says how.")
@click.option("--while-paused", is_flag=True, help="Although the sync is paused.")
@json_option
def run(name: str, *, resend: bool, wait: bool, while_paused: bool, as_json: bool) -> None:
    """Start a run now. Exit codes with --wait: 0 good, 1 failed, 3 held, 4 partial."""
    started = _order(name, "run", SyncOrder(kind="resend" if resend else "", while_paused=while_paused))
    number = _number(started, "id")
    if not wait:
        if as_json:
            print_json(started)
        else:
            out.print(f"run {number} is queued; `gateway run show {number}` tells how it goes")
        return
    finish(number, as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--now", is_flag=True, help="Stop the run that is open, too.")
@json_option
def pause(name: str, *, now: bool, as_json: bool) -> None:
    """Start no more runs by schedule; changes are still remembered, deletions still go out."""
    _told(_order(name, "pause", SyncOrder(now=now)), f"{name} is paused", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--run", "and_run", is_flag=True, help="Start a run at once.")
@json_option
def resume(name: str, *, and_run: bool, as_json: bool) -> None:
    """Go on with the next tick."""
    _told(_order(name, "resume", SyncOrder(run=and_run)), f"{name} goes on", as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def retry(name: str, *, as_json: bool) -> None:
    """Try again, with the next run, what was refused, is backing off or was given up."""
    shown = _order(name, "retry", SyncOrder())
    _told(shown, f"{shown['changed']} members are tried again with the next run", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--listed/--not-listed", required=True, help="What is true of the members of whom nobody knows.")
@json_option
def resolve(name: str, *, listed: bool, as_json: bool) -> None:
    """Say of all members whose last answer was lost whether they are on the list."""
    shown = _order(name, "resolve", SyncOrder(listed=listed))
    _told(shown, f"{shown['changed']} members are settled", as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def clear(name: str, *, as_json: bool) -> None:
    """Take everybody off the list."""
    shown = _order(name, "clear", SyncOrder())
    _told(shown, f"run {shown['id']} takes everybody off the list", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--forget-removals", is_flag=True, help="Say it: who has left can then not be removed any more.")
@json_option
def reset(name: str, *, forget_removals: bool, as_json: bool) -> None:
    """Forget what the platform holds, so that everybody is added anew."""
    if not forget_removals:
        fail("Say --forget-removals: whoever left and is still on the list can then not be removed.", code=EXIT_INVALID)
    shown = _order(name, "reset", SyncOrder(forget_removals=True))
    _told(shown, f"{shown['changed']} records are forgotten", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option(
    "--clear/--leave", "and_clear", default=False, help="Take everybody off the list first, or leave them on it."
)
@json_option
def delete(name: str, *, and_clear: bool, as_json: bool) -> None:
    """End a sync. `undelete` brings it back within 30 days."""
    _told(_order(name, "delete", SyncOrder(clear=and_clear)), f"{name} is ended", as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def undelete(name: str, *, as_json: bool) -> None:
    """Bring back a sync that was ended."""
    _told(_order(name, "undelete", SyncOrder()), f"{name} is back", as_json=as_json)


@sync.command("diff-runs")
@click.argument("older", type=int)
@click.argument("newer", type=int)
@json_option
def diff_runs(older: int, newer: int, *, as_json: bool) -> None:
    """Say who came on the list, went and changed between two runs, by their snapshots."""
    shown = order("GET", f"/api/runs/{newer}/since/{older}", dict[str, object])
    told = f"{shown['came']} came, {shown['went']} went, {shown['changed']} changed, {shown['same']} are the same"
    _told(shown, told, as_json=as_json)


def finish(number: int, *, as_json: bool) -> None:
    """Follow a run to its end, with progress, and exit as it ended."""
    from gateway.cli.runs import fetch_run, print_run  # noqa: PLC0415 - the two groups show each other's things

    started = time.monotonic()
    with out.status("…") as status:
        while True:
            shown = fetch_run(number)
            if shown["status"] in ENDED:
                break
            status.update(_progress(shown, time.monotonic() - started))
            if as_json:
                print_line({"status": shown["status"], "done": shown["done"], "planned": shown["planned"]})
            time.sleep(POLL_S)
    if as_json:
        print_json(shown)
    else:
        print_run(shown)
    raise click.exceptions.Exit(_EXITS.get(str(shown["status"]), EXIT_FAILED))


def print_runs(runs: list[Shown]) -> None:
    """A table of runs."""
    table(
        "Runs",
        ("run", "kind", "trigger", "status", "started", "took", "planned", "done", "wrong", "reason"),
        (
            (
                one["id"], one["kind"], one["trigger"], one["status"], moment(_number(one, "started_us")), _took(one),
                one["planned"], one["done"], one["wrong"], one["reason"],
            )
            for one in runs
        ),
    )  # fmt: skip


def _progress(shown: Shown, passed_s: float) -> str:
    """A line of progress with the time it still takes, by the pace so far."""
    planned, ended = _number(shown, "planned"), _number(shown, "done") + _number(shown, "wrong")
    told = f"run {shown['id']} {shown['status']}: {ended} of {planned}"
    if 0 < ended < planned:
        told += f", about {span(passed_s * (planned - ended) / ended)} to go"
    return told


def _print_plan(shown: Shown) -> None:
    planned = shown["planned"]
    counts = (
        ", ".join(f"{count} {operation}" for operation, count in planned.items()) if isinstance(planned, dict) else ""
    )
    out.print(f"[bold]{shown['sync']}[/bold]  a run of kind {shown['kind']} would do: {counts or 'nothing'}")
    out.print(
        f"considered {shown['considered']}, unchanged {shown['unchanged']}; on the list {shown['list_before']} → "
        f"{shown['list_after']}; about {shown['requests']} requests, {shown['seconds_at_rate_limit']} s at the rate limit"
    )
    for reason, count in (*_items(shown, "skipped"), *_items(shown, "rejected")):
        out.print(f"left out: {count} {reason}")
    if shown["below_minimum"]:
        out.print("[yellow]below the platform's minimum: nothing would be sent[/yellow]")
    for guard in _rows(shown, "guards"):
        out.print(f"[red]{guard['reaction']}[/red]  {guard['guard']}: {guard['message']}", soft_wrap=True)
    members = shown.get("members")
    for operation, sample in members.items() if isinstance(members, dict) else ():
        for one in sample:
            out.print(f"[dim]{operation}  {one['member']}  {one['payload']}[/dim]", soft_wrap=True)
    for request in _rows(shown, "requests_made"):
        out.print(f"{request['method']} {request['url']}  {request['bytes']} bytes", soft_wrap=True)
        if "body" in request:
            out.print(str(request["body"]), soft_wrap=True, markup=False)


def _order(name: str, verb: str, given: SyncOrder) -> Shown:
    return order("POST", f"/api/syncs/{quote(name)}:{verb}", dict[str, object], given)


def _told(shown: Shown, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        out.print(sentence, markup=False)


def _found(view: StateView, name: str) -> tuple[SyncRow, AudienceRow]:
    found = find_sync(view, name)
    if found is None:
        fail(f"There is no sync `{name}`; `gateway sync list` names them.", code=EXIT_INVALID)
    return found


def _number(shown: Shown, name: str) -> int:
    value = shown.get(name)
    return value if isinstance(value, int) else 0


def _rows(shown: Shown, name: str) -> list[Shown]:
    value = shown.get(name)
    return value if isinstance(value, list) else []


def _items(shown: Shown, name: str) -> list[tuple[str, object]]:
    value = shown.get(name)
    return list(value.items()) if isinstance(value, dict) else []


def _took(one: Shown) -> str:
    started, finished = _number(one, "started_us"), _number(one, "finished_us")
    return span((finished - started) / 1e6) if started and finished else "-"
