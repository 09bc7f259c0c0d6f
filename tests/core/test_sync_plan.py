from collections.abc import Callable

import msgspec
import pytest

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.sync_effects import Stamp, after_list, after_put, after_takes, result_of
from gateway.core.sync_entries import Member, SharedEntries, claims_of
from gateway.core.sync_options import WHOLE_LISTS, Capabilities, GiveUp, Mode, Retry
from gateway.core.sync_plan import (
    Planned,
    PlanRules,
    RunKind,
    in_sending_order,
    kind_of_run,
    owes_resend_after,
    plan_member,
)
from gateway.core.sync_records import Entry, Record, RecordProblem, State, Unmappable, fingerprint, render

SINGLE = Capabilities(update=True)


def entry(email: str, **fields: object) -> Entry:
    return render({"email": email, **fields}, ("email",))


OLD = entry("h0")
H1, H1_NEW, H2 = entry("h1", ltv=10), entry("h1", ltv=12), entry("h2", ltv=10)
NONE = Unmappable(code="required_field_missing")
RENDERED = {"same": H1, "fields": H1_NEW, "identifier": H2, "unmappable": NONE}

# membership, states, rendered → mirror, additive, subtractive; a rejected or skipped one is told by its reason
TABLE = [
    ("in", "absent", "same", "add", "add", "tracked"),
    ("in", "absent", "unmappable", "rejected", "rejected", "rejected"),
    ("in", "present assumed", "same", "unchanged", "unchanged", "unchanged"),
    ("in", "present assumed", "fields", "update", "update", "not_in_mode"),
    ("in", "present assumed", "identifier", "replace", "add", "tracked"),
    ("in", "present assumed", "unmappable", "rejected", "rejected", "unchanged"),
    ("in", "unsure", "same", "add", "add", "unchanged"),
    ("in", "unsure", "fields", "add", "add", "not_in_mode"),
    ("in", "unsure", "identifier", "replace", "add", "not_in_mode"),
    ("in", "unsure", "unmappable", "rejected", "rejected", "unchanged"),
    ("out", "absent", "", "not_considered", "not_considered", "not_considered"),
    ("unknown exit", "absent", "same", "remove", "unchanged", "remove"),
    ("unknown exit", "absent", "unmappable", "rejected", "unchanged", "rejected"),
    ("out", "present assumed unsure", "", "remove", "not_in_mode", "remove"),
    ("erased", "absent", "", "not_considered", "not_considered", "not_considered"),
    ("erased", "present assumed unsure", "", "erase", "erase", "erase"),
]
CASES = [
    (membership, state, rendered, mode, expected)
    for membership, state_names, rendered, *by_mode in TABLE
    for state in state_names.split()
    for mode, expected in zip(("mirror", "additive", "subtractive"), by_mode, strict=True)
]


def record(state: str, **changes: object) -> Record:
    if state == "absent":
        return msgspec.structs.replace(Record(), **changes)
    return msgspec.structs.replace(Record(state=state, sent=H1), **changes)  # type: ignore[arg-type]


def member(
    membership: str = "in", rendered: Entry | Unmappable | None = H1, known: Record | None = None, key: str = "m"
) -> Member:
    return Member(
        key=key,
        membership="out" if membership == "unknown exit" else membership,  # type: ignore[arg-type]
        rendered=rendered,
        record=known or Record(),
        unknown_exit=membership == "unknown exit",
    )


def rules(mode: str = "mirror", kind: str = "diff", **changes: object) -> PlanRules:
    base = PlanRules(mode=mode, kind=kind, capabilities=SINGLE)  # type: ignore[arg-type]
    return msgspec.structs.replace(base, **changes)


def word(planned: Planned) -> str:
    return planned.op or (planned.reason if planned.bucket == "skipped" else planned.bucket)


@pytest.mark.parametrize(("membership", "state", "rendered", "mode", "expected"), CASES)
def test_the_truth_table(membership: str, state: str, rendered: str, mode: str, expected: str) -> None:
    """Every cell, and that removals use what was sent, additions what is rendered."""
    planned = plan_member(member(membership, RENDERED.get(rendered), record(state)), rules(mode))
    assert word(planned) == expected
    if expected in ("add", "update", "replace"):
        assert planned.put == RENDERED[rendered]
    if expected in ("remove", "erase", "replace"):
        assert planned.takes == (H1,)


@pytest.mark.parametrize("mode", ["mirror", "additive", "subtractive"])
def test_a_removal_takes_the_orphans_along(mode: str) -> None:
    """An erasure in every mode, a removal where the mode removes."""
    known = record("present", orphans=(OLD,))
    assert plan_member(member("erased", None, known), rules(mode)).takes == (H1, OLD)
    assert plan_member(member("out", None, known), rules(mode)).takes == (() if mode == "additive" else (H1, OLD))


def test_orphans_go_in_mirror_mode_alone() -> None:
    """An update made only of their removal; a replace takes them along, save the one it means to put."""
    known = record("present", orphans=(OLD,))
    assert plan_member(member("in", H1, known), rules()) == Planned(bucket="planned", op="update", takes=(OLD,))
    assert word(plan_member(member("in", H1, known), rules("additive"))) == "unchanged"
    assert plan_member(member("in", H2, known), rules()).takes == (H1, OLD)
    assert plan_member(member("in", OLD, known), rules()).takes == (H1,)


def test_an_identifier_that_changes_in_subtractive_mode_is_tracked_beside_the_old() -> None:
    """A later removal sends both."""
    planned = plan_member(member("in", H2, record("assumed")), rules("subtractive"))
    assert planned.record is not None
    assert (planned.record.sent, planned.record.orphans, planned.record.state) == (H2, (H1,), "assumed")


def test_an_update_the_destination_cannot_do_is_skipped_and_not_forgotten() -> None:
    """The fingerprint stays, so that the ability sends it once it is there."""
    known = record("present")
    planned = plan_member(member("in", H1_NEW, known), rules(capabilities=Capabilities()))
    assert planned == Planned(bucket="skipped", reason="update_not_supported")


KINDS = [
    ("adopt", "in", "absent", H1, "tracked"),
    ("adopt", "unknown exit", "absent", H1, "unchanged"),
    ("adopt", "in", "absent", NONE, "rejected"),
    ("resend", "in", "present", H1, "add"),
    ("resend", "in", "assumed", H1_NEW, "add"),
    ("resend", "in", "present", H2, "replace"),
    ("resend", "out", "present", None, "remove"),
    ("clear", "in", "present", H1, "remove"),
    ("clear", "out", "unsure", None, "remove"),
    ("clear", "erased", "present", None, "erase"),
    ("clear", "in", "absent", H1, "unchanged"),
    ("clear", "out", "absent", None, "not_considered"),
    ("replace", "in", "absent", H1, "add"),
    ("replace", "in", "present", H1, "update"),
    ("replace", "in", "present", H2, "update"),
    ("replace", "out", "present", None, "remove"),
    ("replace", "erased", "present", None, "erase"),
    ("replace", "in", "present", NONE, "rejected"),
]


@pytest.mark.parametrize(("kind", "membership", "state", "rendered", "expected"), KINDS)
def test_kinds_of_run(kind: str, membership: str, state: str, rendered: Entry | None, expected: str) -> None:
    """What each kind does otherwise than the table."""
    assert word(plan_member(member(membership, rendered, record(state)), rules(kind=kind))) == expected


def test_an_uploaded_list_holds_who_is_in_and_who_stays() -> None:
    """In, rendered or as last sent; in additive mode also who left; nobody else."""

    def listed(membership: str, rendered: Entry | Unmappable | None, mode: str) -> Entry | None:
        return plan_member(member(membership, rendered, record("present")), rules(mode, "replace")).listed

    assert listed("in", H2, "mirror") == H2
    assert listed("in", NONE, "mirror") == H1
    assert (listed("out", None, "mirror"), listed("out", None, "additive")) == (None, H1)
    assert listed("erased", None, "additive") is None


def test_a_resend_doubts_what_it_believed() -> None:
    """Stored before a request goes out, so that what the run does not reach is added by the next."""
    planned = plan_member(member("in", H1, record("assumed")), rules(kind="resend"))
    assert planned.record is not None
    assert planned.record.state == "unsure"
    left = plan_member(member("out", None, record("assumed")), rules("additive", "resend"))
    assert left.record is not None
    assert left.record.state == "unsure"


def test_while_a_run_is_held_live_runs_add_only() -> None:
    """Erasures go all the same."""
    held = rules(kind="live", removals_held=True)
    assert word(plan_member(member("out", None, record("present")), held)) == "removals_held"
    assert word(plan_member(member("in", H1), held)) == "add"
    assert word(plan_member(member("erased", None, record("present")), held)) == "erase"


def test_unsure_members_of_a_destination_that_cannot_repeat_wait_for_a_person() -> None:
    """In or out; an erasure does not wait."""
    once = rules(capabilities=Capabilities(idempotent=False))
    for membership, expected in (("in", "awaiting_resolve"), ("out", "awaiting_resolve"), ("erased", "erase")):
        rendered = H1 if membership == "in" else None
        assert word(plan_member(member(membership, rendered, record("unsure")), once)) == expected


DAY_US = 86_400_000_000


def rejected(**changes: object) -> RecordProblem:
    return msgspec.structs.replace(
        RecordProblem(kind="rejected", op="add", fingerprint=H1.fingerprint, next_try_us=7 * DAY_US), **changes
    )


def failed(**changes: object) -> RecordProblem:
    return rejected(kind="failed", next_try_us=0, **changes)


RETRIES = [
    (rejected(), {}, {}, "quarantined"),
    (rejected(), {}, {"rendered": H1_NEW}, "add"),
    (rejected(), {}, {"mapping_version": "2"}, "add"),
    (rejected(), {}, {"destination_version": "2"}, "add"),
    (rejected(), {}, {"now_us": 7 * DAY_US}, "add"),
    (rejected(next_try_us=0), {"recheck_rejected_after_s": None}, {"now_us": 700 * DAY_US}, "quarantined"),
    (rejected(next_try_us=0), {}, {"now_us": 6 * DAY_US}, "quarantined"),
    (rejected(next_try_us=0), {}, {"now_us": 7 * DAY_US}, "add"),
    (rejected(), {"rejected": "every_run"}, {}, "add"),
    (rejected(), {"rejected": "never"}, {"rendered": H1_NEW, "now_us": 70 * DAY_US}, "quarantined"),
    (failed(), {}, {}, "add"),
    (failed(), {"failed": False}, {}, "left_alone"),
    (failed(), {"failed": False}, {"rendered": H1_NEW}, "add"),
    (failed(), {"failed": False}, {"mapping_version": "2"}, "add"),
    (rejected(kind="failed", attempts=10, next_try_us=DAY_US), {}, {}, "backoff"),
    (rejected(kind="failed", attempts=10, next_try_us=DAY_US), {}, {"now_us": DAY_US}, "add"),
    (rejected(kind="failed", attempts=10, next_try_us=DAY_US), {}, {"rendered": H2}, "add"),
    (failed(attempts=5), {"give_up": GiveUp(attempts=5)}, {}, "given_up"),
    (failed(attempts=4), {"give_up": GiveUp(attempts=5)}, {}, "add"),
    (failed(attempts=5), {"give_up": GiveUp(attempts=5)}, {"rendered": H1_NEW}, "add"),
    (failed(first_us=0), {"give_up": GiveUp(age_s=14 * 86_400)}, {"now_us": 14 * DAY_US}, "given_up"),
    (rejected(kind="unsure"), {"failed": False, "rejected": "never"}, {}, "add"),
    (rejected(op="remove"), {}, {}, "add"),
]


@pytest.mark.parametrize(("problem", "retry", "situation", "expected"), RETRIES)
def test_who_is_tried_again(
    problem: RecordProblem, retry: dict[str, object], situation: dict[str, object], expected: str
) -> None:
    """A change of member, mapping or destination lifts every wait but "never"."""
    rendered = situation.get("rendered", H1)
    assert isinstance(rendered, Entry)
    others = {name: value for name, value in situation.items() if name != "rendered"}
    plan = rules(retry=msgspec.structs.replace(Retry(), **retry), **others)
    assert word(plan_member(member("in", rendered, record("absent", problem=problem)), plan)) == expected


def test_an_erasure_waits_for_nothing() -> None:
    """Whatever was refused before."""
    known = record("present", problem=rejected(op="erase"))
    assert (
        word(plan_member(member("erased", None, known), rules(retry=Retry(rejected="never", failed=False)))) == "erase"
    )


def test_failures_in_a_row_are_counted_and_slow_down_from_the_tenth_on() -> None:
    """One try a day then; another entry starts the count anew; success forgets it."""
    stamp, known = Stamp(now_us=5, retry=Retry()), Record()
    planned = Planned(bucket="planned", op="add", put=H1)
    for attempt in range(1, 12):
        known = after_put(known, planned, "failed", stamp).record
        assert known.problem is not None
        assert (known.problem.attempts, known.problem.first_us) == (attempt, 5)
        assert known.problem.next_try_us == (5 + DAY_US if attempt >= 10 else 0)
    other = after_put(known, Planned(bucket="planned", op="add", put=H2), "failed", stamp).record
    assert other.problem is not None
    assert other.problem.attempts == 1
    assert after_put(known, planned, "accepted", stamp).record.problem is None


ADD = Planned(bucket="planned", op="add", put=H2)
UPDATE = Planned(bucket="planned", op="update", put=H1_NEW)
REPLACE = Planned(bucket="planned", op="replace", takes=(H1,), put=H2)
REMOVE = Planned(bucket="planned", op="remove", takes=(H1, OLD))

EFFECTS = [
    ("add, nobody there", ADD, record("absent"), "accepted", "present", [H2], None),
    ("add, nobody there", ADD, record("absent"), "rejected", "absent", [], "rejected"),
    ("add, nobody there", ADD, record("absent"), "failed", "absent", [], "failed"),
    ("add, nobody there", ADD, record("absent"), "unsure", "unsure", [H2], "unsure"),
    ("add beside an old one", ADD, record("present"), "accepted", "present", [H2, H1], None),
    ("add beside an old one", ADD, record("present"), "failed", "present", [H1], "failed"),
    ("add beside an old one", ADD, record("present"), "unsure", "unsure", [H2, H1], "unsure"),
    ("update", UPDATE, record("assumed"), "accepted", "present", [H1_NEW], None),
    ("update", UPDATE, record("assumed"), "rejected", "assumed", [H1], "rejected"),
    ("update", UPDATE, record("present"), "unsure", "unsure", [H1_NEW], "unsure"),
    ("cancelled", UPDATE, record("present"), "cancelled", "present", [H1], None),
]


@pytest.mark.parametrize(("_", "planned", "before", "result", "state", "lines", "problem"), EFFECTS)
def test_what_an_answer_to_a_put_leaves(
    _: str, planned: Planned, before: Record, result: str, state: State, lines: list[Entry], problem: str | None
) -> None:
    """The table of effects."""
    after = after_put(before, planned, result, Stamp(now_us=1)).record  # type: ignore[arg-type]
    assert (after.state, list(after.entries), after.problem and after.problem.kind) == (state, lines, problem)


TAKES = [
    (REPLACE, record("present"), ["accepted"], None, "absent", [], None),
    (REPLACE, record("present"), ["rejected"], "rejected", "present", [H1], "rejected"),
    (REPLACE, record("present"), ["failed"], "failed", "present", [H1], "failed"),
    (REPLACE, record("present"), ["unsure"], "unsure", "unsure", [H1], "unsure"),
    (REMOVE, record("present", orphans=(OLD,)), ["accepted", "accepted"], "accepted", "absent", [], None),
    (REMOVE, record("present", orphans=(OLD,)), ["accepted", "failed"], "failed", "unsure", [OLD], "failed"),
    (REMOVE, record("present", orphans=(OLD,)), ["failed", "accepted"], "failed", "present", [H1], "failed"),
    (REMOVE, record("present", orphans=(OLD,)), ["rejected", "unsure"], "unsure", "unsure", [H1, OLD], "unsure"),
    (REMOVE, record("present", orphans=(OLD,)), ["accepted", "cancelled"], "cancelled", "unsure", [OLD], None),
]


@pytest.mark.parametrize(("planned", "before", "results", "result", "state", "lines", "problem"), TAKES)
def test_what_the_answers_to_the_takes_leave(
    planned: Planned,
    before: Record,
    results: list[str],
    result: str | None,
    state: State,
    lines: list[Entry],
    problem: str | None,
) -> None:
    """What went is gone, what did not is still on the record; only if all went does a put follow (result None)."""
    effect = after_takes(before, planned, results, Stamp(now_us=1))  # type: ignore[arg-type]
    after = effect.record
    assert effect.result == result
    assert (after.state, list(after.entries), after.problem and after.problem.kind) == (state, lines, problem)


def test_what_the_platform_gave_for_a_member_comes_back_at_its_removal() -> None:
    """Kept over updates that give nothing new, not over a change of identity."""
    stamp = Stamp(now_us=1)
    first = Planned(bucket="planned", op="add", put=H1)
    known = after_put(Record(), first, "accepted", stamp, remembered=b'{"id":7}').record
    known = after_put(known, UPDATE, "accepted", stamp).record
    assert plan_member(member("out", None, known), rules()).takes[0].remembered == b'{"id":7}'
    assert after_put(known, ADD, "accepted", stamp).record.entries[0].remembered == b""


@pytest.mark.parametrize(
    ("planned", "result", "state", "lines"),
    [
        (Planned(bucket="planned", op="update", put=H2), "accepted", "present", [H2]),
        (Planned(bucket="planned", op="update", put=H2), "unsure", "unsure", [H2, H1]),
        (Planned(bucket="planned", op="update", put=H2), "failed", "present", [H1]),
        (Planned(bucket="planned", op="remove", takes=(H1,)), "accepted", "absent", []),
        (Planned(bucket="planned", op="remove", takes=(H1,)), "unsure", "unsure", [H1]),
        (Planned(bucket="planned", op="remove", takes=(H1,)), "rejected", "present", [H1]),
    ],
)
def test_what_an_upload_leaves_of_one_member(planned: Planned, result: str, state: State, lines: list[Entry]) -> None:
    """The list is the new one, the old one, or nobody knows."""
    after = after_list(record("present"), planned, result, Stamp(now_us=1)).record  # type: ignore[arg-type]
    assert (after.state, list(after.entries), after.problem) == (state, lines, None)


@pytest.mark.parametrize(
    ("outcome", "earlier", "expected"),
    [
        (Delivered(), None, "accepted"),
        (Delivered(), "unsure", "accepted"),
        (Refused(reason="no"), None, "rejected"),
        (Unreachable(reason="refused connection", sent=False), None, "failed"),
        (Unreachable(reason="time-out"), None, "unsure"),
        (Unreachable(reason="503", status=503), None, "failed"),
        (Unreachable(reason="unreadable", status=200), None, "unsure"),
        (Unreachable(reason="503", status=503), "unsure", "unsure"),
        (Deferred(wait_s=5, reason="429"), None, "failed"),
        (Unauthorized(reason="401"), None, "failed"),
        (Unauthorized(reason="401"), "unsure", "unsure"),
    ],
)
def test_what_the_last_outcome_means(outcome: Outcome, earlier: str | None, expected: str) -> None:
    """A time-out among the attempts is not undone by a later failure."""
    assert result_of(outcome, earlier=earlier) == expected  # type: ignore[arg-type]


def test_requests_go_out_in_three_passes() -> None:
    """Erasures, removals with the first halves of replaces, then what is put."""
    erasing = Planned(bucket="planned", op="erase", takes=(OLD,))
    plan = [("a", ADD), ("b", REPLACE), ("c", REMOVE), ("d", erasing), ("e", UPDATE)]
    passes: list[int] = []

    def again() -> list[tuple[str, Planned]]:
        passes.append(1)
        return plan

    sent = [(whose, step.verb) for whose, _, step in in_sending_order(again)]
    assert sent == [
        ("d", "remove"),
        ("b", "remove"),
        ("c", "remove"),
        ("c", "remove"),
        ("a", "add"),
        ("b", "add"),
        ("e", "update"),
    ]
    assert len(passes) == 3


def plan_all(members: list[Member], plan: PlanRules) -> dict[str, Planned]:
    shared = SharedEntries(claim for one in members for claim in claims_of(one))
    return {one.key: plan_member(one, plan, shared.sharing(one)) for one in members}


def test_the_first_member_by_key_owns_a_new_entry_and_a_holder_keeps_an_old_one() -> None:
    """A newcomer with a smaller key does not make the entry move."""
    plans = plan_all([member(key="b"), member(key="a")], rules())
    assert (word(plans["a"]), word(plans["b"])) == ("add", "shared_identifier")
    plans = plan_all([member(key="a"), member(key="b", known=record("present"))], rules())
    assert (word(plans["a"]), word(plans["b"])) == ("shared_identifier", "unchanged")


def test_an_entry_that_another_needs_is_never_taken() -> None:
    """Not by a removal, a replace, an erasure, an orphan's end, nor an unknown exit."""
    needing = member(key="n", known=Record())
    leavers: list[Callable[[], Member]] = [
        lambda: member("out", None, record("present"), key="l"),
        lambda: member("erased", None, record("present"), key="l"),
        lambda: member("in", H2, record("present", sent=H2, orphans=(H1,)), key="l"),
        lambda: member("unknown exit", H1, key="l"),
    ]
    for leaver in leavers:
        plans = plan_all([leaver(), needing], rules())
        assert plans["l"].takes == ()
    replaced = plan_all([member("in", H2, record("present"), key="l"), needing], rules())
    assert (replaced["l"].takes, replaced["l"].put) == ((), H2)


H3 = entry("h3", ltv=10)

# membership, rendered, record (sent, orphans), mode, identities another member wants → operation, takes, put
SHARED = [
    ("in", H2, (H2, (H1, H3)), "mirror", {H1}, "update", (H3,), None),
    ("in", H2, (H2, (H1, H3)), "mirror", {H1, H3}, "unchanged", (), None),
    ("in", H2, (H2, (H1, H3)), "additive", {H1}, "unchanged", (), None),
    ("in", H2, (H1, (H3,)), "mirror", {H1}, "replace", (H3,), H2),
    ("in", H2, (H1, (H3,)), "mirror", {H3}, "replace", (H1,), H2),
    ("in", H2, (H1, (H3,)), "mirror", set(), "replace", (H1, H3), H2),
    ("in", H2, (H1, (H3,)), "additive", {H3}, "add", (), H2),
    ("out", None, (H2, (H1, H3)), "mirror", {H1}, "remove", (H2, H3), None),
    ("out", None, (H2, (H1, H3)), "subtractive", {H2}, "remove", (H1, H3), None),
    ("out", None, (H2, (H1,)), "mirror", {H1, H2}, "unchanged", (), None),
    ("erased", None, (H2, (H1, H3)), "additive", {H3}, "erase", (H2, H1), None),
    ("erased", None, (H2, (H1,)), "subtractive", {H1, H2}, "unchanged", (), None),
]


@pytest.mark.parametrize(("membership", "rendered", "sent", "mode", "wanted", "expected", "takes", "put"), SHARED)
def test_what_others_want_of_a_members_entries_stays(
    membership: str,
    rendered: Entry | None,
    sent: tuple[Entry, tuple[Entry, ...]],
    mode: str,
    wanted: set[Entry],
    expected: str,
    takes: tuple[Entry, ...],
    put: Entry | None,
) -> None:
    """Whichever of sent and orphans they are, in every mode; they pass to who wants them, and the member lets them go."""
    known = record("present", sent=sent[0], orphans=sent[1])
    others = [member("in", one, key=f"other{number}") for number, one in enumerate(sorted(wanted, key=str))]
    plans = plan_all([member(membership, rendered, known), *others], rules(mode))
    assert (word(plans["m"]), plans["m"].takes, plans["m"].put) == (expected, takes, put)
    assert all(plans[one.key].receives for one in others)
    left = plans["m"].record
    assert left is None or not {one.identity for one in left.entries} & {one.identity for one in wanted}


def test_orphans_wait_with_the_removals_of_a_held_run() -> None:
    """What is in the way of a changed entry goes; what a held run would take off stays until a person has looked."""
    held = rules(kind="live", removals_held=True)
    known = record("present", orphans=(OLD,))
    assert word(plan_member(member("in", H1, known), held)) == "removals_held"
    replaced = plan_member(member("in", H2, known), held)
    assert (replaced.takes, replaced.put) == ((H1,), H2)
    done = after_takes(known, replaced, ["accepted"], Stamp(now_us=1)).record
    assert after_put(done, replaced, "accepted", Stamp(now_us=1)).record.entries == (H2, OLD)


def test_an_entry_passes_with_its_state_and_new_fields_follow_as_an_update() -> None:
    """The receiver is on the list at once, whatever happens to its own request."""
    plans = plan_all([member("out", None, record("present"), key="a"), member("in", H1_NEW, key="b")], rules())
    assert (word(plans["a"]), plans["a"].record) == ("unchanged", Record())
    assert (word(plans["b"]), plans["b"].receives) == ("update", True)
    assert plans["b"].record is not None
    assert plans["b"].record.sent == H1


@pytest.mark.parametrize(
    ("first", "mode", "initial", "capabilities", "owes", "expected"),
    [
        (True, "mirror", "full", SINGLE, False, "initial"),
        (True, "mirror", "adopt", SINGLE, False, "adopt"),
        (True, "subtractive", "full", SINGLE, False, "adopt"),
        (False, "mirror", "full", SINGLE, False, "diff"),
        (False, "mirror", "full", SINGLE, True, "resend"),
        (True, "mirror", "full", WHOLE_LISTS, False, "replace"),
    ],
)
def test_the_kind_of_the_next_run(
    first: bool, mode: Mode, initial: str, capabilities: Capabilities, owes: bool, expected: RunKind
) -> None:
    """First run, later run, and what a mode change owes."""
    kind = kind_of_run(is_first=first, mode=mode, initial=initial, capabilities=capabilities, owes_resend=owes)  # type: ignore[arg-type]
    assert kind == expected


def test_only_leaving_subtractive_mode_owes_a_resend() -> None:
    """Newcomers were tracked and never sent."""
    modes: tuple[Mode, ...] = ("mirror", "additive", "subtractive")
    owing = [(old, new) for old in modes for new in modes if owes_resend_after(old_mode=old, new_mode=new)]
    assert owing == [("subtractive", "mirror"), ("subtractive", "additive")]


def test_spelling_makes_no_difference_to_a_fingerprint() -> None:
    """Key order, 1 and 1.0, the case of a digest; but text and number, true and 1, upper and lower text stay apart."""
    digest = "ab" * 32
    one = {"a": 1, "b": {"x": [1.0, True], "y": digest}}
    assert fingerprint(one) == fingerprint({"b": {"y": digest.upper(), "x": [1, True]}, "a": 1.0})
    apart = [1, "1", True, None, "a", "A", [1], {"a": 1}, 1.5, digest[:-1] + "F"]
    assert len({fingerprint(value) for value in apart}) == len(apart)


def test_a_fingerprint_survives_any_depth() -> None:
    """Deeper than a payload can be, no error comes of it."""
    deep: object = 1.0
    for _ in range(300):
        deep = [deep]
    assert len(fingerprint(deep)) == 64


def test_an_orphan_that_takes_the_first_place_is_not_believed() -> None:
    """It may be of an addition that had no answer: whoever renders to it is added again."""
    known = record("present", sent=H2, orphans=(H1,))
    plans = plan_all([member("in", H1, known, key="a"), member("in", H2, key="b")], rules("additive"))
    assert (word(plans["a"]), word(plans["b"])) == ("add", "unchanged")


def test_a_paused_sync_still_erases_and_nothing_else() -> None:
    """An entry that another member needs passes on even then."""
    paused = rules(erasures_only=True)
    assert plan_member(member("in", H1), paused).bucket == "not_considered"
    assert plan_member(member("out", None, record("present")), paused).bucket == "not_considered"
    assert word(plan_member(member("erased", None, record("present")), paused)) == "erase"
    plans = plan_all([member("erased", None, record("present"), key="a"), member("in", H1, key="b")], paused)
    assert (plans["a"].takes, plans["b"].record) == ((), record("present"))


def test_the_circle_of_a_member_is_all_it_shares_with_directly_or_not() -> None:
    """So that a live run leaves out nobody whom an entry could pass to."""
    members = [
        member("in", H1, key="a"),
        member("in", H2, record("present"), key="b"),
        member("in", H2, key="c"),
        member("in", OLD, key="d"),
    ]
    shared = SharedEntries(claim for one in members for claim in claims_of(one))
    assert shared.circle(["a"]) == {"a", "b", "c"}
    assert shared.circle(["d"]) == {"d"}
