"""What a person may ask of syncs, runs, members and snapshots. Nothing is ordered here, and nothing is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

from gateway.core.errors import OrderError
from gateway.core.masking import mask_identifier
from gateway.core.rulebook import Rulebook
from gateway.destinations.base import Destination, Notes
from gateway.destinations.rehearsal import FreshNotes
from gateway.store.api import StateStore, StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import RunRow, SyncRow, UnsentPage
from gateway.syncs.dry_runs import PlanTools, plan_sync
from gateway.syncs.log_lines import PAGE_LINES, LogFormat, LogLines, encoded_page, encoder, lines_between
from gateway.syncs.members import KeptEvents, MemberPages, problem_shown
from gateway.syncs.memory import read_counters, read_more
from gateway.syncs.names import Standing, find_sync, standing_of, sync_name, sync_names
from gateway.syncs.pace import Rate, pace_of
from gateway.syncs.run_pages import run_page
from gateway.syncs.scheduler import Syncs
from gateway.syncs.settling import member_reference
from gateway.syncs.showing import Shown, result_line, run_line, shown_alerts, sync_list, sync_page, unsent_of
from gateway.syncs.snapshots import difference
from gateway.syncs.versions import run_version, sync_version

NAMES_SHOWN = 10
_FIRST_LINE = -(2**63)


class SyncQuestions:
    """The questions of one engine."""

    def __init__(
        self,
        *,
        state: StateStore,
        syncs: Syncs,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], int],
        registry: Mapping[str, Destination],
        reference_key: bytes,
        rate: Rate = lambda _destination: 50.0,
        events: KeptEvents | None = None,
        notes: Callable[[str], Notes] = lambda _destination: FreshNotes(),
    ) -> None:
        """rate: requests a second of a destination's lane. events: where events may still be read, to explain members.

        notes: what a configured destination keeps between batches, by its key, so that plans know lists that were made.
        """
        self._state = state
        self._syncs = syncs
        self._rulebook = rulebook
        self._clock = clock
        self._registry = registry
        self._reference_key = reference_key
        self._rate = rate
        self._events = events
        self._notes = notes

    async def list_alerts(self) -> list[Shown]:
        """Alerts that stand."""
        return await self._state.read(shown_alerts)

    async def list_syncs(self, *, deleted: bool = False, after: int = 0, limit: int = 0) -> list[Shown]:
        """Syncs by number, one line each."""
        return await self._state.read(lambda view: sync_list(view, deleted=deleted, after=after, limit=limit))

    async def show_sync(self, name: str) -> Shown:
        """One sync. What waits of it is gone through a page at a time, so that others read in between."""
        unsent: UnsentPage | None = None
        while unsent is None or unsent.last is not None:
            before = unsent
            unsent = await self._state.read(partial(self._unsent, name=name, before=before))

        def look(view: StateView) -> Shown:
            sync, audience = self._found(view, name)
            page = sync_page(view, sync, audience, now_us=self._clock(), unsent=unsent)
            return {**page, "version": sync_version(sync)}

        return await self._state.read(look)

    async def list_runs(self, name: str = "", *, before_id: int = 0, limit: int = 100) -> list[Shown]:
        """Runs, newest first, of one sync or of all."""

        def look(view: StateView) -> list[Shown]:
            sync = self._found(view, name)[0].id if name else 0
            return [run_line(run) for run in view.runs(sync=sync, before_id=before_id, limit=limit)]

        return await self._state.read(look)

    async def show_run(self, run: int) -> Shown:
        """One run; `seconds_left` is what the rest takes at the destination's limit, null where nothing is being sent."""

        def look(view: StateView) -> Shown:
            found = self._run(view, run)
            page = {**run_page(view, found), "version": run_version(found)}
            return {**page, "seconds_left": self._seconds_left(view, found)}

        return await self._state.read(look)

    async def run_progress(self, run: int) -> Shown:
        """How far one run is, by its row alone: for those who ask again and again."""

        def look(view: StateView) -> Shown:
            found = self._run(view, run)
            ended = read_counters(found.counters).ended_total
            return {**run_line(found), "ended": ended, "seconds_left": self._seconds_left(view, found)}

        return await self._state.read(look)

    async def run_log(self, run: int, *, after: int = 0, limit: int = 1000, status: str = "") -> list[Shown]:
        """The sync log of one run, in order."""

        def look(view: StateView) -> list[Shown]:
            self._run(view, run)
            rows = view.row_results(run=run, after_seq=after, status=status, limit=limit)
            return [result_line(row) for row in rows]

        return await self._state.read(look)

    async def sync_log(
        self, name: str, *, since_us: int, until_us: int, after: tuple[int, int], limit: int
    ) -> tuple[list[Shown], tuple[int, int] | None]:
        """Lines of a sync's log that ended in [since, until), oldest run first; and where to go on, None at the end."""

        def look(view: StateView) -> tuple[list[Shown], tuple[int, int] | None]:
            sync, audience = self._found(view, name)
            lines = LogLines(view, sync_name(sync, audience))
            return lines_between(view, lines, sync.id, since_us=since_us, until_us=until_us, after=after, limit=limit)

        return await self._state.read(look)

    async def exported_run(self, run: int, form: LogFormat, *, status: str = "") -> AsyncIterator[bytes]:
        """A run's whole log as a file, in pieces. status: only lines that ended so."""
        head, encode = encoder(form)
        yield head
        after: int | None = 0
        while after is not None:
            piece, _count, after = await self._state.read(
                partial(encoded_page, run=run, after=after, encode=encode, status=status)
            )
            yield piece

    async def exported_sync(self, name: str, form: LogFormat, *, since_us: int, until_us: int) -> AsyncIterator[bytes]:
        """A sync's log by time as a file, in pieces."""
        head, encode = encoder(form)
        yield head
        place: tuple[int, int] | None = (0, 0)
        while place is not None:
            lines, place = await self.sync_log(
                name, since_us=since_us, until_us=until_us, after=place, limit=PAGE_LINES
            )
            yield encode(lines)

    async def diff_runs(self, older: int, newer: int) -> Shown:
        """Who came, went and changed between two runs of one sync."""

        def look(view: StateView) -> Shown:
            known = {run: view.run(run) for run in (older, newer)}
            if len({run.sync for run in known.values() if run is not None}) > 1:
                raise OrderError(
                    400,
                    "different_syncs",
                    f"Runs {older} and {newer} are of different syncs: `gateway run list` tells.",
                )
            found = difference(view, older, newer, reference_key=self._reference_key)
            if found is None:
                lacking = " and ".join(str(run) for run in known if not view.snapshot_parts(run))
                raise OrderError(
                    404, "no_snapshot", f"Of run {lacking} no snapshot is kept: only runs that changed something have one, "
                    "and the sync keeps its last few (`snapshots.keep`).",
                )  # fmt: skip
            return found

        return await self._state.read(look)

    async def snapshots(self, name: str = "", *, before_run: int = 0, limit: int = 100) -> list[Shown]:
        """Kept snapshots, newest run first."""

        def look(view: StateView) -> list[Shown]:
            names = sync_names(view)
            sync = self._found(view, name)[0].id if name else 0
            return [
                {
                    "run": one.run,
                    "sync": one.sync,
                    "sync_name": names.get(one.sync, ""),
                    "finished_us": one.finished_us,
                    "members": one.members,
                    "packed_bytes": one.packed_bytes,
                }
                for one in view.snapshots(sync=sync, before_run=before_run, limit=limit)
            ]

        return await self._state.read(look)

    async def problems(
        self, name: str, *, after: tuple[int, int] = (0, _FIRST_LINE), limit: int = 100
    ) -> tuple[list[Shown], tuple[int, int] | None]:
        """Members of a sync with whom something is wrong, in order; and where to go on, None at the end."""

        def look(view: StateView) -> tuple[list[Shown], tuple[int, int] | None]:
            sync, _audience = self._found(view, name)
            rows = view.troubled(sync.id, after=after, limit=limit)
            shown = []
            for row in rows:
                problem = read_more(row.more).problem
                reference = member_reference(self._reference_key, row.member)
                trouble = problem_shown(problem) if problem is not None else _unmappable(row.unmappable, row.changed_us)
                shown.append({"member_ref": reference, "line": row.line, **trouble})
            return shown, (rows[-1].member, rows[-1].line) if len(rows) == limit else None

        return await self._state.read(look)

    async def explain(self, name: str, key: str, *, reveal: bool = False) -> Shown:
        """One person and one sync. key: canonical id, such as `user_id:u-17`. reveal: personal values in clear.

        After an edit that no run has caught up with, the person's record is made anew first, as a run would.
        """
        if ":" not in key:
            raise OrderError(
                400, "invalid_member", "A member is written with its kind: `user_id:u-17`, `anonymous_id:…`, `email:…`."
            )

        pages = MemberPages(
            rulebook=self._rulebook(),
            registry=self._registry,
            rules=self._syncs.runner.rules,
            reference_key=self._reference_key,
            events=self._events,
            now_us=self._clock(),
        )
        renewal = self._syncs.runner.renewal

        def outdated(view: StateView) -> tuple[Standing, int] | None:
            standing, (_space, member) = self._standing(*self._found(view, name)), pages.whose(view, key)
            if standing is None or member is None or not renewal.is_due_for_one(view, standing):
                return None
            return standing, member

        found = await self._state.read(outdated)
        if found is not None:
            await renewal.member(*found)
        return await self._state.read(lambda view: pages.page(view, *self._found(view, name), key, reveal=reveal))

    async def audience_members(
        self, audience: int, *, after: int = 0, limit: int = 100, reveal: bool = False
    ) -> tuple[list[Shown], int | None]:
        """Who is in an audience, by number; and where to go on, None at the end."""

        def look(view: StateView) -> tuple[list[Shown], int | None]:
            if all(one.id != audience for one in view.audiences()):
                raise OrderError(
                    404, "unknown_audience", f"There is no audience {audience}; `GET /api/audiences` lists them."
                )
            rows = view.members(audience, after=after, limit=limit)
            shown: list[Shown] = [
                {
                    "member_ref": member_reference(self._reference_key, number),
                    "member": canonical if reveal else mask_identifier(canonical),
                    "since_us": row.since_us,
                    "at_us": row.at_us,
                }
                for number, canonical, row in rows
            ]
            return shown, rows[-1][0] if len(rows) == limit else None

        return await self._state.read(look)

    async def plan(self, name: str, *, kind: str = "", reveal: bool = False) -> Shown:
        """What the next run would do; nothing is sent. The records are made anew first where the run would do so."""
        await self._syncs.runner.renewal.renew(lambda view: self._standing(*self._found(view, name)))
        found = await self._state.read(lambda view: self._found(view, name))
        standing = self._standing(*found)
        if standing is None:
            raise OrderError(409, "not_served", f"No mapping serves {name} any more: put its entry back first.")
        return await plan_sync(
            self._state,
            standing,
            PlanTools(
                rules=self._syncs.runner.rules,
                registry=self._registry,
                reference_key=self._reference_key,
                notes=self._notes,
                foretell=self._syncs.foretold,
            ),
            kind=kind_for(standing, kind),
            reveal=reveal,
            pace=pace_of(standing, self._rate),
            rulebook=self._rulebook(),
            now_us=self._clock(),
        )

    # inside ------------------------------------------------------------------------------------------------------------
    def _standing(self, sync: SyncRow, audience: AudienceRow) -> Standing | None:
        return standing_of(sync, {audience.id: audience}, self._rulebook())

    def _unsent(self, view: StateView, *, name: str, before: UnsentPage | None) -> UnsentPage:
        return unsent_of(view, self._found(view, name)[0].id, before)

    def _seconds_left(self, view: StateView, run: RunRow) -> float | None:
        sync = view.sync(run.sync)
        if run.status != "sending" or sync is None:
            return None
        standing = standing_of(sync, {one.id: one for one in view.audiences()}, self._rulebook())
        if standing is None:
            return None
        pace = pace_of(standing, self._rate)
        if run.kind == "replace":  # one delivery, however many people are on the list
            return pace.seconds_of(1)
        return pace.seconds(read_counters(run.counters).left)

    @staticmethod
    def _run(view: StateView, run: int) -> RunRow:
        found = view.run(run)
        if found is None:
            raise OrderError(404, "unknown_run", f"There is no run {run}.")
        return found

    @staticmethod
    def _found(view: StateView, name: str) -> tuple[SyncRow, AudienceRow]:
        found = find_sync(view, name)
        if found is None:
            audiences = {one.id: one for one in view.audiences()}
            known = [sync_name(one, audiences[one.audience]) for one in view.syncs() if one.audience in audiences]
            names = ", ".join(known[:NAMES_SHOWN])
            raise OrderError(404, "unknown_sync", f"There is no sync `{name}`. Known: {names or 'none yet'}.")
        return found


def kind_for(standing: Standing | None, kind: str) -> str:
    """The kind of a run by hand; where the platform takes whole lists, every run is one."""
    return "" if standing is not None and standing.mapping.capabilities.takes_whole_lists else kind


def _unmappable(code: str, since_us: int) -> Shown:
    return {
        "kind": "unmappable",
        "operation": None,
        "code": code,
        "fingerprint": "",
        "attempts": 0,
        "first_us": since_us,
        "next_try_us": 0,
    }
