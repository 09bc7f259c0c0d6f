"""What the next run of a sync would do: counts, guards, samples, the very requests. Nothing is sent and nothing is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import msgspec

from gateway.core.guards import check_guards, is_held
from gateway.core.masking_requests import RequestMask
from gateway.core.rulebook import Rulebook
from gateway.core.run_counters import RunCounters
from gateway.core.sync_plan import PlanRules, is_resend_due, kind_of_run
from gateway.core.sync_records import Entry
from gateway.destinations.base import Batch, Destination, Owed
from gateway.destinations.rehearsal import rehearse
from gateway.store.api import StateStore, StateView
from gateway.store.sync_rows import PlannedRow
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.members import plain_of
from gateway.syncs.memory import ERASE, PUT, REMOVE, read_body
from gateway.syncs.names import Standing, source_quiet_s
from gateway.syncs.pace import WHOLE_LIST_REQUESTS, Pace
from gateway.syncs.planner import LOOKS_AT_ALL, count_page, operations_of, plan_page
from gateway.syncs.sending import with_remembered
from gateway.syncs.settling import member_reference, next_entry
from gateway.syncs.showing import Shown
from gateway.syncs.targets import outlook
from gateway.syncs.whole_lists import remembered_since_us

SAMPLES = 5  # members shown of each operation
HIDDEN = "***"  # in the place of a secret
REHEARSED_MAX = 200  # operations whose requests are made; the others are counted

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
    pace: Pace,
    rulebook: Rulebook,
    now_us: int,
) -> Shown:
    """The plan of the next run. kind: "resend", or "" for what the schedule would start. reveal: requests unmasked.

    pace: how fast its requests may go.
    """
    ahead = await state.read(lambda view: outlook(view, standing, rulebook, now_us))
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
    dry = DryRun(kind=chosen, counters=RunCounters())
    if capabilities.takes_whole_lists:
        await state.read(lambda view: _count_list(view, standing, dry.counters, ahead.listed_run, now_us=now_us))
    else:
        await _plan_changes(state, ahead.records, dry, rules(chosen))
    quiet_s = source_quiet_s(standing.audience, now_us)
    facts = dry.counters.facts(source_quiet_s=quiet_s, is_initial=not memory.has_run)
    findings = check_guards(standing.options.guards, facts)
    requests = (
        WHOLE_LIST_REQUESTS
        if capabilities.takes_whole_lists
        else sum(math.ceil(count / pace.batch) for count in dry.counters.planned.values())
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
        "requests_per_s": pace.requests_per_s,
        "seconds_at_rate_limit": pace.seconds_of(requests),
    }
    if dry.sample:
        made = await _requests(standing, dry, registry, reveal=reveal, batch_max=pace.batch)
        # A platform may split a batch: what was rehearsed says how often. Exact where all of it was.
        requests = math.ceil(len(made) * dry.counters.planned_total / len(dry.sample))
        shown["requests"], shown["seconds_at_rate_limit"] = requests, pace.seconds_of(requests)
        shown["members"] = _samples(dry, standing, reference_key)
        shown["requests_made"] = made
    return shown


async def _plan_changes(state: StateStore, records: RecordsOfList, dry: DryRun, rules: PlanRules) -> None:
    listed, settled = await state.read(
        lambda view: (records.listed_count(view), 0 if dry.kind in LOOKS_AT_ALL else records.settled_count(view))
    )
    dry.counters.list_before = listed
    dry.counters.considered = dry.counters.unchanged = dry.counters.members_in = settled
    after: int | None = 0
    while after is not None:
        page = await state.read(lambda view, after=after: plan_page(view, records, rules, after=after or 0))  # type: ignore[misc] # a default of a lambda has no type
        count_page(page, dry.counters)
        for one in page.members:
            if one.planned.bucket == "rejected":
                dry.rejected[one.planned.reason] = dry.rejected.get(one.planned.reason, 0) + 1
        if len(dry.sample) < REHEARSED_MAX:
            wanted = [row for row in operations_of(page, 0) if row.phase in (ERASE, REMOVE, PUT)]
            dry.sample.extend(wanted[: REHEARSED_MAX - len(dry.sample)])
        after = page.after


def _count_list(view: StateView, standing: Standing, counters: RunCounters, listed_run: int, *, now_us: int) -> None:
    since_us = remembered_since_us(standing.options.forget_after_s, now_us)
    size, new, gone = view.list_plan(standing.sync.id, listed_run, since_us=since_us)
    unmappable = view.unmappable_count(standing.sync.id)
    counters.list_before = view.list_size(listed_run) if listed_run else 0
    counters.members_in, counters.unmappable, counters.rejected_mapping = size + unmappable, unmappable, unmappable
    counts = {"add": new, "update": size - new, "remove": gone}
    counters.planned = {operation: count for operation, count in counts.items() if count}
    counters.considered = size + gone + unmappable


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
    standing: Standing, dry: DryRun, registry: Mapping[str, Destination], *, reveal: bool, batch_max: int
) -> list[Shown]:
    """The requests of the first operations, in the order in which they would go."""
    offered = registry[standing.destination.definition.slug]
    settings = standing.audience_settings()
    given = settings.get("external_id")
    owed: dict[tuple[int, int], list[Owed]] = {}
    for when, row, operation, entry in _parts(dry.sample):
        owed.setdefault(when, []).append(
            Owed(
                id=len(owed), operation=operation, payload=_decode(with_remembered(entry)), planned=True,
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
    mask = RequestMask([one.payload for of_phase in owed.values() for one in of_phase], plain_of(standing))
    shown: list[Shown] = []
    for request in made.requests:
        body, url = request.body, request.url.partition("?")[0]
        for secret in standing.destination.secrets:
            body, url = body.replace(secret.encode(), HIDDEN.encode()), url.replace(secret, HIDDEN)
        shown.append(
            {
                "method": request.method,
                "url": url if reveal else mask.path(url),
                "bytes": len(request.body),
                "body": body.decode("utf-8", "replace") if reveal else mask.body(body),
            }
        )
    return shown
