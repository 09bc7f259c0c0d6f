"""The plan of a whole list: who would come and go, and the requests that would carry it. Nothing is frozen, sent or kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.core.masking import mask_identifier
from gateway.core.masking_requests import DIGEST_SHOWN, RequestMask
from gateway.core.masking_secrets import hide_secrets
from gateway.core.outcomes import Delivered
from gateway.core.run_counters import RunCounters
from gateway.destinations.base import Batch, Destination, Notes, Owed, Snapshot
from gateway.destinations.foretelling import ForetoldRequest, foretell_upload
from gateway.store.api import StateStore, StateView
from gateway.syncs.members import plain_of
from gateway.syncs.names import Standing
from gateway.syncs.showing import Shown
from gateway.syncs.targets import target_of
from gateway.syncs.whole_lists import ListTerms, digested_page, terms_of_list

HIDDEN = "***"  # in the place of a secret
SHOWN_BYTES = 2_000  # of a body; what was kept is longer, so that no secret is cut in two before it is hidden
LINES_SHOWN = 5  # of a file with one person on each line
_RUN = {"run_id": "{run_id}", "run_started_at": "{run_started_at}"}
_OF_THE_RUN = "It names the run, whose number or start is known once it is queued: {run_id}, {run_started_at}."
_NOT_SHOWN = (
    "(not shown: it holds people who come after those whose data was looked at; `--reveal` shows its beginning)"
)

ForetellList = Callable[[Standing, ListTerms, int], Snapshot]
"""(sync, who stands on its list, how many) → the list that a run would freeze now."""


class ListPlan(NamedTuple):
    """counters: of the plan. digest: see `planner.digested`. size: distinct entries."""

    counters: RunCounters
    digest: str
    size: int


async def plan_list(state: StateStore, standing: Standing, listed_run: int, now_us: int) -> ListPlan:
    """Count what a run would freeze now against the list before."""
    terms, counters = terms_of_list(standing, now_us), RunCounters()
    size = await state.read(lambda view: _count(view, standing, counters, listed_run, terms))
    digest, after = "", 0
    while True:
        digest, last = await state.read(
            lambda view, digest=digest, after=after: digested_page(  # type: ignore[misc] # a default of a lambda has no type
                view, standing.sync.id, terms, digest=digest, after=after
            )
        )
        if last is None:
            return ListPlan(counters, digest, size)
        after = last


async def upload_shown(
    standing: Standing,
    registry: Mapping[str, Destination],
    *,
    size: int,
    foretell: ForetellList,
    notes: Notes,
    reveal: bool,
    now_us: int,
) -> tuple[int, Shown]:
    """How many requests; `upload`, what they would come to; `requests_made`: bodies by size, digest, lines and beginning."""
    owed = Owed(
        id=1, operation="replace", payload={}, planned=True, audience_key=standing.audience.key, member="",
        audience_settings=target_of(standing).settings, external_id=external_id_of(standing),
    )  # fmt: skip
    batch = Batch(
        action=standing.mapping.action.slug, settings=standing.destination.settings, owed=(owed,),
        corrections=standing.destination.corrections, hashing=standing.mapping.hashing, sync=facts_of(standing),
    )  # fmt: skip
    offered = registry[standing.destination.definition.slug]
    snapshot = foretell(standing, terms_of_list(standing, now_us), size)
    told = await foretell_upload(offered, batch, snapshot, notes)
    (outcome,) = told.performed.outcomes
    mask = RequestMask(told.learned, plain_of(standing))
    return told.count, {
        "upload": {
            "goes_out": isinstance(outcome, Delivered),
            "reason": "" if isinstance(outcome, Delivered) else outcome.reason,
            "bytes": told.size,
            "list": told.performed.counts,
        },
        "requests_made": [_request(one, mask, standing, reveal=reveal) for one in told.requests],
    }


def external_id_of(standing: Standing) -> str:
    """The list's id as the run's deliveries are given it."""
    given = target_of(standing).settings.get("external_id")
    return given if isinstance(given, str) and given else standing.audience.external_id


def facts_of(standing: Standing) -> dict[str, object]:
    """What templates may name of the sync, with names in braces for what only a run has."""
    mapping = standing.mapping
    return {
        "sync_id": f"{mapping.key}/{standing.audience.key}",
        "sync_name": mapping.name,
        "mode": standing.options.mode,
        **_RUN,
    }


def without_secrets(standing: Standing, text: bytes) -> bytes:
    """A part of a request with its secrets hidden."""
    if not standing.destination.secrets:
        return text
    shown = hide_secrets(text.decode("utf-8", "surrogateescape"), standing.destination.secrets, mark=HIDDEN)
    return shown.encode("utf-8", "surrogateescape")


def note_of(standing_note: str, *parts: bytes) -> str:
    """What is not known of a request beforehand. parts: its address and its body."""
    names_run = any(name.encode() in part for part in parts for name in _RUN.values())
    return " ".join(one for one in (standing_note, _OF_THE_RUN if names_run else "") if one)


def _count(view: StateView, standing: Standing, counters: RunCounters, listed_run: int, terms: ListTerms) -> int:
    size, new, gone = view.list_plan(standing.sync.id, listed_run, keeps_out=terms.keeps_out, since_us=terms.since_us)
    unmappable = view.unmappable_count(standing.sync.id)
    counters.list_before = size - new + gone
    counters.members_in, counters.unmappable, counters.rejected_mapping = size + unmappable, unmappable, unmappable
    counts = {"add": new, "update": size - new, "remove": gone}
    counters.planned = {operation: count for operation, count in counts.items() if count}
    counters.considered = size + gone + unmappable
    return size


def _request(one: ForetoldRequest, mask: RequestMask, standing: Standing, *, reveal: bool) -> Shown:
    url = without_secrets(standing, one.foreseen.url.partition("?")[0].encode()).decode()
    head = without_secrets(standing, one.head)
    return {
        "method": one.method,
        "url": url if reveal else mask.path(url),
        "note": note_of(one.foreseen.note, one.foreseen.url.encode(), one.head),
        "bytes": one.size,
        "sha256": one.sha256,
        "lines": one.lines,
        "body": _body(one, head, mask, reveal=reveal),
    }


def _body(one: ForetoldRequest, head: bytes, mask: RequestMask, *, reveal: bool) -> str:
    if one.foreseen.is_lines:
        lines = head.decode("utf-8", "replace").split("\n")[:LINES_SHOWN]
        shown = "\n".join(line if reveal else _masked(line) for line in lines if line)
        return f"{shown}\n… {one.lines} lines in all" if one.lines > LINES_SHOWN else shown
    if not reveal and not one.is_learned:
        return _NOT_SHOWN
    part = head[:SHOWN_BYTES]
    shown = part.decode("utf-8", "replace") if reveal else mask.body(part)
    return shown if len(head) <= SHOWN_BYTES else f"{shown}\n… {one.size} bytes in all"


def _masked(line: str) -> str:
    """One person of a file: an address as everywhere, a hash cut short."""
    return mask_identifier(line) if "@" in line else f"{line[:DIGEST_SHOWN]}…"
