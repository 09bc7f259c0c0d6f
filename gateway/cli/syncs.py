"""`gateway sync …`: lists kept equal by runs; what the next run would do, and orders to do it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import click
import msgspec

from gateway.admin.sync_orders import (
    DeleteOrder,
    NoOrder,
    PauseOrder,
    PlanOrder,
    ResetOrder,
    ResolveOrder,
    ResumeOrder,
    RunOrder,
)
from gateway.cli.api_client import TIMEOUT_S
from gateway.cli.operating import PLAN_S_MAX, ask, order, parse_moment
from gateway.cli.output import EXIT_HELD, EXIT_INVALID, err, fail, json_option, moment, out, print_json, table
from gateway.cli.run_following import finish
from gateway.cli.shown_members import Shown, number
from gateway.cli.sync_logs import export_sync, form_of, format_option, out_option
from gateway.cli.sync_pages import print_member, print_plan, print_sync
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import SyncRow
from gateway.syncs.names import find_sync
from gateway.syncs.showing import shown_alerts, sync_list, sync_page

ENDLESS_US = 2**62

resend_option = click.option(
    "--resend", "--full", "resend", is_flag=True, help="As if everybody who is in were to be added again."
)


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
        ("sync", "status", "health", "audience", "on the list", "next run", "last success", "why"),
        (
            (
                one["name"], one["status"], one["health"], one["audience_size"], one["list_size"], moment(number(one, "next_us")),
                moment(number(one, "last_success_us")), one["why"],
            )
            for one in shown
        ),
    )  # fmt: skip


@sync.command()
@click.argument("name")
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Show one sync: sizes, what is waiting, alerts, its last runs."""
    shown = ask(lambda view: sync_page(view, *_found(view, name), now_us=time.time_ns() // 1_000))
    if as_json:
        print_json(shown)
    else:
        print_sync(shown)


@sync.command()
@click.argument("name", default="")
@json_option
def alerts(name: str, *, as_json: bool) -> None:
    """List the alerts that stand, of all syncs or of one."""
    shown = ask(lambda view: shown_alerts(view, sync=_found(view, name)[0].id if name else 0))
    if as_json:
        print_json(shown)
        return
    table(
        "Alerts",
        ("sync", "level", "alert", "since", "told", "message"),
        (
            (
                one["sync"], one["level"], one["name"], moment(number(one, "since_us")), moment(number(one, "told_us")),
                one["message"],
            )
            for one in shown
        ),
    )  # fmt: skip


@sync.command()
@click.argument("name")
@resend_option
@click.option("--reveal", is_flag=True, help="Show the bodies of the requests to the byte; they hold personal data.")
@json_option
def plan(name: str, *, resend: bool, reveal: bool, as_json: bool) -> None:
    """Say what the next run would do: counts, guards, samples, the very requests. Nothing is sent."""
    given = PlanOrder(kind=_kind(resend=resend), reveal=reveal)
    with err.status("Planning…"):
        shown = _order(name, "plan", given, timeout_s=PLAN_S_MAX)
    if as_json:
        print_json(shown)
    else:
        print_plan(shown)
    if shown.get("held"):
        raise click.exceptions.Exit(EXIT_HELD)


@sync.command()
@click.argument("name")
@resend_option
@click.option("--wait", is_flag=True, help="Until the run has ended; the exit code says how.")
@click.option("--while-paused", is_flag=True, help="Although the sync is paused.")
@json_option
def run(name: str, *, resend: bool, wait: bool, while_paused: bool, as_json: bool) -> None:
    """Start a run now. Exit codes with --wait: 0 good, 1 failed, 3 held, 4 partial."""
    started = _order(name, "run", RunOrder(kind=_kind(resend=resend), while_paused=while_paused, trigger="manual"))
    run_id = number(started, "id")
    if not wait:
        if as_json:
            print_json(started)
        else:
            out.print(f"run {run_id} is queued; `gateway run show {run_id}` tells how it goes")
        return
    finish(run_id, as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--now", is_flag=True, help="Stop the run that is open, too.")
@json_option
def pause(name: str, *, now: bool, as_json: bool) -> None:
    """Start no more runs by schedule; changes are still remembered, deletions still go out."""
    _told(_order(name, "pause", PauseOrder(now=now)), f"{name} is paused", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--run", "and_run", is_flag=True, help="Start a run at once.")
@json_option
def resume(name: str, *, and_run: bool, as_json: bool) -> None:
    """Go on with the next tick."""
    _told(_order(name, "resume", ResumeOrder(run=and_run)), f"{name} goes on", as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def retry(name: str, *, as_json: bool) -> None:
    """Try again, with the next run, what was refused, is backing off or was given up."""
    shown = _order(name, "retry", NoOrder())
    _told(shown, f"{shown['changed']} members are tried again with the next run", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--listed/--not-listed", default=None, help="What is true of the members of whom nobody knows.")
@json_option
def resolve(name: str, *, listed: bool | None, as_json: bool) -> None:
    """Say of all members whose last answer was lost whether they are on the list."""
    if listed is None:
        fail("Say --listed or --not-listed: look at the platform which is true.", code=EXIT_INVALID)
    shown = _order(name, "resolve", ResolveOrder(listed=listed))
    _told(shown, f"{shown['changed']} members are settled", as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def clear(name: str, *, as_json: bool) -> None:
    """Take everybody off the list."""
    shown = _order(name, "clear", NoOrder())
    _told(shown, f"run {shown['id']} takes everybody off the list", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--forget-removals", is_flag=True, help="Say it: who has left can then not be removed any more.")
@json_option
def reset(name: str, *, forget_removals: bool, as_json: bool) -> None:
    """Forget what the platform holds, so that everybody is added anew."""
    if not forget_removals:
        fail("Say --forget-removals: whoever left and is still on the list can then not be removed.", code=EXIT_INVALID)
    shown = _order(name, "reset", ResetOrder(forget_removals=True))
    _told(shown, f"{shown['changed']} records are forgotten", as_json=as_json)


@sync.command()
@click.argument("name")
@click.option(
    "--clear/--leave", "and_clear", default=False, help="Take everybody off the list first, or leave them on it."
)
@json_option
def delete(name: str, *, and_clear: bool, as_json: bool) -> None:
    """End a sync; --leave (the default) leaves its members on the list. `undelete` brings it back within 30 days."""
    shown = _order(name, "delete", DeleteOrder(clear=and_clear))
    sentence = f"run {shown['id']} clears the list, then {name} is ended" if and_clear else f"{name} is ended"
    _told(shown, sentence, as_json=as_json)


@sync.command()
@click.argument("name")
@json_option
def undelete(name: str, *, as_json: bool) -> None:
    """Bring back a sync that was ended."""
    _told(_order(name, "undelete", NoOrder()), f"{name} is back", as_json=as_json)


@sync.command("diff-runs")
@click.argument("older", type=int)
@click.argument("newer", type=int)
@json_option
def diff_runs(older: int, newer: int, *, as_json: bool) -> None:
    """Say who came on the list, went and changed between two runs, by their snapshots."""
    shown = order("GET", f"/api/runs/{newer}/since/{older}", dict[str, object], unusable=EXIT_INVALID)
    told = f"{shown['came']} came, {shown['went']} went, {shown['changed']} changed, {shown['same']} are the same"
    _told(shown, told, as_json=as_json)


@sync.command()
@click.argument("name")
@click.option("--member", "key", required=True, help="Canonical id: `user_id:u-17`, `anonymous_id:…`, `email:…`.")
@click.option("--reveal", is_flag=True, help="Show personal values in clear.")
@json_option
def explain(name: str, key: str, *, reveal: bool, as_json: bool) -> None:
    """Say why a person is on the list or is not, and what to do; with the record, what was sent, the last operations."""
    path = f"/api/syncs/{quote(name)}/members/{quote(key, safe='')}{'?reveal=true' if reveal else ''}"
    shown = order("GET", path, dict[str, object], unusable=EXIT_INVALID)
    if as_json:
        print_json(shown)
    else:
        print_member(shown)


@sync.command()
@click.argument("name")
@click.option("--since", default="", help="First moment, ISO time or date (UTC).")
@click.option("--until", default="", help="End, not included; default: now.")
@format_option
@out_option
def log(name: str, since: str, until: str, form: str | None, path: Path | None) -> None:
    """Print or write a sync's log of a time, over all its runs; JSON lines unless --format says csv."""
    since_us = parse_moment(since) if since else 0
    until_us = parse_moment(until) if until else ENDLESS_US
    export_sync(name, form_of(form), path, since_us=since_us, until_us=until_us)


@sync.command("restore-state")
@click.argument("run", type=int)
@json_option
def restore_state(run: int, *, as_json: bool) -> None:
    """Make unsure what is not as the snapshot of a run has it: for a database restored from an old backup.

    Bookkeeping only: nothing is sent, and the next run asks the platform anew.
    """
    shown = order("POST", f"/api/runs/{run}:restore-state", dict[str, object], NoOrder(), unusable=EXIT_INVALID)
    told = f"{shown['sync']}: {shown['same']} as in run {run}, {shown['unsure']} unsure now"
    lost = f"; {shown['lost']} were listed then and nothing is kept of them" if shown["lost"] else ""
    _told(shown, told + lost, as_json=as_json)


def _kind(*, resend: bool) -> Literal["", "resend"]:
    return "resend" if resend else ""


def _order(name: str, verb: str, given: msgspec.Struct, *, timeout_s: float = TIMEOUT_S) -> Shown:
    path = f"/api/syncs/{quote(name)}:{verb}"
    return order("POST", path, dict[str, object], given, timeout_s=timeout_s, unusable=EXIT_INVALID)


def _told(shown: Shown, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        out.print(sentence, markup=False, soft_wrap=True)


def _found(view: StateView, name: str) -> tuple[SyncRow, AudienceRow]:
    found = find_sync(view, name)
    if found is None:
        fail(f"There is no sync `{name}`; `gateway sync list` names them.", code=EXIT_INVALID)
    return found
