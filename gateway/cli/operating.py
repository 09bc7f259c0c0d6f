"""`gateway deliveries|dead|retry|replay|lanes|pause|resume`: what is owed, what died, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

import click
import msgspec
from rich.markup import escape

from gateway.admin.operations import Changed, DeadFilter, LaneShown, ReplayOrder, ReplayResult
from gateway.admin.shown import shown_attempt, shown_delivery
from gateway.cli.api_client import TIMEOUT_S, AdminClient, NotAnsweredError, running_engine
from gateway.cli.known_names import refuse_unknown_lane, refuse_unknown_mapping
from gateway.cli.output import EXIT_FAILED, EXIT_INVALID, fail, json_option, moment, out, print_json, table
from gateway.cli.settings import environment
from gateway.core.errors import OrderError, StoreError
from gateway.store import open_state_reader
from gateway.store.api import StateView
from gateway.store.rows import DeliveryRow, LaneRow

REPLAY_S_MAX = 3600.0
PLAN_S_MAX = 3600.0  # a plan may have to make a million records anew, or to write a whole list
NOT_USABLE = frozenset({400, 404, 413})  # answers that mean: what was given cannot be used

T = TypeVar("T")


def ask(work: Callable[[StateView], T]) -> T:
    """Read the state beside a running engine; ends with a sentence when there is none."""
    try:
        state = open_state_reader(environment().data)
        try:
            return state.read(work)
        finally:
            state.close()
    except StoreError as error:
        fail(str(error))
    except OrderError as error:
        fail(str(error), code=EXIT_INVALID)


def engine() -> AdminClient:
    """The running engine; ends with a sentence when none runs, since orders go through it."""
    settings = environment()
    client = running_engine(settings)
    if client is None:
        fail(
            f"No engine runs on {settings.data}. Start it with `gateway serve`; orders, plans and explanations go through it."
        )
    return client


def order(
    method: str,
    path: str,
    wanted: type[T],
    body: object = None,
    *,
    timeout_s: float = TIMEOUT_S,
    unusable: int = EXIT_FAILED,
) -> T:
    """Give the engine an order; ends with its words when it refuses. unusable: the exit code where it knows no such thing."""
    try:
        return engine().call(method, path, wanted, body, timeout_s=timeout_s)
    except NotAnsweredError as error:
        fail(str(error), code=unusable if error.status in NOT_USABLE else EXIT_FAILED)


@click.command()
@click.option("--lane", default="", help="Only this configured destination (the file's name without .json).")
@click.option("--mapping", default="", help="Only this mapping, as `file/mapping`.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def deliveries(lane: str, mapping: str, limit: int, *, as_json: bool) -> None:
    """List what is owed and not yet delivered, and the latest attempts."""
    rows = _listed(lane=lane, mapping=mapping, limit=limit)
    attempts = ask(lambda view: view.attempts(lane=lane, limit=limit))
    if as_json:
        print_json(
            {"deliveries": [shown_delivery(row) for row in rows], "attempts": [shown_attempt(one) for one in attempts]}
        )
        return
    table(
        "Owed",
        ("id", "mapping", "operation", "state", "failures", "due", "last reason"),
        ((row.id, row.mapping, row.operation, row.state, row.failures, moment(row.due_us), row.reason) for row in rows),
    )
    table(
        "Latest attempts",
        ("started", "mapping", "outcome", "status", "deliveries", "ms", "reason"),
        (
            (
                moment(one.started_us),
                one.mapping,
                one.outcome,
                one.status,
                len(one.deliveries),
                one.duration_ms,
                one.reason,
            )
            for one in attempts
        ),
    )


@click.command()
@click.option("--lane", default="")
@click.option("--mapping", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def dead(lane: str, mapping: str, limit: int, *, as_json: bool) -> None:
    """List deliveries that ended dead, with the cause. `gateway retry` brings them back."""
    rows = _listed(lane=lane, mapping=mapping, state="dead", limit=limit)
    if as_json:
        print_json([shown_delivery(row) for row in rows])
        return
    table(
        "Dead",
        ("id", "mapping", "operation", "failures", "status", "since", "reason"),
        (
            (row.id, row.mapping, row.operation, row.failures, row.status, moment(row.due_us), row.reason)
            for row in rows
        ),
    )


@click.command()
@click.argument("ids", type=click.IntRange(1, 2**62), nargs=-1)
@click.option("--lane", default="", help="All of this destination.")
@click.option("--mapping", default="", help="All of this mapping, as `file/mapping`.")
@click.option("--reason", default="", help="All whose reason holds this text.")
@click.option("--drop", is_flag=True, help="Delete the dead ones for good instead.")
@json_option
def retry(ids: tuple[int, ...], lane: str, mapping: str, reason: str, *, drop: bool, as_json: bool) -> None:
    """Make dead deliveries due again, and try now what waits for its next try; by id or by filter."""
    chosen = DeadFilter(lane=lane, mapping=mapping, ids=list(ids), reason=reason)
    if chosen.is_empty:
        fail("Say which: ids, --lane, --mapping or --reason.", code=EXIT_INVALID)
    changed = order(
        "POST", "/api/dead/drop" if drop else "/api/dead/retry", Changed, chosen, unusable=EXIT_INVALID
    ).changed
    if as_json:
        print_json({"changed": changed})
    else:
        out.print(f"{changed} {'dropped' if drop else 'due again'}")


@click.command()
@click.option("--from", "start", required=True, help="First arrival, ISO time or date (UTC).")
@click.option("--to", "end", default="", help="End of the arrivals, not included; default: now.")
@click.option("--source", default="", help="Only events of this source.")
@click.option("--mapping", default="", help="Only this mapping (`file/mapping`) or all of a file (`file`).")
@click.option("--dry-run", is_flag=True, help="Count only.")
@json_option
def replay(start: str, end: str, source: str, mapping: str, *, dry_run: bool, as_json: bool) -> None:
    """Route kept events again, through the mappings as they are now. Nobody who has left since is brought back."""
    wanted = ReplayOrder(
        from_us=parse_moment(start),
        to_us=parse_moment(end) if end else int(datetime.now(UTC).timestamp() * 1e6),
        source=source,
        mapping=mapping,
        dry_run=dry_run,
    )
    with out.status("Replaying…"):
        result = order("POST", "/api/replays", ReplayResult, wanted, timeout_s=REPLAY_S_MAX, unusable=EXIT_INVALID)
    if as_json:
        print_json(result)
        return
    out.print(
        f"{result.events} events: {result.deliveries} deliveries {'would be' if dry_run else 'are'} owed again, "
        f"{result.kept_back} kept back because the ledger says otherwise by now, {result.missing} no longer kept"
    )


@click.command()
@json_option
def lanes(*, as_json: bool) -> None:
    """List the lanes: one for each configured destination, with its backlog and standing."""
    rows = _lanes()
    if as_json:
        print_json(rows)
        return
    table(
        "Lanes",
        ("lane", "due", "in flight", "dead", "standing", "why"),
        ((row.lane, row.due, row.in_flight, row.dead, row.standing, row.reason) for row in rows),
    )


@click.command()
@click.argument("lane")
def pause(lane: str) -> None:
    """Stop sending to a destination; its backlog is kept."""
    order("POST", f"/api/lanes/{quote(lane, safe='')}/pause", msgspec.Raw, unusable=EXIT_INVALID)
    out.print(f"{escape(lane)} is paused")


@click.command()
@click.argument("lane")
@click.option("--probe", is_flag=True, help="Send one delivery only; the lane is free again if the platform takes it.")
def resume(lane: str, *, probe: bool) -> None:
    """Send to a destination again: ends a pause, a hold and all waiting. Secrets are read again."""
    verb = "probe" if probe else "resume"
    order("POST", f"/api/lanes/{quote(lane, safe='')}/{verb}", msgspec.Raw, unusable=EXIT_INVALID)
    out.print(f"{escape(lane)} sends {'one delivery' if probe else 'again'}")


def _listed(*, lane: str, mapping: str, limit: int, state: str = "") -> list[DeliveryRow]:
    """Deliveries; ends with 2 where there are none because nothing is called so."""

    def look(view: StateView) -> list[DeliveryRow]:
        rows = view.deliveries(lane=lane, mapping=mapping, state=state, limit=limit)
        if lane and not rows:
            refuse_unknown_lane(view, lane)
        if mapping and not rows and not view.deliveries(mapping=mapping, limit=1):
            refuse_unknown_mapping(mapping)
        return rows

    return ask(look)


def _lanes() -> list[LaneShown]:
    """As the running engine sees them, else as they were left."""
    client = running_engine(environment())
    if client is None:
        return [_as_left(row) for row in ask(lambda view: view.lanes())]
    try:
        return client.call("GET", "/api/lanes", _Lanes).lanes
    except NotAnsweredError as error:
        fail(str(error))


class _Lanes(msgspec.Struct, frozen=True):
    lanes: list[LaneShown]


def _as_left(row: LaneRow) -> LaneShown:
    standing = "paused" if row.paused else "held" if row.hold else "not running"
    return LaneShown(
        lane=row.lane,
        standing=standing,
        reason=f"{row.hold}: {row.hold_reason}" if row.hold else "no engine runs",
        due=row.due,
        in_flight=row.claimed,
        dead=row.dead,
        paused=row.paused,
        hold=row.hold,
        breaker=row.breaker,
        oldest_due_us=row.oldest_due_us,
    )


def parse_moment(text: str) -> int:
    """An ISO time or date in Unix microseconds, UTC unless it says otherwise; ends with a sentence where it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        fail(f"`{text}` is not a time; write for example 2026-11-22 or 2026-11-22T10:30:00Z.", code=EXIT_INVALID)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)
