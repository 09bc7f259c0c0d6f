"""Syncs, plans and members of syncs as people read them."""

from __future__ import annotations

from rich.markup import escape

from gateway.cli.output import counted, moment, out, span, table
from gateway.cli.shown_members import Shown, inner, number, rows, told, took

COLOURS = {"healthy": "green", "warning": "yellow", "stale": "yellow", "failing": "red", "held": "red"}

_WORDS = {
    "to_add": "to be added",
    "to_track": "to be remembered",
    "to_update": "to be updated",
    "to_remove": "to be removed",
    "to_erase": "to be erased",
    "retained": "left and stay (additive)",
    "unsure": "unsure",
    "shared": "with identifiers that another member has",
}
_BY_CODE = {"unmappable": "cannot be rendered", "quarantined": "refused and quarantined", "failed": "failed"}


def print_sync(shown: Shown) -> None:
    """One sync."""
    name = escape(str(shown["name"]))
    health = str(shown["health"])
    out.print(
        f"[bold]{name}[/bold]  {shown['status']}  [{COLOURS[health]}]{health}[/]  {escape(str(shown['why']))}",
        soft_wrap=True,
    )
    out.print(
        f"in the audience {shown['audience_size']} · in for the sync {shown['members_in']} · on the list {shown['list_size']} · "
        f"difference {shown['difference']}"
    )
    for line in _difference(inner(shown, "makes_it_up")):
        out.print(f"  {line}", markup=False)
    out.print(f"mode {shown['mode'] or '-'} · schedule: {shown['schedule'] or '-'}", markup=False)
    out.print(
        f"next run {moment(number(shown, 'next_us'))} · last synced {moment(number(shown, 'last_synced_us'))} · "
        f"last success {moment(number(shown, 'last_success_us'))}"
    )
    fresh = number(shown, "freshness_s")
    out.print(f"oldest change not sent: {span(fresh) if fresh else 'none'} · mapping version {_version(shown)}")
    older = number(shown, "delivered_under_older")
    if older:
        out.print(
            f"[yellow]{older} on the list were sent by an earlier version of the mapping; `gateway sync run {name} --resend` "
            "sends them anew[/yellow]",
            soft_wrap=True,
        )
    for guard in rows(shown, "guards"):
        out.print(
            f"guard of run {guard['run']}  {guard['reaction']}  {guard['guard']}: {escape(str(guard['message']))}",
            soft_wrap=True,
        )
    for alert in rows(shown, "alerts"):
        out.print(
            f"[red]{alert['level']}[/red]  {alert['name']} since {moment(number(alert, 'since_us'))}: "
            f"{escape(str(alert['message']))}",
            soft_wrap=True,
        )
    print_runs(rows(shown, "runs"))


def print_runs(runs: list[Shown]) -> None:
    """A table of runs."""
    table(
        "Runs",
        ("run", "kind", "trigger", "status", "started", "took", "planned", "done", "wrong", "counters", "reason"),
        (
            (
                one["id"], one["kind"], one["trigger"], one["status"], moment(number(one, "started_us")), took(one),
                one["planned"], one["done"], one["wrong"], _counters(one), one["reason"],
            )
            for one in runs
        ),
    )  # fmt: skip


def print_plan(shown: Shown) -> None:
    """A plan: counts, guards, samples, the requests."""
    out.print(
        f"[bold]{escape(str(shown['sync']))}[/bold]  a run of kind {shown['kind']} would do: "
        f"{told(shown, 'planned') or 'nothing'}"
    )
    if shown["note"]:
        out.print(f"[yellow]{escape(str(shown['note']))}[/yellow]", soft_wrap=True)
    if shown["skipped_for"]:
        out.print(f"[yellow]the run would be skipped and send nothing: {shown['skipped_for']}[/yellow]", soft_wrap=True)
    out.print(f"[dim]mapping version {_version(shown)} · plan {shown['plan_digest'] or 'empty'}[/dim]", soft_wrap=True)
    out.print(
        f"considered {shown['considered']}, unchanged {shown['unchanged']}; on the list {shown['list_before']} → "
        f"{shown['list_after']}; about {shown['requests']} requests, {span(_seconds(shown))} at {shown['requests_per_s']:g} "
        "requests/s"
    )
    for name in ("skipped", "rejected"):
        for reason, count in inner(shown, name).items():
            out.print(f"left out: {count} {reason}")
    if shown["below_minimum"]:
        out.print("[yellow]below the platform's minimum: nothing would be sent[/yellow]")
    for guard in rows(shown, "guards"):
        out.print(f"[red]{guard['reaction']}[/red]  {guard['guard']}: {escape(str(guard['message']))}", soft_wrap=True)
    for operation, sample in inner(shown, "members").items():
        for one in sample if isinstance(sample, list) else []:
            out.print(f"[dim]{operation}  {one['member']}  {escape(str(one['payload']))}[/dim]", soft_wrap=True)
    _print_upload(inner(shown, "upload"))
    for request in rows(shown, "requests_made"):
        out.print(f"{request['method']} {request['url']}  {request['bytes']} bytes", soft_wrap=True, markup=False)
        if request["note"]:
            out.print(f"[dim]{escape(str(request['note']))}[/dim]", soft_wrap=True)
        if request.get("sha256") and request["bytes"]:
            out.print(f"[dim]sha-256 {request['sha256']}, {request['lines']} lines[/dim]", soft_wrap=True)
        if request["body"]:
            out.print(str(request["body"]), soft_wrap=True, markup=False)


def _print_upload(upload: Shown) -> None:
    """A whole list as it would go out."""
    if upload and not upload["goes_out"]:
        out.print(f"[red]it would not go out[/red]: {escape(str(upload['reason']))}", soft_wrap=True)
    counts = inner(upload, "list")
    if counts:
        out.print("the list: " + ", ".join(f"{name} {count}" for name, count in counts.items()), markup=False)


def print_member(shown: Shown) -> None:
    """One person and one sync: the sentence first, then what it was made of."""
    out.print(f"[bold]{escape(str(shown['member']))}[/bold]  {shown['code']}  {shown['member_ref']}", soft_wrap=True)
    out.print(escape(str(shown["sentence"])), soft_wrap=True)
    out.print(f"audience: {membership_words(inner(shown, 'membership'))}", soft_wrap=True, markup=False)
    for record in rows(shown, "records"):
        print_record(record)
    table(
        "Last operations",
        ("run", "ended", "operation", "status", "code", "http", "attempts", "message"),
        (
            (
                one["run"], moment(number(one, "finished_us")), one["operation"], one["status"], one["code"],
                one["http_status"] or "-", one["attempts"], one["message"],
            )
            for one in rows(shown, "operations")
        ),
    )  # fmt: skip


def membership_words(membership: Shown) -> str:
    """In or out, since when and by which event."""
    event = inner(membership, "event")
    where = (
        f", by the event at {event['place']}"
        f"{' (message ' + str(event['message_id']) + ')' if event.get('message_id') else ''}"
        f"{'' if event['is_kept'] else ', whose bytes are no longer kept'}"
        if event
        else ""
    )
    since = f" since {moment(number(membership, 'since_us'))}" if number(membership, "since_us") else ""
    return f"{membership['state']}{since}{where}"


def print_record(record: Shown) -> None:
    """What a sync knows of a member: listed or not, wanted, sent, what is wrong."""
    line = f" (line {record['line']})" if record["line"] else ""
    out.print(f"on the list{line}: {record['state']}, last change {moment(number(record, 'changed_us'))}", markup=False)
    for name, words in (("wanted", "wanted "), ("sent", "as sent")):
        rendered = inner(record, name)
        if rendered:
            out.print(
                f"  {words}  {rendered['fingerprint']}  {rendered['platform_gets']}", soft_wrap=True, markup=False
            )
    orphans = rows(record, "orphans")
    if orphans:
        out.print(
            f"  {len(orphans)} earlier entries still listed: {', '.join(str(one['identity']) for one in orphans)}"
        )
    problem = inner(record, "problem")
    if problem:
        until = f", not before {moment(number(problem, 'next_try_us'))}" if number(problem, "next_try_us") else ""
        what = f" ({problem['operation']})" if problem["operation"] else ""
        out.print(
            f"  problem: {problem['kind']} {problem['code']}{what}, {counted(number(problem, 'attempts'), 'time')} since "
            f"{moment(number(problem, 'first_us'))}{until}",
            soft_wrap=True,
            markup=False,
        )


def _difference(shown: Shown) -> list[str]:
    lines = [f"{number(shown, name)} {words}" for name, words in _WORDS.items() if number(shown, name)]
    for name, words in _BY_CODE.items():
        lines += [f"{count} {words}: {code}" for code, count in inner(shown, name).items()]
    return lines


def _counters(run: Shown) -> str:
    counters = inner(run, "counters")
    told_of = ("added", "updated", "removed", "failed", "unsure", "cancelled", "unchanged")
    counts = [f"{name} {number(counters, name)}" for name in told_of if number(counters, name)]
    rejected = number(counters, "rejected_mapping") + number(counters, "rejected_destination")
    return ", ".join([*counts, *([f"rejected {rejected}"] if rejected else [])])


def _version(shown: Shown) -> str:
    return str(shown["mapping_version"])[:12] or "none yet"


def _seconds(shown: Shown) -> float:
    value = shown["seconds_at_rate_limit"]
    return float(value) if isinstance(value, int | float) else 0.0
