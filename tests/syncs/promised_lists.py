"""What a sync owes its platform's list, worked out from the events and edits alone, and held against list and records."""

from __future__ import annotations

import json
from typing import Any, Final

from sync_world import Platform, World, counters

from gateway.core.run_counters import broken_sums
from gateway.store.sync_rows import ABSENT, PRESENT, RecordRow
from gateway.syncs.memory import read_more

STRANGER: Final = "stranger@example.org"
ALL: Final = 10_000


class Person:
    """What a test knows of one person. email, alias, ltv: of the latest event that made them enter."""

    def __init__(self) -> None:
        self.is_in = False
        self.email: str | None = None
        self.alias: str | None = None
        self.ltv: int | None = None
        self.addresses: set[str] = set()

    def enter(self, email: str | None, alias: str | None, ltv: int) -> None:
        """An event says they are in."""
        self.is_in, self.email, self.alias, self.ltv = True, email, alias, ltv
        self.addresses |= {one for one in (email, alias) if one}


class Promise:
    """What has to hold of one world. `look` at every step, `check` at the end."""

    def __init__(self, world: World, *, has_update: bool, position: int = 0, platform: Platform | None = None) -> None:
        """position: of the sync among those of the world. platform: the list it keeps, where that is not the world's own."""
        self.world = world
        self.position = position
        self._platform = platform
        self.has_update = has_update
        self.people: dict[str, Person] = {}
        self.filled_before: set[str] = {STRANGER}
        self.ever_in: set[str] = {"seen@example.com"}
        self.erased: set[str] = set()
        self.forgotten: set[str] = set()
        self.is_by_alias = False
        self.value: Any = {"@path": "$.context.traits.ltv"}
        self._tracked: set[str] = set()
        self._adds_nothing_from: int | None = None

    @property
    def platform(self) -> Platform:
        """Whose list is looked at."""
        return self._platform or self.world.platform

    def forget(self) -> None:
        """A person has had the sync forget its list: of those who are on it now nothing is promised any more."""
        self.forgotten |= set(self.platform.listed) - {STRANGER}

    def rendered(self, person: Person) -> str | None:
        """The person's line of the list, None where there can be none."""
        return person.alias if self.is_by_alias else person.email

    # while it goes on --------------------------------------------------------------------------------------------------
    async def look(self, mode: str) -> None:
        """Between two steps: records and list say the same, unless a run is on its way."""
        sync, records, every_run = await self.world.state.read(
            lambda view: (
                (one := view.syncs()[self.position]).id, view.records(one.id, limit=ALL), view.open_runs()
            )
        )  # fmt: skip
        open_runs = [run for run in every_run if run.sync == sync]
        held = {email for row in records for email in _listed(row)}
        self._tracked |= held
        is_resting = all(run.status in ("queued", "held") for run in open_runs)
        if is_resting:
            listed = set(self.platform.listed)
            known = held | self.filled_before | self.forgotten
            assert listed <= known, f"no record knows of {listed - known}"
            present = {_email(row.sent) for row in records if row.state == PRESENT}
            assert present <= listed, f"called present, and not there: {present - listed}"
        self._look_at_requests(mode, is_resting=is_resting and not open_runs)

    def _look_at_requests(self, mode: str, *, is_resting: bool) -> None:
        """From the end of the last run of another mode on, a subtractive sync adds nobody."""
        if mode != "subtractive":
            self._adds_nothing_from = None
        elif self._adds_nothing_from is None and is_resting:
            self._adds_nothing_from = len(self.platform.requests)
        if self._adds_nothing_from is not None:
            puts = [one for one in self.platform.requests[self._adds_nothing_from :] if one[0] != "exit"]
            assert puts == [], f"added in subtractive mode: {puts}"

    def begin_the_end(self, mode: str) -> None:
        """No run is open, and no fault comes any more."""
        self._look_at_requests(mode, is_resting=True)

    # at the end --------------------------------------------------------------------------------------------------------
    async def check(self, mode: str) -> None:
        """What the mode promises, and that the counters of every run add up."""
        await self.look(mode)
        listed = self.platform.listed
        assert STRANGER in listed, "somebody was removed who is none of ours"
        found = set(listed) - {STRANGER}
        ours = found - self.forgotten
        inside = [person for person in self.people.values() if person.is_in]
        current = {address for person in self.people.values() for address in person.addresses}
        gone = (self.erased & self._tracked) - current
        assert not gone & ours, f"erased and listed: {gone & ours}"
        if mode == "subtractive":
            known = {address for person in inside for address in person.addresses}
            assert not (ours & self._tracked) - known, f"gone and listed: {(ours & self._tracked) - known}"
        else:
            self._check_filled(mode, found, inside)
        await self._check_sums()

    def _check_filled(self, mode: str, found: set[str], inside: list[Person]) -> None:
        wanted: dict[str, set[object]] = {}
        for person in inside:
            address = self.rendered(person)
            if address is not None:
                wanted.setdefault(address, set()).add(self._value_of(person))
        assert wanted.keys() <= found, f"missing: {wanted.keys() - found}"
        if mode == "mirror":
            kept = {one for person in inside if self.rendered(person) is None for one in person.addresses}
            allowed = wanted.keys() | kept | self.forgotten
            assert found <= allowed, f"too many: {found - allowed}"
        assert found <= self.ever_in, f"never in: {found - self.ever_in}"
        if self.has_update:
            listed = self.platform.listed
            wrong = {one: (listed[one], values) for one, values in wanted.items() if listed[one] not in values}
            assert not wrong, f"not as they are: {wrong}"

    def _value_of(self, person: Person) -> object:
        if self.value == 7:
            return 7
        return person.ltv if str(self.value["@path"]).endswith("ltv") else None

    async def _check_sums(self) -> None:
        for run in await self.world.runs():
            assert run.finished_us, run
            assert not run.reason.startswith("The counters"), run
            if run.status in ("succeeded", "partial", "failed", "cancelled") and run.counters:
                assert broken_sums(counters(run)) == [], run


def _listed(row: RecordRow) -> list[str]:
    """Addresses that the platform may hold, by what the record says."""
    orphans = [_email(entry.payload) for entry in read_more(row.more).orphans]
    return orphans if row.state == ABSENT else [_email(row.sent), *orphans]


def _email(payload: bytes) -> str:
    return str(json.loads(payload)["email"])
