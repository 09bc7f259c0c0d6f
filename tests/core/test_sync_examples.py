"""The numbered examples of audience syncs, one row a run, on the engine of `sync_model`."""

from collections.abc import Callable

import pytest

from gateway.core.guards import Guards
from gateway.core.run_counters import RunCounters
from gateway.core.sync_options import WHOLE_LISTS, Capabilities, Mode
from gateway.core.sync_plan import Step
from gateway.core.sync_records import Entry
from tests.core.sync_model import Answer, Engine, Run

U = "user_id:u-1"
Event = Callable[[Engine], None]

_outcomes = ("added", "updated", "removed", "erased", "failed", "rejected_mapping", "rejected_destination", "unsure",
             "cancelled", "unchanged")  # fmt: skip


def enter(email: str | None = "h1", **fields: object) -> Event:
    return lambda engine: engine.enter(U, email=email, **fields)


def leave(email: str = "h1") -> Event:
    return lambda engine: engine.leave(U, email=email)


def erase(engine: Engine) -> None:
    engine.erase(U)


def nothing(_: Engine) -> None:
    pass


def mode(name: Mode) -> Event:
    return lambda engine: engine.edit(mode=name)


def clear_email_and_leave(engine: Engine) -> None:
    engine.enter(U, email=None)
    engine.leave(U)


def enter_and_leave(engine: Engine) -> None:
    engine.enter(U, email="h1")
    engine.leave(U)


def leave_and_return(**payload: object) -> Event:
    def happen(engine: Engine) -> None:
        engine.leave(U)
        engine.enter(U, **{"email": "h1", **payload})

    return happen


def in_turn(*answers: Answer) -> Callable[[Step], Answer]:
    """Each answer once, then only acceptance."""
    left = list(answers)
    return lambda _: left.pop(0) if left else "accept"


def outcomes(counters: RunCounters) -> dict[str, int]:
    """All counts of members that are not zero."""
    counted = {name: int(getattr(counters, name)) for name in _outcomes}
    return {name: count for name, count in {**counted, **counters.skipped}.items() if count}


def line(engine: Engine, email: str, **fields: object) -> Entry:
    engine.people["probe"] = engine.people.pop("probe", None) or engine.people[U].__class__(is_in=False, payload={})
    engine.people["probe"].payload = {"email": email, **fields}
    entry = engine.rendered("probe")
    del engine.people["probe"]
    assert isinstance(entry, Entry)
    return entry


NOBODY: tuple[str, ...] = ()
H1: list[tuple[Event, tuple[Answer, ...]]] = [(enter(), ())]
LTV10: list[tuple[Event, tuple[Answer, ...]]] = [(enter(ltv=10), ())]

# number, mode, runs before, what happened since, answers, operation and requests, state, lines on the record, problem, counts
ROWS = [
    (1, "mirror", [], enter(), (), "add+", "present", [{"email": "h1"}], None, {"added": 1}),
    (2, "mirror", H1, nothing, (), "", "present", [{"email": "h1"}], None, {"unchanged": 1}),
    (3, "mirror", LTV10, enter(ltv=12), (), "update+", "present", [{"email": "h1", "ltv": 12}], None, {"updated": 1}),
    (4, "mirror", H1, enter(city="Ulm"), (), "", "present", [{"email": "h1"}], None, {"unchanged": 1}),
    (5, "mirror", H1, enter("h2"), (), "replace-+", "present", [{"email": "h2"}], None, {"updated": 1}),
    (6, "mirror", H1, enter("h2"), ("accept", "fail"), "replace-+", "absent", [], "failed", {"failed": 1}),
    (7, "mirror", H1, leave(), (), "remove-", "absent", [], None, {"removed": 1}),
    (8, "mirror", H1, clear_email_and_leave, (), "remove-", "absent", [], None, {"removed": 1}),
    (9, "mirror", [], enter_and_leave, (), "", "absent", [], None, {}),
    (10, "mirror", H1, leave_and_return(), (), "", "present", [{"email": "h1"}], None, {"unchanged": 1}),
    (11, "mirror", LTV10, leave_and_return(ltv=12), (), "update+", "present", [{"email": "h1", "ltv": 12}], None,
     {"updated": 1}),
    (12, "mirror", [], enter(None), (), "", "absent", [], "unmappable", {"rejected_mapping": 1}),
    (13, "mirror", H1, enter(None), (), "", "present", [{"email": "h1"}], "unmappable", {"rejected_mapping": 1}),
    (14, "mirror", [], enter(), ("reject",), "add+", "absent", [], "rejected", {"rejected_destination": 1}),
    (15, "mirror", [(enter(), ("reject",))], nothing, (), "", "absent", [], "rejected", {"quarantined": 1}),
    (16, "mirror", [(enter(), ("reject",))], enter("h2"), (), "add+", "present", [{"email": "h2"}], None, {"added": 1}),
    (17, "mirror", [], enter(), ("fail",), "add+", "absent", [], "failed", {"failed": 1}),
    (18, "mirror", [(enter(), ("fail",))], nothing, (), "add+", "present", [{"email": "h1"}], None, {"added": 1}),
    (19, "mirror", [(enter(), ("fail",))], leave(), (), "", "absent", [], None, {}),
    (20, "mirror", [], enter(), ("lost_after",), "add+", "unsure", [{"email": "h1"}], "unsure", {"unsure": 1}),
    (21, "mirror", [(enter(), ("lost_after",))], nothing, (), "add+", "present", [{"email": "h1"}], None, {"added": 1}),
    (22, "mirror", [(enter(), ("lost_before",))], leave(), (), "remove-", "absent", [], None, {"removed": 1}),
    (23, "mirror", [*H1, (leave(), ("fail",))], enter(), (), "", "present", [{"email": "h1"}], None, {"unchanged": 1}),
    (24, "mirror", [*H1, (leave(), ("lost_after",))], enter(), (), "add+", "present", [{"email": "h1"}], None,
     {"added": 1}),
    (25, "additive", [], enter(), (), "add+", "present", [{"email": "h1"}], None, {"added": 1}),
    (26, "additive", H1, leave(), (), "", "present", [{"email": "h1"}], None, {"not_in_mode": 1}),
    (27, "additive", [*LTV10, (leave(), ())], enter(ltv=12), (), "update+", "present", [{"email": "h1", "ltv": 12}], None,
     {"updated": 1}),
    (28, "additive", H1, enter("h2"), (), "add+", "present", [{"email": "h2"}, {"email": "h1"}], None, {"added": 1}),
    (30, "subtractive", H1, leave(), (), "remove-", "absent", [], None, {"removed": 1}),
    (31, "subtractive", [(nothing, ())], enter(), (), "", "assumed", [{"email": "h1"}], None, {"tracked": 1}),
    (32, "mirror", [*LTV10, (mode("subtractive"), ())], enter(ltv=12), (), "", "present", [{"email": "h1", "ltv": 10}], None,
     {"not_in_mode": 1}),
    (33, "mirror", [], leave(), (), "remove-", "absent", [], None, {"removed": 1}),
    (33, "subtractive", [(nothing, ())], leave(), (), "remove-", "absent", [], None, {"removed": 1}),
    (34, "additive", [(enter("h0"), ()), (enter(), ())], erase, (), "erase--", "absent", [], None,
     {"removed": 1, "erased": 1}),
    (52, "mirror", [(enter(), ("lost_before",))], enter("h2"), (), "replace-+", "present", [{"email": "h2"}], None,
     {"updated": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "mode", "before", "event", "answers", "requests", "state", "lines", "problem", "counts"),
    ROWS,
    ids=[f"{row[0]}-{row[1]}" for row in ROWS],
)
def test_one_member_and_one_run(
    number: int,
    mode: Mode,
    before: list[tuple[Event, tuple[Answer, ...]]],
    event: Event,
    answers: tuple[Answer, ...],
    requests: str,
    state: str,
    lines: list[dict[str, object]],
    problem: str | None,
    counts: dict[str, int],
) -> None:
    """What is planned, asked for (- takes, + puts), left on the record and counted."""
    engine = Engine(mode)
    for happen, said in before:
        happen(engine)
        engine.run(in_turn(*said))
    event(engine)
    sent: list[str] = []

    def answer(step: Step) -> Answer:
        sent.append("-" if step.verb == "remove" else "+")
        return (answers + ("accept",) * len(sent))[len(sent) - 1]

    run = engine.run(answer)
    ops = [planned.op for _, planned in run.plan if planned.op]
    assert "".join(ops) + "".join(sent) == requests
    record = engine.record(U)
    assert record.state == state
    assert [entry.fingerprint for entry in record.entries] == [line(engine, **one).fingerprint for one in lines]  # type: ignore[arg-type]
    assert (record.problem and record.problem.kind) == problem
    assert outcomes(run.counters) == counts
    assert run.counters.requests == len(sent)


STATUSES = [(12, "partial"), (14, "partial"), (17, "failed"), (20, "failed"), (1, "succeeded"), (15, "succeeded")]


@pytest.mark.parametrize(("number", "status"), STATUSES)
def test_how_such_a_run_is_called(number: int, status: str) -> None:
    """Refused: partial. All that was planned failed or unsure: failed. Nothing to do: succeeded."""
    row = next(row for row in ROWS if row[0] == number)
    engine = Engine(row[1])  # type: ignore[arg-type]
    for happen, said in row[2]:  # type: ignore[attr-defined]
        happen(engine)
        engine.run(in_turn(*said))
    row[3](engine)  # type: ignore[operator]
    assert engine.run(in_turn(*row[4])).status == status  # type: ignore[misc]


def test_6_the_next_run_adds_what_was_only_taken() -> None:
    """After a replace whose second half failed."""
    engine = Engine()
    engine.enter(U, email="h1")
    engine.run()
    engine.enter(U, email="h2")
    engine.run(in_turn("accept", "fail"))
    assert outcomes(engine.run().counters) == {"added": 1}


def test_33_an_unknown_exit_is_sent_once() -> None:
    """Accepted or refused it is settled; without an answer, or failed, it is asked again; additive never asks."""
    for said, again in (("accept", 0), ("reject", 0), ("fail", 1), ("lost_after", 1)):
        engine = Engine()
        engine.leave(U, email="h1")
        engine.run(in_turn(said))  # type: ignore[arg-type]
        assert engine.run().counters.requests == again
        assert engine.list_size == 0
    engine = Engine("additive")
    engine.leave(U, email="h1")
    assert outcomes(engine.run().counters) == {"unchanged": 1}


def crowd(engine: Engine, size: int, **payload: object) -> None:
    for number in range(size):
        engine.enter(f"user_id:u-{number:05}", email=f"e{number}", **payload)


def depart(engine: Engine, *numbers: int) -> None:
    for number in numbers:
        engine.leave(f"user_id:u-{number:05}")


def states(engine: Engine) -> dict[str, int]:
    counted: dict[str, int] = {}
    for record in engine.records.values():
        counted[record.state] = counted.get(record.state, 0) + 1
    return counted


def test_29_a_subtractive_sync_begins_by_tracking() -> None:
    """Three in: all tracked, no request."""
    engine = Engine("subtractive")
    crowd(engine, 3)
    run = engine.run()
    assert (run.kind, outcomes(run.counters), run.counters.requests) == ("adopt", {"tracked": 3}, 0)
    assert states(engine) == {"assumed": 3}


def test_35_and_36_adopting_a_list_sends_nothing_until_something_changes() -> None:
    """Ten thousand adopted; then one of them changes."""
    engine = Engine(initial="adopt")
    crowd(engine, 10_000, ltv=10)
    run = engine.run()
    assert (outcomes(run.counters), run.counters.requests) == ({"tracked": 10_000}, 0)
    assert states(engine) == {"assumed": 10_000}
    engine.enter("user_id:u-00007", email="e7", ltv=12)
    assert outcomes(engine.run().counters) == {"updated": 1, "unchanged": 9_999}
    assert states(engine) == {"assumed": 9_999, "present": 1}


def test_37_from_additive_to_mirror_the_retained_go() -> None:
    """Forty of a hundred are at most the floor, so no guard holds."""
    engine = Engine("additive", guards=Guards())
    crowd(engine, 100)
    engine.run()
    depart(engine, *range(40))
    engine.run()
    engine.edit(mode="mirror")
    run = engine.run()
    assert (run.status, outcomes(run.counters)) == ("succeeded", {"removed": 40, "unchanged": 60})


def held_removal() -> Engine:
    engine = Engine(guards=Guards())
    crowd(engine, 1_000)
    engine.run()
    depart(engine, *range(350))
    run = engine.run()
    assert (run.status, run.counters.requests, states(engine)) == ("held", 0, {"present": 1_000})
    assert [one.guard for one in run.findings] == ["max_removal_percent"]
    return engine


def test_38_and_39_a_mass_removal_is_held_until_a_person_approves() -> None:
    """350 of 1,000 hold the run; approved with 352 by then it goes out."""
    engine = held_removal()
    depart(engine, 350, 351)
    run = engine.run(approve=True)
    assert (run.status, outcomes(run.counters)) == ("succeeded", {"removed": 352, "unchanged": 648})
    assert run.counters.list_after == 648


def test_39_an_approval_does_not_cover_a_plan_that_has_moved() -> None:
    """With 500 by then the run is held again, with the new number, which can be approved in turn."""
    engine = held_removal()
    depart(engine, *range(350, 500))
    assert engine.run(approve=True).status == "held"
    run = engine.run(approve=True)
    assert (run.status, outcomes(run.counters)) == ("succeeded", {"removed": 500, "unchanged": 500})


def test_40_below_the_floor_no_percentage_counts() -> None:
    """Forty of fifty leave."""
    engine = Engine(guards=Guards())
    crowd(engine, 50)
    engine.run()
    depart(engine, *range(40))
    run = engine.run()
    assert (outcomes(run.counters), run.counters.list_after) == ({"removed": 40, "unchanged": 10}, 10)


def test_41_an_empty_audience_is_held() -> None:
    """All sixty leave; the floor does not apply."""
    engine = Engine(guards=Guards())
    crowd(engine, 60)
    engine.run()
    depart(engine, *range(60))
    run = engine.run()
    assert (run.status, [one.guard for one in run.findings]) == ("held", ["empty_audience"])


def test_42_and_43_a_shared_entry_passes_on_and_goes_with_its_last_member() -> None:
    """Two accounts, one e-mail: added once; the owner leaves; then the other."""
    engine = Engine()
    engine.enter("user_id:a", email="h1")
    engine.enter("user_id:b", email="h1")
    assert outcomes(engine.run().counters) == {"added": 1, "shared_identifier": 1}
    engine.leave("user_id:a")
    run = engine.run()
    assert (outcomes(run.counters), run.counters.requests) == ({"unchanged": 2}, 0)
    assert [engine.record(key).state for key in ("user_id:a", "user_id:b")] == ["absent", "present"]
    engine.leave("user_id:b")
    run = engine.run()
    assert (outcomes(run.counters), run.counters.requests, engine.platform.listed) == ({"removed": 1}, 1, {})


def test_43_both_leaving_at_once_is_one_removal() -> None:
    """The entry is taken once, although two members had it."""
    engine = Engine()
    engine.enter("user_id:a", email="h1")
    engine.enter("user_id:b", email="h1")
    engine.run()
    engine.leave("user_id:a")
    engine.leave("user_id:b")
    run = engine.run()
    assert (outcomes(run.counters), run.counters.requests, engine.platform.listed) == ({"removed": 1}, 1, {})


def whole_list(size: int) -> Engine:
    engine = Engine(capabilities=WHOLE_LISTS)
    crowd(engine, size)
    return engine


def test_44_and_45_a_list_too_small_is_not_uploaded() -> None:
    """Distinct people count, not rows."""
    engine = whole_list(1_499)
    for copy in (0, 120):  # then 1,600 rows of 1,480 people
        for number in range(copy):
            engine.enter(f"user_id:copy-{number:03}", email=f"e{number}")
        if copy:
            depart(engine, *range(1_480, 1_499))
        run = engine.run()
        assert (run.status, run.reason, run.counters.requests, engine.records) == ("skipped", "below_minimum", 0, {})


def uploaded() -> Engine:
    engine = whole_list(1_612)
    run = engine.run()
    assert (run.status, outcomes(run.counters)) == ("succeeded", {"added": 1_612})
    return engine


def test_46_a_list_is_uploaded_every_day_even_unchanged() -> None:
    """All count as updated."""
    engine = uploaded()
    engine.pass_time(hours=24)
    assert outcomes(engine.run().counters) == {"updated": 1_612}


def test_47_within_the_gap_a_list_is_not_due() -> None:
    """Three left, five hours on: nobody is even looked at; twenty hours on they are dropped without a removal request."""
    engine = uploaded()
    depart(engine, 1, 2, 3)
    engine.pass_time(hours=5)
    before = states(engine)
    run = engine.run()
    assert (run.status, run.reason, run.counters.considered, run.counters.requests) == ("skipped", "not_due", 0, 0)
    assert (states(engine), len(engine.platform.listed)) == (before, 1_612)
    engine.pass_time(hours=15)
    run = engine.run()
    assert (outcomes(run.counters), run.counters.requests) == ({"updated": 1_609, "removed": 3}, 1)
    assert (len(engine.platform.listed), run.counters.list_after) == (1_609, 1_609)


def test_48_a_newly_mapped_field_rewrites_the_list_and_the_plan_says_so() -> None:
    """A warning, no hold."""
    engine = Engine(guards=Guards())
    crowd(engine, 10_000, city="Ulm")
    engine.run()
    engine.edit(mapped=("email", "ltv", "city"))
    run = engine.run()
    assert [(one.guard, one.reaction) for one in run.findings] == [("max_update_percent", "warn")]
    assert outcomes(run.counters) == {"updated": 10_000}


def test_49_what_a_stopped_run_did_not_reach_is_planned_again() -> None:
    """Stopped after 300 of 500."""
    engine = Engine()
    crowd(engine, 500)
    run = engine.run(stop_after=300)
    assert (run.status, outcomes(run.counters)) == ("cancelled", {"added": 300, "cancelled": 200})
    run = engine.run()
    assert (run.counters.planned, run.counters.unchanged) == ({"add": 200}, 300)


@pytest.mark.parametrize("said", ["crash_before", "crash_after"])
def test_50_a_crash_during_a_request_leaves_its_member_unsure(said: Answer) -> None:
    """The next run asks again, which does no harm."""
    engine = Engine()
    engine.enter(U, email="h1")
    run = engine.run(in_turn(said))
    assert (run.status, engine.record(U).state) == ("interrupted", "unsure")
    assert outcomes(engine.run().counters) == {"added": 1}
    assert len(engine.platform.listed) == 1


def test_51_leaving_subtractive_mode_adds_everybody_in() -> None:
    """Also those whom the resend did not reach: its stop does not make them believed listed."""
    engine = Engine("subtractive")
    crowd(engine, 3)
    engine.run()
    engine.edit(mode="mirror")
    run: Run = engine.run(stop_after=1)
    assert (run.kind, outcomes(run.counters)) == ("resend", {"added": 1, "cancelled": 2})
    run = engine.run()
    assert (run.kind, outcomes(run.counters), states(engine)) == ("diff", {"added": 2, "unchanged": 1}, {"present": 3})


def test_28_and_a_switch_to_mirror_removes_the_orphan() -> None:
    """An update made only of the removal; without the ability to update, too."""
    engine = Engine("additive", capabilities=Capabilities(update=False))
    engine.enter(U, email="h1")
    engine.run()
    engine.enter(U, email="h2")
    engine.run()
    engine.edit(mode="mirror")
    run = engine.run()
    assert (run.counters.planned, run.counters.requests, len(engine.platform.listed)) == ({"update": 1}, 1, 1)
