"""A run as people read it."""

from __future__ import annotations

from rich.markup import escape

from gateway.cli.output import moment, out, table
from gateway.cli.shown_members import Shown, inner, number, rows, took

_TIMES = (
    ("queued_us", "queued"),
    ("started_us", "started"),
    ("planned_us", "planned"),
    ("first_request_us", "first request"),
    ("last_answer_us", "last answer"),
    ("finished_us", "ended"),
)
_PLAIN = ("considered", "members_in", "unchanged", "added", "updated", "removed", "erased", "failed", "rejected_mapping",
          "rejected_destination", "unsure", "cancelled", "requests", "attempts", "bytes", "list_before", "list_after")  # fmt: skip


def print_run(shown: Shown) -> None:
    """Its way through time, counters and their sums, guards, problems with the mend, requests, samples."""
    out.print(
        f"[bold]run {shown['id']}[/bold]  {escape(str(shown['sync_name']))}  {shown['kind']}  {shown['status']}  "
        f"{escape(str(shown['reason']))}",
        soft_wrap=True,
    )
    timeline = inner(shown, "timeline")
    out.print(" · ".join(f"{words} {moment(number(timeline, name))}" for name, words in _TIMES if timeline.get(name)))
    out.print(
        f"trigger {shown['trigger']} · took {took(shown)} · missed ticks {shown['missed']} · coalesced {shown['coalesced']}"
        + (f" · approved by {escape(str(shown['approved_by']))}" if shown["approved_by"] else "")
    )
    if shown["plan_digest"]:
        out.print(f"[dim]plan {shown['plan_digest']}[/dim]", soft_wrap=True)
    out.print(_counted(inner(shown, "counters")), soft_wrap=True)
    if shown["sums_hold"]:
        out.print("the sums hold")
    for broken in _texts(shown, "broken_sums"):
        out.print(f"[red]{escape(broken)}[/red]", soft_wrap=True)
    for guard in rows(shown, "guards"):
        out.print(
            f"[yellow]{guard['reaction']}[/yellow]  {guard['guard']}: {escape(str(guard['message']))}", soft_wrap=True
        )
    for one in rows(shown, "problems"):
        http = f", http {one['http_status']}" if one["http_status"] else ""
        code = str(one["code"] or one["stage"])
        message = str(one["message"]).removeprefix(f"{code}: ")
        out.print(
            f"[red]{one['count']} {one['status']}[/red]  {escape(code)}{http}{escape(f': {message}') if message else ''}",
            soft_wrap=True,
        )
        out.print(f"  [dim]{escape(str(one['fix']))}[/dim]", soft_wrap=True)
    if rows(shown, "requests"):
        table(
            "Requests, the latest",
            ("began", "ms", "outcome", "http", "records", "request", "reason"),
            (
                (
                    moment(number(one, "started_us")), one["duration_ms"], one["outcome"], one["http_status"] or "-",
                    one["deliveries"], one["request"], one["reason"],
                )
                for one in rows(shown, "requests")
            ),
        )  # fmt: skip
    for line in rows(shown, "sample"):
        out.print(
            f"[dim]{line['member_ref']}  {line['operation']} {line['status']}  {line['code']} "
            f"{escape(str(line['message']))}[/dim]",
            soft_wrap=True,
        )
    if shown["status"] == "held":
        out.print(f"it waits for a person: gateway run approve {shown['id']}, or gateway run reject {shown['id']}")
    out.print(f"[dim]line by line: gateway run log {shown['id']}[/dim]")


def _counted(counters: Shown) -> str:
    parts = [f"{name.replace('_', ' ')} {number(counters, name)}" for name in _PLAIN if number(counters, name)]
    for name in ("planned", "skipped"):
        parts += [f"{name} {what} {count}" for what, count in inner(counters, name).items()]
    return ", ".join(parts) or "nothing was counted"


def _texts(shown: Shown, name: str) -> list[str]:
    value = shown.get(name)
    return [str(one) for one in value] if isinstance(value, list) else []
