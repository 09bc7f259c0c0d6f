"""One person and one sync: membership, the record, what the platform holds, the last operations, and why it is so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypedDict

import msgspec

from gateway.core.events import Event, Place
from gateway.core.explaining import explain_event, hide
from gateway.core.explaining_members import LedgerState, MemberFacts, explain_standing
from gateway.core.masking import mask_identifier
from gateway.core.masking_requests import RequestMask
from gateway.core.rulebook import Rulebook
from gateway.core.sync_options import Mode
from gateway.core.sync_plan import NOT_CONSIDERED, Planned, PlanRules
from gateway.core.sync_records import Entry, RecordProblem, State
from gateway.destinations.base import Destination, RendersRecords, ShowsMembers
from gateway.store.api import StateView
from gateway.store.rows import AudienceRow, MembershipRow
from gateway.store.sync_rows import RecordRow, RowResult, SyncRow
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.memory import read_memory, read_more, record_of
from gateway.syncs.names import Standing, is_connected, standing_of, sync_name
from gateway.syncs.planner import plan_page
from gateway.syncs.settling import member_reference
from gateway.syncs.showing import Shown, result_line

DEFAULT_SPACE = "default"
LINES_SHOWN = 20  # of one member, where a member has several
OPERATIONS_SHOWN = 10
RUNS_SEARCHED = 50  # newest runs of the sync whose logs are looked through for the member

Rules = Callable[[Standing, str], PlanRules]
"""(sync, kind of run) → what holds for every member of it."""

_decode = msgspec.json.Decoder(dict[str, object]).decode
_decode_any = msgspec.json.Decoder().decode


class KeptEvents(Protocol):
    """Where the bytes of events may still lie."""

    def event(self, place: Place) -> Event | None:
        """The event at a place; None where it is no longer kept or was no event."""


class MemberPages:
    """Makes the page of one member. registry: destinations by definition slug. events: None where none can be read."""

    def __init__(
        self,
        *,
        rulebook: Rulebook,
        registry: Mapping[str, Destination],
        rules: Rules,
        reference_key: bytes,
        events: KeptEvents | None,
        now_us: int,
    ) -> None:
        self._rulebook = rulebook
        self._registry = registry
        self._rules = rules
        self._reference_key = reference_key
        self._events = events
        self._now_us = now_us

    def page(
        self,
        view: StateView,
        sync: SyncRow,
        audience: AudienceRow,
        key: str,
        *,
        reveal: bool,
        space: str = "",
        operations: bool = True,
    ) -> Shown:
        """Everything that is known. key: canonical id, such as `user_id:u-17`. reveal: personal values in clear.

        space: of the person, where it is known. operations: the last ones, too.
        """
        standing = standing_of(sync, {audience.id: audience}, self._rulebook)
        space, number = (space, view.member_id(space, key)) if space else self.whose(view, key)
        membership = view.membership(audience.id, space, key) if number is not None else None
        # A number is known of deleted people, too: of one whose profile a platform was told to delete, say.
        deleted = view.tombstone(space, key) if membership is None else None
        rows = view.record(sync.id, number)[:LINES_SHOWN] if number is not None else []
        row = rows[0] if rows else None
        event = self._event(membership)
        filtered_out, not_matching = self._judged(event, standing) if not rows else (False, "")
        planned = self._planned(view, standing, row) if row is not None else NOT_CONSIDERED
        facts = MemberFacts(
            sync=sync_name(sync, audience),
            now_us=self._now_us,
            ledger=_ledger(membership, is_known=number is not None, is_deleted=deleted is not None),
            since_us=membership.since_us if membership is not None else 0,
            deleted_us=deleted.deleted_us if deleted is not None else 0,
            erasing=deleted is not None and bool(view.erased_members(sync.id, limit=1)),
            has_record=bool(rows),
            planned=planned,
            filtered_out=filtered_out,
            not_matching=not_matching,
            owner=self._owner(view, sync, row) if planned.reason == "shared_identifier" and row is not None else "",
            **_of_record(row),
            **_of_sync(view, sync, standing),
        )
        verdict = explain_standing(facts)
        reference = member_reference(self._reference_key, number) if number is not None else ""
        return {
            "sync": facts.sync,
            "member": key if reveal else mask_identifier(key),
            "member_ref": reference,
            "code": verdict.code,
            "waits_for": verdict.waits_for,
            "sentence": verdict.sentence,
            "membership": membership_shown(facts.ledger, membership, event, facts.deleted_us),
            "records": [self._record(one, standing, reveal=reveal) for one in rows],
            "planned": {"bucket": planned.bucket, "operation": planned.op, "reason": planned.reason},
            "operations": [result_line(line) for line in self._operations(view, sync, reference)]
            if reference and operations
            else [],
        }

    def whose(self, view: StateView, key: str) -> tuple[str, int | None]:
        """(space, number) of the person; the first space that knows them, by the sources' names for it."""
        spaces = dict.fromkeys((DEFAULT_SPACE, *(source.space for source in self._rulebook.sources.values())))
        for space in spaces:
            number = view.member_id(space, key)
            if number is not None:
                return space, number
        return next((space for space in spaces if view.tombstone(space, key)), DEFAULT_SPACE), None

    def _event(self, membership: MembershipRow | None) -> Event | None:
        return self._events.event(membership.place) if membership is not None and self._events is not None else None

    def _judged(self, event: Event | None, standing: Standing | None) -> tuple[bool, str]:
        """(the filter says no, why the event gave the sync nothing) by the rulebook in force."""
        if event is None or standing is None:
            return False, ""
        explained = explain_event(event, self._rulebook, mask=hide, mapping=standing.mapping.key).mappings
        if not explained:
            return False, ""
        found = explained[0]
        if found.operation == "exit" and standing.mapping.sync_filter is not None:
            return True, ""
        return False, "" if found.operation else found.sentence

    def _planned(self, view: StateView, standing: Standing | None, row: RecordRow) -> Planned:
        if standing is None:
            return NOT_CONSIDERED
        kind = "replace" if standing.mapping.capabilities.takes_whole_lists else "diff"
        rules = self._rules(standing, kind)
        page = plan_page(view, RecordsOfList(sync=standing.sync.id), rules, after=0, members=[row.member])
        return next((one.planned for one in page.members if one.row.member == row.member), NOT_CONSIDERED)

    def _owner(self, view: StateView, sync: SyncRow, row: RecordRow) -> str:
        """Who holds the entry that the member renders to; else who comes first among those who want it."""
        others = [one for one in view.claimants(sync.id, [row.entry]) if one.member != row.member]
        holders = [one for one in others if one.sent_entry == row.entry] or others
        return member_reference(self._reference_key, holders[0].member) if holders else ""

    def _operations(self, view: StateView, sync: SyncRow, reference: str) -> list[RowResult]:
        found: list[RowResult] = []
        for run in view.runs(sync=sync.id, limit=RUNS_SEARCHED):
            found += view.results_of_member(run.id, reference, limit=OPERATIONS_SHOWN - len(found))
            if len(found) >= OPERATIONS_SHOWN:
                break
        return found

    def _record(self, row: RecordRow, standing: Standing | None, *, reveal: bool) -> Shown:
        record, more = record_of(row), read_more(row.more)
        problem = more.problem
        return {
            "line": row.line,
            "changed_us": row.changed_us,
            "wanted": self._rendered(row.payload, row.fingerprint.hex(), standing, reveal=reveal),
            "unmappable": row.unmappable,
            "state": record.state,
            "sent": self._rendered(row.sent, row.sent_fingerprint.hex(), standing, reveal=reveal),
            "remembered": _decode_any(more.remembered) if more.remembered and reveal else bool(more.remembered),
            "orphans": [_orphan(one) for one in more.orphans],
            "unknown_exit": more.unknown_exit,
            "problem": None if problem is None else problem_shown(problem),
            "run": row.run or None,
        }

    def _rendered(self, payload: bytes, fingerprint: str, standing: Standing | None, *, reveal: bool) -> Shown | None:
        """A payload, and what the platform gets for it: hashed where it is hashed, cut and masked without `reveal`."""
        if not payload:
            return None
        given = _decode(payload)
        mask = RequestMask([given], plain_of(standing))
        seen = self._seen(given, standing)
        return {
            "fingerprint": fingerprint[:8],
            "payload": given if reveal else mask.value(given),
            "platform_gets": seen if reveal else mask.value(seen),
        }

    def _seen(self, payload: dict[str, object], standing: Standing | None) -> object:
        if standing is None:
            return None
        destination, mapping = standing.destination, standing.mapping
        offered = self._registry.get(destination.definition.slug)
        if isinstance(offered, RendersRecords):
            found = offered.rendered(mapping.action.slug, payload, hashing=standing.options.hashing)
            return None if isinstance(found, str) else found[0]
        if isinstance(offered, ShowsMembers):
            return offered.member(mapping.action.slug, payload, destination.corrections)
        return payload


def plain_of(standing: Standing | None) -> list[object]:
    """Texts of a sync that are the operator's own and no person's: ids of lists, static values, settings that are no secrets."""
    if standing is None:
        return []
    fields = standing.mapping.fields.values()
    secrets = standing.destination.secrets
    return [
        standing.audience.key,
        standing.audience.name,
        standing.audience.external_id,
        standing.audience_settings(),
        [value for value in standing.destination.settings.values() if value not in secrets],
        [value for value in fields if not isinstance(value, dict | list)],
    ]


def problem_shown(problem: RecordProblem) -> Shown:
    """What is wrong with a record, by name."""
    return {
        "kind": problem.kind,
        "operation": problem.op,
        "code": problem.code,
        "fingerprint": problem.fingerprint[:8],
        "attempts": problem.attempts,
        "first_us": problem.first_us,
        "next_try_us": problem.next_try_us,
    }


def _orphan(entry: Entry) -> Shown:
    return {"identity": entry.identity[:8], "fingerprint": entry.fingerprint[:8]}


def _ledger(membership: MembershipRow | None, *, is_known: bool, is_deleted: bool) -> LedgerState:
    if membership is None:
        return "deleted" if is_deleted else "never_seen" if is_known else "unknown_member"
    return "in" if membership.is_member else "out"


def membership_shown(ledger: LedgerState, row: MembershipRow | None, event: Event | None, deleted_us: int = 0) -> Shown:
    """In or out, since when and by which event."""
    if row is None:
        return {"state": ledger, "since_us": deleted_us, "event": None}
    place = row.place
    return {
        "state": ledger,
        "since_us": row.since_us,
        "event": {
            "place": f"{place.inbox}.{place.frame}.{place.ordinal}",
            "at_us": row.at_us,
            "arrived_us": row.arrived_us,
            "is_kept": event is not None,
            "message_id": event.message_id if event is not None else "",
            "source": event.source if event is not None else "",
        },
    }


class _RecordFacts(TypedDict):
    """Members of `MemberFacts` that a record gives."""

    listed: State
    problem: RecordProblem | None
    orphans: int


class _SyncFacts(TypedDict):
    """Members of `MemberFacts` that a sync gives."""

    mode: Mode
    is_served: bool
    is_enabled: bool
    is_connected: bool
    status: str
    has_run: bool
    whole_lists: bool
    below_minimum: bool
    held_run: int
    open_run: int
    lane: str
    next_us: int


def _of_record(row: RecordRow | None) -> _RecordFacts:
    if row is None:
        return {"listed": "absent", "problem": None, "orphans": 0}
    record = record_of(row)
    return {"listed": record.state, "problem": record.problem, "orphans": len(record.orphans)}


def _of_sync(view: StateView, sync: SyncRow, standing: Standing | None) -> _SyncFacts:
    memory = read_memory(sync.memory)
    held, running = view.held_run(sync.id), view.running_run(sync.id)
    capabilities = standing.mapping.capabilities if standing is not None else None
    return {
        "mode": standing.options.mode if standing is not None else "mirror",
        "is_served": standing is not None,
        "is_enabled": standing is None or standing.is_enabled,
        "is_connected": standing is None or is_connected(standing),
        "status": sync.status,
        "has_run": memory.has_run,
        "whole_lists": capabilities is not None and capabilities.takes_whole_lists,
        "below_minimum": any(one.name == "below_minimum" for one in view.alerts(sync.id)),
        "held_run": held.id if held is not None else 0,
        "open_run": running.id if running is not None else 0,
        "lane": _lane(view, standing),
        "next_us": sync.next_us,
    }


def _lane(view: StateView, standing: Standing | None) -> str:
    """Why the destination's lane stands still; "" where it does not."""
    if standing is None:
        return ""
    row = view.lane(standing.destination.key)
    if row.hold:
        return f"its lane is held ({row.hold}). Mend it, then `gateway resume {row.lane}`."
    if row.paused:
        return f"its lane is paused: `gateway resume {row.lane}`."
    if row.breaker == "open":
        return "most of its requests failed, so its breaker is open; it tries again by itself."
    return ""
