"""What the next run of a sync would do: counts, guards, samples, the very requests. Nothing is sent and nothing is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from gateway.core.guards import check_guards, is_held
from gateway.core.masking import mask_value
from gateway.core.run_counters import RunCounters
from gateway.core.sync_plan import PlanRules, kind_of_run
from gateway.destinations.base import Batch, Destination, Owed
from gateway.destinations.rehearsal import rehearse
from gateway.store.api import StateStore, StateView
from gateway.store.sync_rows import PlannedRow
from gateway.syncs.memory import ERASE, PUT, REMOVE, read_body, read_memory
from gateway.syncs.names import Standing
from gateway.syncs.planner import LOOKS_AT_ALL, count_page, operations_of, plan_page
from gateway.syncs.settling import member_reference, next_entry
from gateway.syncs.showing import Shown

SAMPLES = 5  # members shown of each operation
REHEARSED_MAX = 200  # operations whose requests are made; the others are counted
REQUESTS_PER_S = 50.0  # a lane's limit
WHOLE_LIST_REQUESTS = 2

_decode = msgspec.json.Decoder(dict[str, object]).decode


class DryRun(msgspec.Struct, kw_only=True):
    """A plan being made."""

    kind: str
    counters: RunCounters
    sample: list[PlannedRow] = []
    rejected: dict[str, int] = {}


async def plan_sync(
    state: StateStore,
    standing: Standing,
    *,
    kind: str,
    rules: Callable[[str], PlanRules],
    registry: Mapping[str, Destination],
    reference_key: bytes,
    reveal: bool,
) -> Shown:
    """The plan of the next run. kind: "resend", or "" for what the schedule would start. reveal: requests unmasked."""
    memory = read_memory(standing.sync.memory)
    capabilities = standing.mapping.capabilities
    chosen = kind or kind_of_run(
        is_first=not memory.has_run,
        mode=standing.options.mode,
        initial=standing.options.initial,
        capabilities=capabilities,
        owes_resend=memory.owes_resend,
    )
    dry = DryRun(kind=chosen, counters=RunCounters())
    if capabilities.takes_whole_lists:
        await state.read(lambda view: _count_list(view, standing, dry.counters))
    else:
        await _plan_changes(state, standing, dry, rules(chosen))
    facts = dry.counters.facts(is_initial=not memory.has_run)
    findings = check_guards(standing.options.guards, facts)
    batch_max = max(1, standing.mapping.batch_events_max if standing.mapping.batching else 1)
    requests = (
        WHOLE_LIST_REQUESTS
        if capabilities.takes_whole_lists
        else sum(math.ceil(count / batch_max) for count in dry.counters.planned.values())
    )
    change = dry.counters.planned.get("add", 0) - dry.counters.planned.get("remove", 0)
    minimum = capabilities.min_distinct
    shown: Shown = {
        "sync": standing.name,
        "kind": chosen,
        "considered": dry.counters.considered,
        "unchanged": dry.counters.unchanged,
        "planned": dry.counters.planned,
        "skipped": dry.counters.skipped,
        "rejected": dry.rejected,
        "list_before": dry.counters.list_before,
        "list_after": dry.counters.list_before + change - dry.counters.planned.get("erase", 0),
        "guards": [{"guard": one.guard, "reaction": one.reaction, "message": one.message} for one in findings],
        "held": is_held(findings),
        "below_minimum": bool(minimum and dry.counters.members_in - dry.counters.unmappable < minimum),
        "requests": requests,
        "seconds_at_rate_limit": round(requests / REQUESTS_PER_S, 1),
    }
    if dry.sample:
        shown["members"] = _samples(dry, reference_key)
        shown["requests_made"] = await _requests(standing, dry, registry, reveal=reveal)
    return shown


async def _plan_changes(state: StateStore, standing: Standing, dry: DryRun, rules: PlanRules) -> None:
    sync = standing.sync.id
    listed, settled = await state.read(
        lambda view: (view.listed_count(sync), 0 if dry.kind in LOOKS_AT_ALL else view.settled_count(sync))
    )
    dry.counters.list_before = listed
    dry.counters.considered = dry.counters.unchanged = dry.counters.members_in = settled
    after: int | None = 0
    while after is not None:
        page = await state.read(lambda view, after=after: plan_page(view, sync, rules, after=after or 0))  # type: ignore[misc] # a default of a lambda has no type
        count_page(page, dry.counters)
        for one in page.members:
            if one.planned.bucket == "rejected":
                dry.rejected[one.planned.reason] = dry.rejected.get(one.planned.reason, 0) + 1
        if len(dry.sample) < REHEARSED_MAX:
            wanted = [row for row in operations_of(page, 0) if row.phase in (ERASE, REMOVE, PUT)]
            dry.sample.extend(wanted[: REHEARSED_MAX - len(dry.sample)])
        after = page.after


def _count_list(view: StateView, standing: Standing, counters: RunCounters) -> None:
    size, new, gone = view.list_plan(standing.sync.id, standing.sync.listed_run)
    unmappable = view.unmappable_count(standing.sync.id)
    counters.list_before = view.list_size(standing.sync.listed_run) if standing.sync.listed_run else 0
    counters.members_in, counters.unmappable, counters.rejected_mapping = size + unmappable, unmappable, unmappable
    counts = {"add": new, "update": size - new, "remove": gone}
    counters.planned = {operation: count for operation, count in counts.items() if count}
    counters.considered = size + gone + unmappable


def _samples(dry: DryRun, reference_key: bytes) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for row in dry.sample:
        body = read_body(row.body)
        assert body.planned is not None
        of_kind = found.setdefault(body.planned.op or "", [])
        if len(of_kind) < SAMPLES:
            _operation, entry = next_entry(row, body)
            of_kind.append(
                {
                    "member": member_reference(reference_key, row.member),
                    "payload": mask_value(_decode(entry.payload)),
                    "fingerprint": entry.fingerprint[:8],
                }
            )
    return found


async def _requests(
    standing: Standing, dry: DryRun, registry: Mapping[str, Destination], *, reveal: bool
) -> list[Shown]:
    """The requests of the first operations, in the order in which they would go."""
    offered = registry[standing.destination.definition.slug]
    settings = standing.audience_settings()
    given = settings.get("external_id")
    batch_max = max(1, standing.mapping.batch_events_max if standing.mapping.batching else 1)
    owed: dict[int, list[Owed]] = {}
    for row in dry.sample:
        operation, entry = next_entry(row, read_body(row.body))
        owed.setdefault(row.phase, []).append(
            Owed(
                id=len(owed), operation=operation, payload=_decode(entry.payload), planned=True,
                audience_key=standing.audience.key, audience_settings=settings,
                external_id=given if isinstance(given, str) and given else standing.audience.external_id, member=str(row.member),
            )
        )  # fmt: skip
    batches = [
        Batch(
            action=standing.mapping.action.slug, settings=standing.destination.settings,
            owed=tuple(of_phase[start : start + batch_max]), corrections=standing.destination.corrections,
            hashing=standing.mapping.hashing,
        )
        for _phase, of_phase in sorted(owed.items())
        for start in range(0, len(of_phase), batch_max)
    ]  # fmt: skip
    made = await rehearse(offered, batches)
    return [
        {
            "method": request.method,
            "url": request.url.partition("?")[0],
            "bytes": len(request.body),
            **({"body": request.body.decode("utf-8", "replace")} if reveal else {}),
        }
        for request in made.requests
    ]
