"""What the next run of a sync would do: counts, guards, samples, the very requests. Nothing is sent and nothing is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from gateway.core.guards import check_guards, is_held
from gateway.core.masking_requests import RequestMask
from gateway.core.rulebook import Rulebook
from gateway.core.run_counters import RunCounters
from gateway.core.sync_plan import Planned, PlanRules, is_resend_due, kind_of_run
from gateway.core.sync_records import Entry
from gateway.destinations.base import Batch, Destination, Notes, Owed
from gateway.destinations.rehearsal import rehearse
from gateway.store.api import StateStore
from gateway.store.sync_rows import ABSENT, PlannedRow, RunRow
from gateway.syncs.list_plans import (
    ForetellList,
    external_id_of,
    facts_of,
    note_of,
    plan_list,
    upload_shown,
    without_secrets,
)
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.members import plain_of
from gateway.syncs.memory import ERASE, PUT, REMOVE, read_body
from gateway.syncs.names import FIRST_RUN_WAITS, Standing, is_connected, source_quiet_s
from gateway.syncs.pace import Pace
from gateway.syncs.planner import (
    LOOKS_AT_ALL,
    Page,
    PlannedMember,
    count_page,
    digested,
    first_phase,
    operations_of,
    plan_page,
)
from gateway.syncs.sending import with_remembered
from gateway.syncs.settling import member_reference, next_entry
from gateway.syncs.showing import Shown
from gateway.syncs.targets import outlook, target_of
from gateway.syncs.whole_lists import BELOW_MINIMUM

SAMPLES = 5  # members shown of each operation
REHEARSED_MAX = 200  # operations of a phase whose requests are made, rounded up to whole batches; others are counted

STOPPED: Mapping[str, str] = {
    "paused": "The sync is paused: no run starts by itself before `gateway sync resume`.",
    "deleting": "The sync is being ended: its list is cleared, and nothing runs behind that.",
    "deleted": "The sync is deleted: no run starts before `gateway sync undelete`.",
}
"""Standings in which no run starts by itself, deletions apart, and what a plan says of them."""

_PART_OF = {"enter": "add", "exit": "remove"}  # as a pace calls what a delivery does

_decode = msgspec.json.Decoder(dict[str, object]).decode


class DryRun(msgspec.Struct, kw_only=True):
    """A plan being made. most: operations of one phase whose requests are shown. change: of the number of members listed."""

    kind: str
    counters: RunCounters
    most: int
    change: int = 0
    digest: str = ""
    sample: list[PlannedRow] = []
    rejected: dict[str, int] = {}


class PlanTools(NamedTuple):
    """What plans are made with. rules: of a sync and a kind of run. notes: of a configured destination, by its key."""

    rules: Callable[[Standing, str], PlanRules]
    registry: Mapping[str, Destination]
    reference_key: bytes
    notes: Callable[[str], Notes]
    foretell: ForetellList


async def plan_sync(
    state: StateStore,
    standing: Standing,
    tools: PlanTools,
    *,
    kind: str,
    reveal: bool,
    pace: Pace,
    rulebook: Rulebook,
    now_us: int,
) -> Shown:
    """The plan of the next run. kind: "resend", or "" for what the schedule would start. reveal: requests unmasked.

    pace: how fast its requests may go.
    """
    ahead, running = await state.read(
        lambda view: (outlook(view, standing, rulebook, now_us), view.running_run(standing.sync.id))
    )
    memory = ahead.memory
    capabilities = standing.mapping.capabilities
    chosen = kind or kind_of_run(
        is_first=not memory.has_run,
        mode=standing.options.mode,
        initial=standing.options.initial,
        capabilities=capabilities,
        owes_resend=memory.owes_resend
        or is_resend_due(standing.options.resend_every_s, last_us=memory.all_added_us, now_us=now_us),
    )
    dry = DryRun(kind=chosen, counters=RunCounters(), most=pace.batch * math.ceil(REHEARSED_MAX / pace.batch))
    size = 0
    if capabilities.takes_whole_lists:
        dry.counters, dry.digest, size = await plan_list(state, standing, ahead.listed_run, now_us)
    else:
        await _plan_changes(state, ahead.records, dry, tools.rules(standing, chosen))
    quiet_s = source_quiet_s(standing.audience, now_us)
    facts = dry.counters.facts(source_quiet_s=quiet_s, is_initial=not memory.has_run)
    findings = check_guards(standing.options.guards, facts)
    if capabilities.takes_whole_lists:
        planned = Counter(dry.counters.planned)
        dry.change = planned["add"] - planned["remove"] - planned["erase"]
    is_below = bool(
        capabilities.min_distinct and dry.counters.members_in - dry.counters.unmappable < capabilities.min_distinct
    )
    skipped_for = _skipped_for(standing, is_below=is_below and capabilities.takes_whole_lists)
    waits = standing.options.first_run_approval and facts.is_initial
    shown: Shown = {
        "sync": standing.name,
        "kind": chosen,
        "mapping_version": standing.mapping.version,
        "plan_digest": dry.digest,
        "running": running.id if running is not None else None,
        "stopped": standing.sync.status if standing.sync.status in STOPPED else "",
        "note": _note(standing, running, is_first_held=waits),
        "skipped_for": skipped_for,
        "considered": dry.counters.considered,
        "unchanged": dry.counters.unchanged,
        "planned": dry.counters.planned,
        "skipped": dry.counters.skipped,
        "rejected": dry.rejected,
        "list_before": dry.counters.list_before,
        "list_after": dry.counters.list_before + dry.change,
        "guards": [{"guard": one.guard, "reaction": one.reaction, "message": one.message} for one in findings],
        "held": (is_held(findings) or waits) and not skipped_for,
        "below_minimum": is_below,
        "requests_per_s": pace.requests_per_s,
    }
    requests = 0
    notes = tools.notes(standing.destination.key)
    if skipped_for:
        pass
    elif capabilities.takes_whole_lists:
        requests, upload = await upload_shown(
            standing, tools.registry, size=size, foretell=tools.foretell, notes=notes, reveal=reveal, now_us=now_us
        )
        shown |= upload
    elif dry.sample:
        made, more = await _requests(standing, dry, tools.registry, notes, reveal=reveal, pace=pace)
        requests = len(made) + more
        shown["members"] = _samples(dry, standing, tools.reference_key)
        shown["requests_made"] = made
    return {**shown, "requests": requests, "seconds_at_rate_limit": pace.seconds_of(requests)}


def _skipped_for(standing: Standing, *, is_below: bool) -> str:
    """Why a run ordered now would send nothing at all; "" where it would go its way."""
    if not standing.is_enabled:
        return "destination_disabled"
    if not is_connected(standing):
        return "audience_not_connected"
    return BELOW_MINIMUM if is_below else ""


def _note(standing: Standing, running: RunRow | None, *, is_first_held: bool) -> str:
    """Why no run would start by itself, and what the figures are of, where another run is under way."""
    beside = _beside(standing, running) if running is not None else FIRST_RUN_WAITS if is_first_held else ""
    return " ".join(filter(None, (STOPPED.get(standing.sync.status, ""), beside)))


def _beside(standing: Standing, running: RunRow) -> str:
    said = f"Run {running.id} is {running.status}"
    if standing.sync.rendering == standing.mapping.version:
        return f"{said}: what it has not sent yet counts here as still to be done."
    if running.config not in ("", standing.mapping.version):
        return (
            f"{said} by an earlier version of the mapping, and ends with it. These figures are of the records as that version "
            "made them; the run after it makes them anew first. Plan again when it has ended."
        )
    return f"{said} and makes the records anew first; these figures are of them as they are now. Plan again when it has ended."


async def _plan_changes(state: StateStore, records: RecordsOfList, dry: DryRun, rules: PlanRules) -> None:
    listed, settled = await state.read(
        lambda view: (records.listed_count(view), 0 if dry.kind in LOOKS_AT_ALL else records.settled_count(view))
    )
    room = Counter(dict.fromkeys((ERASE, REMOVE, PUT), dry.most))
    dry.counters.list_before = listed
    dry.counters.considered = dry.counters.unchanged = dry.counters.members_in = settled
    after: int | None = 0
    while after is not None:
        page = await state.read(lambda view, after=after: plan_page(view, records, rules, after=after or 0))  # type: ignore[misc] # a default of a lambda has no type
        count_page(page, dry.counters)
        dry.digest = digested(dry.digest, page)
        for one in page.members:
            if one.planned.bucket == "rejected":
                dry.rejected[one.planned.reason] = dry.rejected.get(one.planned.reason, 0) + 1
        dry.change += sum(_change(one) for one in page.members)
        wanted = tuple(one for one in page.members if _is_sampled(one.planned, room))
        dry.sample += [row for row in operations_of(Page(members=wanted, after=None), 0) if row.phase in room]
        after = page.after


def _is_sampled(planned: Planned, room: Counter[int]) -> bool:
    """Whether its request is to be made; there is less room then."""
    if planned.op is None or not (planned.takes or planned.put is not None):
        return False
    phase = first_phase(planned)
    room[phase] -= 1
    return room[phase] >= 0


def _change(one: PlannedMember) -> int:
    """By how much the number of members who are on the list changes if all goes well."""
    before = one.row.state != ABSENT
    if one.planned.op is not None:
        return (one.planned.op not in ("remove", "erase")) - before
    kept = one.planned.record
    return 0 if kept is None else (kept.state != "absent") - before


def _samples(dry: DryRun, standing: Standing, reference_key: bytes) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for row in dry.sample:
        body = read_body(row.body)
        assert body.planned is not None
        of_kind = found.setdefault(body.planned.op or "", [])
        if len(of_kind) < SAMPLES:
            _operation, entry = next_entry(row, body)
            payload = _decode(entry.payload)
            of_kind.append(
                {
                    "member": member_reference(reference_key, row.member),
                    "payload": RequestMask([payload], plain_of(standing)).value(payload),
                    "fingerprint": entry.fingerprint[:8],
                }
            )
    return found


def _parts(rows: list[PlannedRow]) -> Iterator[tuple[tuple[int, int], PlannedRow, str, Entry]]:
    """((phase, turn), whose, operation, entry) of all that goes: what replaces something goes with all that is added."""
    for row in rows:
        plan = read_body(row.body).planned
        assert plan is not None
        for turn, entry in enumerate(plan.takes):
            yield (row.phase, turn), row, "exit", entry
        if plan.put is not None:
            yield (PUT, 0), row, "update" if plan.op == "update" else "enter", plan.put


async def _requests(
    standing: Standing, dry: DryRun, registry: Mapping[str, Destination], notes: Notes, *, reveal: bool, pace: Pace
) -> tuple[list[Shown], int]:
    """The requests of the first operations of each phase, in the order in which they would go; how many more there are."""
    offered = registry[standing.destination.definition.slug]
    settings, external_id = target_of(standing).settings, external_id_of(standing)
    owed: dict[tuple[int, int], list[Owed]] = {}
    for when, row, operation, entry in _parts(dry.sample):
        owed.setdefault(when, []).append(
            Owed(
                id=len(owed), operation=operation, payload=_decode(with_remembered(entry)), planned=True,
                audience_key=standing.audience.key, audience_settings=settings, external_id=external_id,
                member=str(row.member),
            )
        )  # fmt: skip
    batches = [
        Batch(
            action=standing.mapping.action.slug, settings=standing.destination.settings,
            owed=tuple(of_phase[start : start + pace.batch]), corrections=standing.destination.corrections,
            hashing=standing.mapping.hashing, sync=facts_of(standing),
        )
        for _phase, of_phase in sorted(owed.items())
        for start in range(0, len(of_phase), pace.batch)
    ]  # fmt: skip
    made = await rehearse(offered, batches, notes=notes)
    more = 0
    if left := _behind_sample(dry):
        # The last one again: what it takes where token, list and the like are there already, as for all that follow.
        longer = await rehearse(offered, [*batches, batches[-1]], notes=notes)
        least = pace.requests(Counter(_PART_OF.get(one.operation, one.operation) for one in batches[-1].owed))
        more = math.ceil(pace.requests(left) * (len(longer.requests) - len(made.requests)) / max(1, least))
    mask = RequestMask([one.payload for of_phase in owed.values() for one in of_phase], plain_of(standing))
    shown: list[Shown] = []
    for request in made.requests:
        body = without_secrets(standing, request.body)
        url = without_secrets(standing, request.url.partition("?")[0].encode()).decode()
        shown.append(
            {
                "method": request.method,
                "url": url if reveal else mask.path(url),
                "note": note_of("", request.url.encode(), request.body),
                "bytes": len(request.body),
                "body": body.decode("utf-8", "replace") if reveal else mask.body(body),
            }
        )
    return shown, more


def _behind_sample(dry: DryRun) -> dict[str, int]:
    """What is planned beyond the operations whose requests are made, by operation."""
    left = Counter(dry.counters.planned)
    for row in dry.sample:
        planned = read_body(row.body).planned
        assert planned is not None
        left[planned.op or ""] -= 1
    return dict(+left)
