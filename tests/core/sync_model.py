"""A sync engine and a platform in memory, made of the pure functions alone: what a runner does, without store or network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from gateway.core.guards import GUARDS_OFF, Finding, Guards, PlanFacts, check_guards, is_held, is_still_approved
from gateway.core.run_counters import RunCounters, RunStatus, broken_sums, run_status
from gateway.core.run_timing import is_list_due
from gateway.core.sync_effects import Effect, Result, Stamp, after_list, after_put, after_takes
from gateway.core.sync_entries import Member, SharedEntries, claims_of
from gateway.core.sync_options import Capabilities, Mode, Retry
from gateway.core.sync_plan import (
    Planned,
    PlanRules,
    RunKind,
    Step,
    in_sending_order,
    kind_of_run,
    owes_resend_after,
    plan_member,
)
from gateway.core.sync_records import ABSENT, Entry, Record, Unmappable, render

Answer = Literal["accept", "reject", "fail", "lost_before", "lost_after", "crash_before", "crash_after"]
Answering = Callable[[Step], Answer]

SINGLE = Capabilities(update=True)
START = datetime(2026, 5, 4, tzinfo=UTC)
_results: dict[str, Result] = {"accept": "accepted", "reject": "rejected", "fail": "failed"}


def accept(_: Step) -> Answer:
    """A platform on a good day."""
    return "accept"


class CrashError(Exception):
    """The process dies while a request is on its way."""


class Platform:
    """Somebody's list: identity → fingerprint. Adding twice and removing what is not there are fine."""

    def __init__(self) -> None:
        self.listed: dict[str, str] = {}
        self.requests = 0

    def handle(self, step: Step, answer: Answer) -> Result:
        self.requests += 1
        if answer in ("accept", "lost_after", "crash_after"):
            if step.verb == "remove":
                self.listed.pop(step.entry.identity, None)
            else:
                self.listed[step.entry.identity] = step.entry.fingerprint
        if answer.startswith("crash"):
            raise CrashError
        return _results.get(answer, "unsure")


class Person(msgspec.Struct):
    is_in: bool
    payload: dict[str, object]
    is_erased: bool = False
    unknown_exit: bool = False


class Run(msgspec.Struct):
    kind: RunKind
    status: RunStatus
    counters: RunCounters
    reason: str = ""
    findings: list[Finding] = []
    facts: PlanFacts | None = None
    plan: list[tuple[str, Planned]] = []


class Engine:
    """One sync: people, records, runs. Every method is one thing that may happen to it."""

    def __init__(
        self,
        mode: Mode = "mirror",
        *,
        capabilities: Capabilities = SINGLE,
        guards: Guards = GUARDS_OFF,
        retry: Retry | None = None,
        initial: Literal["full", "adopt"] = "full",
    ) -> None:
        self.mode: Mode = mode
        self.capabilities, self.guards, self.retry, self.initial = capabilities, guards, retry or Retry(), initial
        self.platform = Platform()
        self.people: dict[str, Person] = {}
        self.records: dict[str, Record] = {}
        self.mapped: tuple[str, ...] = ("email", "ltv")
        self.hashed_by = "1"
        self.now = START
        self.uploaded_at: datetime | None = None
        self.has_run = False
        self.owes_resend = False
        self.held: Run | None = None
        self.is_paused = False

    # what happens to people -------------------------------------------------------------------------------------------
    def enter(self, key: str, **payload: object) -> None:
        self.people[key] = Person(is_in=True, payload=payload)

    def leave(self, key: str, **payload: object) -> None:
        known = self.people.get(key)
        if known is None:
            self.people[key] = Person(is_in=False, payload=payload, unknown_exit=True)
        else:
            known.is_in = False

    def erase(self, key: str) -> None:
        known = self.people.get(key)
        if known is not None:
            known.is_in, known.is_erased, known.unknown_exit = False, True, False

    # what happens to the sync -----------------------------------------------------------------------------------------
    def edit(
        self, *, mode: Mode | None = None, mapped: tuple[str, ...] | None = None, hashed_by: str | None = None
    ) -> None:
        if mode is not None:
            self.owes_resend = self.owes_resend or owes_resend_after(old_mode=self.mode, new_mode=mode)
            self.mode = mode
        self.mapped = mapped or self.mapped
        self.hashed_by = hashed_by or self.hashed_by

    def pass_time(self, **since: float) -> None:
        self.now += timedelta(**since)

    def run(
        self,
        answer: Answering = accept,
        *,
        kind: RunKind | None = None,
        stop_after: int | None = None,
        approve: bool = False,
        removals_held: bool = False,
        about: tuple[str, ...] | None = None,
    ) -> Run:
        kind = kind or kind_of_run(
            is_first=not self.has_run, mode=self.mode, initial=self.initial, capabilities=self.capabilities,
            owes_resend=self.owes_resend,
        )  # fmt: skip
        min_gap_s = self.capabilities.full_replace_min_gap_s
        if kind == "replace" and not is_list_due(now=self.now, last_upload_at=self.uploaded_at, min_gap_s=min_gap_s):
            unplanned = Run(kind=kind, status="planning", counters=RunCounters(list_before=self.list_size))
            return self._end(unplanned, "skipped", "not_due")
        run = self.plan(kind, removals_held=removals_held, about=about)
        if kind == "replace":
            lines = {planned.listed.identity for _, planned in run.plan if planned.listed is not None}
            if len(lines) < self.capabilities.min_distinct:
                return self._end(run, "skipped", "below_minimum")
        if is_held(run.findings) and not (approve and self._covers(run)):
            self.held = run
            return self._end(run, "held")
        self.held = None
        self._keep_books(run)
        if kind == "replace":
            return self._upload(run, answer)
        return self._send(run, answer, stop_after)

    def plan(self, kind: RunKind, *, removals_held: bool = False, about: tuple[str, ...] | None = None) -> Run:
        """about: of a live run, whom it is about; everybody otherwise."""
        members = [self._member(key) for key in sorted(self.people.keys() | self.records.keys())]
        shared = SharedEntries(claim for member in members for claim in claims_of(member))
        rules = PlanRules(
            mode=self.mode, kind=kind, now_us=self._now_us, retry=self.retry, capabilities=self.capabilities,
            removals_held=removals_held, erasures_only=self.is_paused, **self._versions,
        )  # fmt: skip
        run = Run(kind=kind, status="planning", counters=RunCounters(list_before=self.list_size))
        planning = shared.circle(about) if about is not None else self.people.keys()
        for member in members:
            if member.key not in planning:
                continue
            planned = plan_member(member, rules, shared.sharing(member))
            run.counters.count_plan(member, planned)
            run.plan.append((member.key, planned))
        run.facts = run.counters.facts(is_initial=not self.has_run)
        run.findings = check_guards(self.guards, run.facts)
        return run

    # what can be looked at --------------------------------------------------------------------------------------------
    @property
    def list_size(self) -> int:
        return sum(record.is_listed for record in self.records.values())

    def record(self, key: str) -> Record:
        return self.records.get(key, ABSENT)

    def rendered(self, key: str) -> Entry | Unmappable:
        payload = {name: value for name, value in self.people[key].payload.items() if name in self.mapped}
        if not payload.get("email"):
            return Unmappable(code="required_field_missing")
        payload["email"] = f"{self.hashed_by}({payload['email']})"
        return render(payload, ("email",))

    # inside -----------------------------------------------------------------------------------------------------------
    @property
    def _now_us(self) -> int:
        return int(self.now.timestamp()) * 1_000_000

    @property
    def _versions(self) -> dict[str, str]:
        return {"mapping_version": f"{self.mapped} {self.hashed_by}", "destination_version": "1"}

    @property
    def _stamp(self) -> Stamp:
        return Stamp(now_us=self._now_us, retry=self.retry, code="X", **self._versions)

    def _member(self, key: str) -> Member:
        person = self.people[key]
        needs_entry = person.is_in or person.unknown_exit
        return Member(
            key=key,
            membership="erased" if person.is_erased else "in" if person.is_in else "out",
            rendered=self.rendered(key) if needs_entry else None,
            record=self.record(key),
            unknown_exit=person.unknown_exit,
        )

    def _covers(self, run: Run) -> bool:
        if self.held is None or self.held.facts is None or run.facts is None:
            return False
        held_by = frozenset(one.guard for one in self.held.findings)
        return is_still_approved(self.held.facts, run.facts, held_by=held_by, findings=run.findings)

    def _keep_books(self, run: Run) -> None:
        self.has_run = self.has_run or not self.is_paused
        if run.kind == "resend" and not self.is_paused:
            self.owes_resend = False
        for key, planned in run.plan:
            if planned.record is not None:
                self.records[key] = planned.record
            if planned.settles_exit:
                self.people[key].unknown_exit = False

    def _send(self, run: Run, answer: Answering, stop_after: int | None) -> Run:
        planned_ones = [(key, planned) for key, planned in run.plan if planned.op is not None]
        taken: dict[str, list[Result]] = {}
        ended: set[str] = set()
        for key, planned, step in in_sending_order(lambda: planned_ones):
            if key in ended:
                continue
            if run.counters.requests == stop_after:
                break
            run.counters.requests += 1
            try:
                result = self.platform.handle(step, answer(step))
            except CrashError:
                self.records[key] = self._doubted(key, planned, is_put=step.phase == "put")
                return self._end(run, "interrupted")
            if step.phase == "put":
                self._settle(run, key, planned, after_put(self.record(key), planned, result, self._stamp), ended)
                continue
            results = taken.setdefault(key, [])
            results.append(result)
            if len(results) == len(planned.takes):
                self._settle(run, key, planned, after_takes(self.record(key), planned, results, self._stamp), ended)
        for key, planned in planned_ones:
            if key in ended:
                continue
            results = taken.get(key, [])
            if 0 < len(results) < len(planned.takes):
                results += ["cancelled"] * (len(planned.takes) - len(results))
                self._settle(run, key, planned, after_takes(self.record(key), planned, results, self._stamp), ended)
            else:
                run.counters.count_result(planned, "cancelled")
        return self._end(run, run_status(run.counters, is_cancelled=run.counters.cancelled > 0))

    def _doubted(self, key: str, planned: Planned, *, is_put: bool) -> Record:
        """Of a member whose request may have been on its way when the process died."""
        if is_put:
            return after_put(self.record(key), planned, "unsure", self._stamp).record
        return after_takes(self.record(key), planned, ["unsure"] * len(planned.takes), self._stamp).record

    def _settle(self, run: Run, key: str, planned: Planned, effect: Effect, ended: set[str]) -> None:
        run.counters.count_change(self.record(key), effect.record)
        self.records[key] = effect.record
        if effect.settles_exit:
            self.people[key].unknown_exit = False
        if effect.result is not None:
            ended.add(key)
            run.counters.count_result(planned, effect.result)

    def _upload(self, run: Run, answer: Answering) -> Run:
        lines = [planned.listed for _, planned in run.plan if planned.listed is not None]
        entry = Entry(identity="", fingerprint="")
        said = answer(Step(phase="put", verb="add", entry=entry))
        run.counters.requests += 1
        if said in ("accept", "lost_after", "crash_after"):
            self.platform.listed = {line.identity: line.fingerprint for line in lines}
        result: Result = "unsure" if said.startswith("crash") else _results.get(said, "unsure")
        if result == "accepted":
            self.uploaded_at = self.now
        ended: set[str] = set()
        for key, planned in run.plan:
            if planned.op is not None:
                self._settle(run, key, planned, after_list(self.record(key), planned, result, self._stamp), ended)
        return self._end(run, "interrupted" if said.startswith("crash") else run_status(run.counters))

    def _end(self, run: Run, status: RunStatus, reason: str = "") -> Run:
        run.status, run.reason = status, reason
        run.counters.list_after = self.list_size
        if status in ("succeeded", "partial", "failed", "cancelled"):
            assert broken_sums(run.counters) == []
        return run
