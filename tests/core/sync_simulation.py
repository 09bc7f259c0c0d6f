"""A simulation that any sync engine can be put to: events, edits, pauses, faults and crashes, then the mode's promise.

`simulate(seed, make)` uses of an engine what `sync_model.Engine` has: enter, leave, erase, edit, pass_time, run, rendered,
record, records, people, platform.listed, mode, capabilities, is_paused, has_run, owes_resend. Every choice comes from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from gateway.core.sync_options import Capabilities, Mode, Retry
from gateway.core.sync_plan import RunKind
from gateway.core.sync_records import Entry, Unmappable
from tests.core.sync_model import Answer, Engine

_emails = ("a", "b", "c", "d", "e", None)
_people = tuple(f"user_id:u-{number}" for number in range(8))
_answers: tuple[Answer, ...] = ("accept", "reject", "fail", "lost_before", "lost_after", "crash_before", "crash_after")


class Story:
    """What was seen of a simulation that the last word on it needs: who was rendered when, what the list began with."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.began_with = frozenset(engine.platform.listed)
        self.rendered: dict[str, set[str]] = {}
        self.tracked: dict[str, set[str]] = {}

    def look(self) -> None:
        for key, person in self.engine.people.items():
            entry = self.engine.rendered(key)
            if person.is_in and isinstance(entry, Entry):
                self.rendered.setdefault(key, set()).add(entry.identity)
        for key, record in self.engine.records.items():
            self.tracked.setdefault(key, set()).update(entry.identity for entry in record.entries)


def simulate(seed: int, make: Callable[[Mode, random.Random], Engine] | None = None) -> Engine:
    """Events, edits, faults, crashes; then no faults and two runs; then the list is what the mode promises.

    make: builds the engine that is put to it; the one of this file by default. AssertionErrors name the seed.
    """
    chance = random.Random(seed)
    first_mode = chance.choice(("mirror", "mirror", "additive", "subtractive"))
    engine = (make or _make)(first_mode, chance)
    keeps_mode = chance.random() < 0.6
    if first_mode == "subtractive" and keeps_mode:
        for key in chance.sample(_people, 5):
            engine.enter(key, email=chance.choice(_emails[:5]), ltv=0)
            entry = engine.rendered(key)
            assert isinstance(entry, Entry)
            engine.platform.listed[entry.identity] = entry.fingerprint
    story = Story(engine)
    for _ in range(chance.randrange(4, 40)):
        _happen(engine, chance, keeps_mode=keeps_mode)
        story.look()
        _check_always(engine, story, f"seed {seed}", keeps_mode=keeps_mode, first_mode=first_mode)
    engine.is_paused = False
    engine.pass_time(days=8)
    for _ in range(2):
        story.look()
        engine.run()
    story.look()
    _check_end(engine, story, f"seed {seed}, mode {engine.mode}")
    return engine


def _make(mode: Mode, chance: random.Random) -> Engine:
    retry = Retry(backoff_after=chance.choice((1, 3, 10)), rejected=chance.choice(("on_change", "every_run")))
    return Engine(mode, capabilities=Capabilities(update=chance.random() < 0.7), retry=retry)


def _happen(engine: Engine, chance: random.Random, *, keeps_mode: bool) -> None:
    key = chance.choice(_people)
    roll = chance.random()
    erased = key in engine.people and engine.people[key].is_erased
    if roll < 0.35 and not erased:
        engine.enter(key, email=chance.choice(_emails), ltv=chance.randrange(3))
    elif roll < 0.55 and not erased:
        engine.leave(key, email=chance.choice(_emails), ltv=0)
    elif roll < 0.58:
        engine.erase(key)
    elif roll < 0.61:
        engine.edit(mapped=chance.choice((("email",), ("email", "ltv"))))
    elif roll < 0.63:
        engine.edit(hashed_by=chance.choice("12"))
    elif roll < 0.65:
        engine.is_paused = not engine.is_paused
    elif roll < 0.68:
        engine.pass_time(hours=chance.choice((1, 25, 200)))
    elif roll < 0.76 and not keeps_mode:
        engine.edit(mode=chance.choice(("mirror", "additive", "subtractive")))
    else:
        faults = chance.choice((0.0, 0.3, 0.9))
        stop_after = chance.randrange(6) if chance.random() < 0.2 else None
        about = (
            tuple(chance.sample(sorted(engine.people), min(2, len(engine.people)))) if chance.random() < 0.2 else None
        )
        kind: RunKind | None = chance.choice((None, None, None, "diff", "resend")) if engine.has_run else None
        if engine.owes_resend or not engine.has_run:
            about = None
        if engine.owes_resend and kind == "diff":
            kind = None
        engine.run(
            lambda _: chance.choice(_answers) if chance.random() < faults else "accept",
            kind="live" if about else kind,
            stop_after=stop_after,
            about=about,
        )


def _wanted(engine: Engine) -> dict[str, set[str]]:
    """Identity → fingerprints that members in the audience give it."""
    wanted: dict[str, set[str]] = {}
    for key, person in engine.people.items():
        entry = engine.rendered(key)
        if person.is_in and isinstance(entry, Entry):
            wanted.setdefault(entry.identity, set()).add(entry.fingerprint)
    return wanted


def _check_always(engine: Engine, story: Story, label: str, *, keeps_mode: bool, first_mode: Mode) -> None:
    """Nothing is on the list that no record knows of; what is called present is there; a subtractive sync adds nothing."""
    listed = set(engine.platform.listed)
    held = {entry.identity for record in engine.records.values() for entry in record.entries}
    assert listed <= held | story.began_with, label
    present = {r.sent.identity for r in engine.records.values() if r.state == "present" and r.sent is not None}
    assert present <= listed, label
    if keeps_mode and first_mode == "subtractive":
        assert listed <= story.began_with, label


def _check_end(engine: Engine, story: Story, label: str) -> None:
    listed, wanted = engine.platform.listed, _wanted(engine)
    in_now = {key for key, person in engine.people.items() if person.is_in}
    kept = {
        entry.identity
        for key in in_now
        if isinstance(engine.rendered(key), Unmappable)
        for entry in engine.record(key).entries
    }
    if engine.mode == "subtractive":
        gone = {one for key, seen in story.tracked.items() if key not in in_now for one in seen}
        still = {entry.identity for key in in_now for entry in engine.record(key).entries}
        assert not listed.keys() & (gone - wanted.keys() - still), label
        return
    assert wanted.keys() <= listed.keys(), label
    if engine.mode == "mirror":
        assert listed.keys() <= wanted.keys() | kept, label
    ever_in = {one for key, seen in story.rendered.items() if not engine.people[key].is_erased for one in seen}
    assert listed.keys() <= ever_in, label
    if engine.capabilities.update:
        assert all(listed[identity] in prints for identity, prints in wanted.items()), label
