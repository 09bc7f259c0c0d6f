"""Recording a block: duplicates, the audience ledger, deliveries, traces and the cursor, all in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import groupby, islice

from gateway.core.audiences import LATE_WINDOW_US, Verdict, apply_change, audience_name
from gateway.core.decisions import MembershipChange, Skipped
from gateway.core.events import Place
from gateway.core.summaries import CHANGES_KEPT_MAX, ChangeSummary, Summary, write_summary
from gateway.decisions.blocks import Block, Decided, Kept, Owed, new_delivery
from gateway.store.api import StateTx
from gateway.store.rows import AudienceRow, ForwardedRow, MembershipRow, NewDelivery, SeenKey, SeenVerdict, TraceRow
from gateway.store.sync_rows import ExitRow, WantedRow

Ids = tuple[str, str]  # (space, canonical id) of a person, or (space, name) of an audience


class Recorded:
    """What a block came to, for metrics and for waking lanes."""

    __slots__ = ("changes", "deliveries", "membership_events", "outcomes", "records", "skipped", "summaries")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.membership_events: Counter[tuple[str, str]] = Counter()
        self.deliveries: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.records = 0
        self.summaries: dict[tuple[int, bool, str, str], bytes] = {}

    @property
    def items(self) -> int:
        """Inbox items recorded."""
        return self.outcomes.total()

    @property
    def lanes(self) -> set[str]:
        """Lanes that owe more than before."""
        return set(self.deliveries)


def record(tx: StateTx, block: Block, *, now_us: int, late_window_us: int = LATE_WINDOW_US) -> Recorded | None:
    """Record a block and move the cursors behind it. Where they are not right before it, nothing is done: None.

    Deletions divide a block: what came before is stored when they run, and what comes after sees the person forgotten.
    """
    cursors = tx.cursors()
    if any(cursors.get(writer) != position for writer, position in block.after.items()):
        return None
    recorded = Recorded()
    for is_deletion, group in groupby(block.items, key=_is_deletion):
        segment = _Segment(tx, list(group), now_us, late_window_us, recorded, block.versions)
        if is_deletion:
            segment.forget()
        segment.store()
    for inbox, frame in block.upto.values():
        tx.move_cursor(inbox, frame)
    return recorded


def _is_deletion(item: Decided | TraceRow) -> bool:
    return type(item) is Decided and bool(item.deletions)


class _Segment:
    """Items of a block that can be stored at one go: all of them deletions, or none."""

    def __init__(
        self,
        tx: StateTx,
        items: list[Decided | TraceRow],
        now_us: int,
        late_window_us: int,
        recorded: Recorded,
        versions: Mapping[str, str],
    ) -> None:
        self._tx = tx
        self._versions = versions
        self._now_us = now_us
        self._late_window_us = late_window_us
        self._recorded = recorded
        self._deliveries: list[NewDelivery] = []
        self._erasures: dict[Place, list[ForwardedRow]] = {}
        self._moved: dict[tuple[int, int], MembershipRow] = {}
        self._kept: list[tuple[Decided, Kept, AudienceRow, Verdict]] = []
        keys = [SeenKey(item.id_hash, item.digest, item.place) for item in items if type(item) is Decided]
        verdicts = iter(tx.check_seen(keys, now_us=now_us) if keys else ())
        self._items: list[tuple[Decided | TraceRow, SeenVerdict]] = [
            (item, next(verdicts) if type(item) is Decided else "new") for item in items
        ]
        self._fresh = [item for item, seen in self._items if type(item) is Decided and seen != "duplicate"]

    def forget(self) -> None:
        """Carry out deletions: a tombstone each, then everything of the person but what was already sent."""
        for item in self._fresh:
            for person in item.deletions:
                self._erasures.setdefault(item.place, []).extend(self._tx.take_forwarded(item.space, person))
                self._tx.add_tombstone(item.space, person, deleted_us=item.at_us)
                self._tx.forget_member(item.space, person)

    def store(self) -> None:
        """Ledger, deliveries, traces."""
        tx = self._tx
        self._deleted = self._deletion_times()
        self._audiences, self._members = self._interned()
        self._ledger = tx.memberships(self._pairs())
        rows = [self._row(item, seen) for item, seen in self._items]
        first = tx.add_deliveries(self._deliveries, now_us=self._now_us) if self._deliveries else 0
        if self._moved:
            tx.save_memberships(list(self._moved.values()))
        if self._kept:
            self._save_records()
        tx.add_traces(
            [
                _trace(item, outcome, summary, first + at if count else 0, count)
                for item, outcome, summary, at, count in rows
            ],
            now_us=self._now_us,
        )

    def _deletion_times(self) -> dict[Ids, int]:
        """When people of this segment were deleted. Deletions themselves are never held back."""
        wanted = {(item.space, person) for item in self._fresh if not item.deletions for person in item.people}
        return self._tx.tombstones(wanted) if wanted else {}

    def _deleted_us(self, item: Decided) -> int | None:
        """When the event's person, or one of them, was deleted last; None where nobody was."""
        if not self._deleted or item.deletions:
            return None
        times = [self._deleted.get((item.space, person)) for person in item.people]
        return max((time for time in times if time is not None), default=None)

    def _is_forgotten(self, item: Decided) -> bool:
        deleted_us = self._deleted_us(item)
        return deleted_us is not None and item.at_us < deleted_us

    def _interned(self) -> tuple[dict[Ids, AudienceRow], dict[Ids, int]]:
        """Rows of all audiences and people this segment needs, but of nobody whose event is to be forgotten."""
        audiences: dict[tuple[str, str, str], None] = {}
        members: dict[Ids, None] = {}
        for item in self._fresh:
            is_forgotten = self._is_forgotten(item)
            for change in item.changes:
                audiences[change.audience_space, audience_name(change), change.audience_key] = None
                if not is_forgotten:
                    members[item.space, change.member] = None
            for owed in item.owed:
                if owed.change is None and owed.member and not is_forgotten:
                    members[item.space, owed.member] = None
        return (
            self._tx.intern_audiences(audiences, now_us=self._now_us) if audiences else {},
            self._tx.intern_members(members) if members else {},
        )

    def _pairs(self) -> list[tuple[int, int]]:
        """(audience, member) of every change that may be applied."""
        audiences, members = self._audiences, self._members
        return [
            (audiences[change.audience_space, audience_name(change)].id, member)
            for item in self._fresh
            for change in item.changes
            if (member := members.get((item.space, change.member))) is not None
        ]

    def _row(self, item: Decided | TraceRow, seen: SeenVerdict) -> _Row:
        """One item's trace, but for the number of its first delivery; the ledger and the deliveries grow on the way."""
        outcomes = self._recorded.outcomes
        if isinstance(item, TraceRow):
            outcomes[item.outcome] += 1
            return item, item.outcome, item.summary, 0, 0
        if seen == "duplicate":
            outcomes["duplicate"] += 1
            if item.changes:
                self._recorded.membership_events[item.type, "duplicate"] += 1
            return item, "duplicate", _NOTHING, 0, 0
        outcomes["decided"] += 1
        at = len(self._deliveries)
        summary = self._decide(item, is_reused=seen == "id_reused")
        return item, "decided", summary, at, len(self._deliveries) - at

    def _decide(self, item: Decided, *, is_reused: bool) -> bytes:
        """Ask the ledger about each change, then owe what may go out; gives the summary's text."""
        changes = [self._change(item, change) for change in item.changes]
        if changes:
            self._recorded.membership_events[item.type, _result_of(changes, is_reused=is_reused)] += 1
        if item.kept:
            self._keep(item, changes)
        withheld: list[Skipped] = []
        for owed in item.owed:
            why_not = self._owe(item, owed, changes)
            if why_not:
                withheld.append(Skipped(destination=owed.destination, mapping=owed.mapping, code=why_not))
        for erasure in self._erasures.pop(item.place, ()):
            self._erase(item, erasure)
        self._recorded.skipped["not_matching"] += item.unmatched
        for skip in (*item.skipped, *withheld):
            self._recorded.skipped[skip.code] += 1
        skipped = (*item.skipped, *dict.fromkeys(withheld)) if withheld else item.skipped
        warnings = (*item.warnings, "message_id_reused") if is_reused else item.warnings
        if not warnings and not skipped and not item.deletions and len(changes) < 2:
            return self._short_summary(item.changes[0], *changes[0]) if changes else _NOTHING
        return write_summary(
            Summary(
                warnings=warnings,
                changes=tuple(
                    ChangeSummary(
                        audience=audience.id, is_member=change.is_member, verdict=verdict.word, rule=change.rule
                    )
                    for change, (audience, verdict) in islice(zip(item.changes, changes, strict=True), CHANGES_KEPT_MAX)
                ),
                more_changes=max(0, len(changes) - CHANGES_KEPT_MAX),
                skipped=skipped,
                withheld=len(withheld),
                deletions=len(item.deletions),
            )
        )

    def _short_summary(self, change: MembershipChange, audience: AudienceRow, verdict: Verdict) -> bytes:
        """The summary of most events, one change and nothing else: written once for each kind of it."""
        kind = (audience.id, change.is_member, verdict.word, change.rule)
        text = self._recorded.summaries.get(kind)
        if text is None:
            summary = ChangeSummary(audience=kind[0], is_member=kind[1], verdict=kind[2], rule=kind[3])
            text = self._recorded.summaries[kind] = write_summary(Summary(changes=(summary,)))
        return text

    def _change(self, item: Decided, change: MembershipChange) -> tuple[AudienceRow, Verdict]:
        """The ledger's verdict on one change; where it is applied, the row moves."""
        audience = self._audiences[change.audience_space, audience_name(change)]
        member = self._members.get((item.space, change.member))
        pair = (audience.id, member or 0)
        current = self._moved.get(pair) or self._ledger.get(pair)
        verdict = apply_change(
            current,
            is_member=change.is_member,
            at_us=item.at_us,
            arrived_us=item.received_us,
            place=item.place,
            audience_first_us=audience.first_us,
            deleted_us=self._deleted_us(item),
            late_window_us=self._late_window_us,
        )
        self._recorded.changes[verdict.word] += 1
        if verdict.applied and member is not None:
            since_us = current.since_us if current is not None and verdict.word == "repeat" else item.at_us
            self._moved[pair] = MembershipRow(
                audience.id, member, change.is_member, item.at_us, item.received_us, since_us, item.place
            )
        return audience, verdict

    def _keep(self, item: Decided, changes: list[tuple[AudienceRow, Verdict]]) -> None:
        """Note what syncs are to remember, where the ledger took the change."""
        for kept in item.kept:
            audience, verdict = changes[kept.change]
            if verdict.applied:
                self._kept.append((item, kept, audience, verdict))

    def _save_records(self) -> None:
        """Write records in order, a run of enters or of exits at a time."""
        tx, now_us = self._tx, self._now_us
        syncs = tx.intern_syncs(((kept.mapping, audience.id) for _, kept, audience, _ in self._kept), now_us=now_us)
        for (mapping, _audience), sync in syncs.items():
            tx.note_rendering(sync, self._versions.get(mapping, ""))
        self._recorded.records += len(self._kept)
        live: set[tuple[int, int]] = set()
        for is_in, group in groupby(self._kept, key=lambda one: one[1].is_in):
            wanted: list[WantedRow] = []
            exits: list[ExitRow] = []
            for item, kept, audience, verdict in group:
                sync = syncs[kept.mapping, audience.id]
                member = self._members[item.space, item.changes[kept.change].member]
                if kept.is_live:
                    live.add((sync, member))
                if kept.event_settings:
                    tx.note_event_settings(sync, kept.event_settings)
                if is_in:
                    wanted.append(
                        WantedRow(
                            sync, member, kept.line, item.at_us, item.place, kept.payload, kept.fingerprint, kept.entry,
                            kept.unmappable,
                        )
                    )  # fmt: skip
                else:
                    exits.append(
                        ExitRow(
                            sync, member, item.at_us, item.place, kept.payload, kept.fingerprint, kept.entry,
                            is_unknown=verdict.word == "unknown_exit",
                        )
                    )  # fmt: skip
            tx.save_wanted(wanted, now_us=now_us)
            tx.save_exits(exits, now_us=now_us)
        if live:
            tx.touch(sorted(live), now_us=now_us)

    def _erase(self, item: Decided, listed: ForwardedRow) -> None:
        """Take a deleted person off a list that forwarding put them on."""
        lane = listed.mapping.rpartition("/")[0]
        self._deliveries.append(
            NewDelivery(
                lane, listed.mapping, listed.audience, listed.member, "erase", listed.payload, item.place, item.at_us,
                self._now_us, identifiers=listed.identifiers, audience_settings=listed.audience_settings,
            )
        )  # fmt: skip
        self._recorded.deliveries[lane] += 1

    def _owe(self, item: Decided, owed: Owed, changes: list[tuple[AudienceRow, Verdict]]) -> str:
        """Add one delivery, or say why the ledger keeps it back."""
        audience_id = 0
        if owed.change is not None:
            audience, verdict = changes[owed.change]
            if not verdict.forwarded:
                return "forgotten" if verdict.word == "deleted" else verdict.word
            audience_id = audience.id
            if owed.needs_audience_id and not audience.external_id:
                return "audience_not_connected"
        elif self._is_forgotten(item):
            return "forgotten"
        elif owed.needs_audience_id:
            return "audience_not_connected"
        member = self._members[item.space, owed.member] if owed.member else 0
        self._deliveries.append(new_delivery(owed, item, audience=audience_id, member=member, now_us=self._now_us))
        self._recorded.deliveries[owed.destination] += 1
        return ""


_Row = tuple[Decided | TraceRow, str, bytes, int, int]  # item, outcome, summary, deliveries before it, its own
_NOTHING = write_summary(Summary())


def _trace(item: Decided | TraceRow, outcome: str, summary: bytes, first: int, count: int) -> TraceRow:
    if isinstance(item, TraceRow):
        return item
    return TraceRow(
        item.id_hash, item.digest, item.place, item.received_us, outcome, summary, first, count, item.source
    )


def _result_of(changes: list[tuple[AudienceRow, Verdict]], *, is_reused: bool) -> str:
    """What the ledger made of an event, in one word. One about a person who was deleted since comes too late in the order."""
    if is_reused:
        return "message_id_reused"
    if any(verdict.applied for _audience, verdict in changes):
        return "applied"
    return "too_late" if changes[0][1].word == "too_late" else "stale"
