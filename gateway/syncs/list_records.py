"""A sync's records as they are for the list it keeps: its own, or, before they have moved, as they will be for another list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from gateway.store.api import StateView
from gateway.store.sync_rows import ABSENT, ERASED, IN, OUT, RecordRow
from gateway.syncs.memory import RecordMore, encode_more, read_more

MOVED_RECORDS = 1_000  # of one step


class RecordsOfList(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plan reads the records of one list.

    source: another sync whose delivered state is taken over, 0 for none. is_blank: what the sync itself has delivered is of
    another list, so that it counts for nothing here.
    """

    sync: int
    source: int = 0
    is_blank: bool = False

    @property
    def is_own(self) -> bool:
        """Nothing has to be looked at but the sync's own records."""
        return not self.source and not self.is_blank

    def page(self, view: StateView, *, after: int, limit: int, settled: bool) -> list[RecordRow]:
        """Records behind a member, in order; fewer than `limit` only at the end."""
        if self.is_own:
            return view.records(self.sync, after=(after, 2**62), limit=limit, settled=settled)
        found: list[RecordRow] = []
        end: int | None = after
        while end is not None and len(found) < limit:
            piece, end = self._piece(view, end, limit)
            found += piece
        return found

    def _piece(self, view: StateView, after: int, limit: int) -> tuple[list[RecordRow], int | None]:
        """Some of both syncs' records joined, and up to which member; None at the end."""
        own = view.records(self.sync, after=(after, 2**62), limit=limit)
        others = view.records(self.source, after=(after, 2**62), limit=limit) if self.source else []
        ends = [rows[-1].member for rows in (own, others) if len(rows) == limit]
        if not ends:
            return self._joined(own, others), None
        end = min(ends)
        return self._joined(
            [row for row in own if row.member <= end], [row for row in others if row.member <= end]
        ), end

    def of(self, view: StateView, members: Iterable[int]) -> list[RecordRow]:
        """All records of some members."""
        wanted = sorted(set(members))
        own = view.records_of(self.sync, wanted)
        if self.is_own:
            return own
        return self._joined(own, view.records_of(self.source, wanted) if self.source else [])

    def claimants(self, view: StateView, entries: Iterable[bytes]) -> list[RecordRow]:
        """Records that want or hold one of these entries."""
        wanted = list(entries)
        found = view.claimants(self.sync, wanted)
        if self.is_own:
            return found
        others = view.claimants(self.source, wanted) if self.source else []
        return self.of(view, (row.member for row in (*found, *others)))

    def listed_count(self, view: StateView) -> int:
        """Members who are on the list."""
        own = 0 if self.is_blank else view.listed_count(self.sync)
        return own + (view.listed_count(self.source) if self.source else 0)

    def settled_count(self, view: StateView) -> int:
        """Records that `page` passes over where settled is False."""
        return view.settled_count(self.sync) if self.is_own else 0

    def _joined(self, own: Sequence[RecordRow], others: Sequence[RecordRow]) -> list[RecordRow]:
        here = {(row.member, row.line): row for row in own}
        if self.is_blank:
            blanks = {key: blank_of(row, row.changed_us) for key, row in here.items()}
            here = {key: row for key, row in blanks.items() if row is not None}
        for row in others:
            if row.state != ABSENT:
                key = (row.member, row.line)
                here[key] = taken_over(row, here.get(key))
        return [here[key] for key in sorted(here)]


def taken_over(row: RecordRow, here: RecordRow | None) -> RecordRow:
    """A record of the list as the sync that keeps it now has it: what is wanted of `here`, what was delivered of `row`."""
    if here is None:
        return delivered_of(row)
    more = replace(read_more(row.more), unknown_exit=False)
    return replace(
        here, state=row.state, sent=row.sent, sent_fingerprint=row.sent_fingerprint, sent_entry=row.sent_entry,
        more=encode_more(more), changed_us=row.changed_us, run=row.run,
    )  # fmt: skip


def delivered_of(row: RecordRow) -> RecordRow:
    """What a list holds of a member, whether or not the member is in."""
    more = replace(read_more(row.more), unknown_exit=False)
    return replace(row, standing=ERASED if row.standing == ERASED else OUT, unmappable="", more=encode_more(more))


def blank_of(row: RecordRow, now_us: int) -> RecordRow | None:
    """The record for a list that holds nothing of the member yet; None where there is nothing to be wanted either."""
    is_unknown = read_more(row.more).unknown_exit and row.standing == OUT
    if row.standing != IN and not is_unknown:
        return None
    more = encode_more(RecordMore(unknown_exit=is_unknown))
    if (row.state, row.more) == (ABSENT, more):
        return row
    return replace(
        row, state=ABSENT, sent=b"", sent_fingerprint=b"", sent_entry=b"", more=more, changed_us=now_us, run=0
    )
