import pytest

from gateway.core.errors import Problem
from gateway.core.guards import GUARDS_OFF, Guards, Limit, PlanFacts, check_guards, is_held, is_still_approved
from gateway.core.run_counters import (
    RunCounters,
    broken_sums,
    counts_as_synced,
    run_status,
    sync_status_after,
)
from gateway.core.schedules import Continuous, Every
from gateway.core.sync_options import (
    SINGLE_CHANGES,
    WHOLE_LISTS,
    Capabilities,
    GiveUp,
    Log,
    Retry,
    SyncOptions,
    default_options,
    read_sync_options,
)


def test_an_empty_block_is_a_mirror_with_every_default() -> None:
    """Hourly for single changes; daily at three, from the first tick, for whole lists."""
    assert read_sync_options({}) == (SyncOptions(), [])
    expected = SyncOptions(schedule=Every(every_s=86_400, offset_s=10_800), start="schedule")
    assert read_sync_options({}, capabilities=WHOLE_LISTS) == (expected, [])
    assert default_options(WHOLE_LISTS) == expected


def test_a_full_block_is_read_whole() -> None:
    """Every member, in every spelling that means something."""
    options, problems = read_sync_options(
        {
            "mode": "additive",
            "schedule": {"every": "15m", "at": "00:05"},
            "start": "schedule",
            "initial": "adopt",
            "overlap": "skip",
            "missed": "skip",
            "guards": {
                "max_removal_percent": 40,
                "removal_floor": 5,
                "empty_audience": "warn",
                "max_adds": {"limit": 1000, "reaction": "warn"},
                "stale_source_after": "2d",
                "unmappable_percent": "off",
                "max_update_percent": {"reaction": "hold", "limit": 50},
                "min_size": 10,
            },
            "retry": {
                "failed": False,
                "rejected": "every_run",
                "recheck_rejected_after": None,
                "backoff_after": 3,
                "give_up_after": {"attempts": 5, "age": "14d"},
            },
            "log": {"keep": False, "days": None, "sample": 0.5, "skipped": True},
            "snapshots": {"keep": 0},
            "hashing": "off",
            "first_run_approval": True,
            "on_target_change": "clear_old",
            "filter": 'traits.ads_consent = "true"',
        }
    )
    assert problems == []
    assert options == SyncOptions(
        mode="additive",
        schedule=Every(every_s=900, offset_s=300),
        start="schedule",
        initial="adopt",
        overlap="skip",
        missed="skip",
        guards=Guards(
            max_removal_percent=Limit(limit=40),
            removal_floor=5,
            empty_audience="warn",
            max_adds=Limit(limit=1000, reaction="warn"),
            stale_source_after=Limit(limit=2 * 86_400),
            unmappable_percent=Limit(limit=50, reaction="off"),
            max_update_percent=Limit(limit=50, reaction="hold"),
            min_size=Limit(limit=10),
        ),
        retry=Retry(
            failed=False,
            rejected="every_run",
            recheck_rejected_after_s=None,
            backoff_after=3,
            give_up=GiveUp(attempts=5, age_s=14 * 86_400),
        ),
        log=Log(keep=False, days=None, sample=0.5, skipped=True),
        snapshots_kept=0,
        hashing="off",
        first_run_approval=True,
        on_target_change="clear_old",
        filter='traits.ads_consent = "true"',
    )


BAD = [
    ("mirror", SINGLE_CHANGES, "", "must be an object"),
    ({"mod": "mirror"}, SINGLE_CHANGES, "/mod", "not a member"),
    ({"mode": "upsert"}, SINGLE_CHANGES, "/mode", "cannot be `upsert`"),
    ({"mode": ["mirror"]}, SINGLE_CHANGES, "/mode", "cannot be a list"),
    ({"schedule": {"every": "2m"}}, SINGLE_CHANGES, "/schedule/every", "cannot be `2m`"),
    ({"guards": {"max_removal": 3}}, SINGLE_CHANGES, "/guards/max_removal", "not a member"),
    ({"guards": {"max_removal_percent": 101}}, SINGLE_CHANGES, "/guards/max_removal_percent", "from 0 to 100"),
    ({"guards": {"max_removals": {"reaction": "stop"}}}, SINGLE_CHANGES, "/guards/max_removals/reaction", "`stop`"),
    ({"guards": {"stale_source_after": 5}}, SINGLE_CHANGES, "/guards/stale_source_after", "no duration"),
    ({"guards": {"empty_audience": True}}, SINGLE_CHANGES, "/guards/empty_audience", "cannot be true"),
    ({"retry": {"backoff_after": 0}}, SINGLE_CHANGES, "/retry/backoff_after", "from 1 to"),
    ({"retry": {"recheck_rejected_after": "soon"}}, SINGLE_CHANGES, "/retry/recheck_rejected_after", "no duration"),
    ({"retry": {"give_up_after": {"age": 5}}}, SINGLE_CHANGES, "/retry/give_up_after/age", "must be a duration"),
    ({"retry": {"give_up_after": {"tries": 5}}}, SINGLE_CHANGES, "/retry/give_up_after/tries", "not a member"),
    ({"log": {"days": 0}}, SINGLE_CHANGES, "/log/days", "from 1 to"),
    ({"log": {"sample": 2}}, SINGLE_CHANGES, "/log/sample", "from 0 to 1"),
    ({"snapshots": {"keep": -1}}, SINGLE_CHANGES, "/snapshots/keep", "from 0 to"),
    ({"snapshots": 5}, SINGLE_CHANGES, "/snapshots", "must be an object"),
    ({"hashing": True}, SINGLE_CHANGES, "/hashing", "cannot be true"),
    ({"first_run_approval": "yes"}, SINGLE_CHANGES, "/first_run_approval", "true or false"),
    ({"filter": 7}, SINGLE_CHANGES, "/filter", "FQL text"),
    ({}, Capabilities(remove=False), "/mode", "in mode `mirror`"),
    ({"mode": "additive"}, Capabilities(add=False), "/mode", "in mode `additive`"),
    ({"mode": "subtractive"}, Capabilities(remove=False), "/mode", "in mode `subtractive`"),
    ({"mode": "subtractive"}, WHOLE_LISTS, "/mode", "in mode `subtractive`"),
    ({"initial": "adopt"}, WHOLE_LISTS, "/initial", "nothing to adopt"),
    ({"schedule": {"continuous": {}}}, WHOLE_LISTS, "/schedule/continuous", "cannot follow single events"),
]


@pytest.mark.parametrize(("value", "capabilities", "pointer", "what"), BAD)
def test_a_block_that_cannot_be_says_where_and_why(
    value: object, capabilities: Capabilities, pointer: str, what: str
) -> None:
    """Strict on unknown members, on values, and on what the destination cannot do."""
    options, problems = read_sync_options(value, pointer="/mappings/1/sync", capabilities=capabilities)
    assert options is None
    assert [problem.pointer for problem in problems] == [f"/mappings/1/sync{pointer}"]
    assert what in problems[0].what


def test_all_problems_come_at_once() -> None:
    """One look at the file is enough."""
    _, problems = read_sync_options({"mode": "x", "schedule": {}, "log": {"days": "x"}, "colour": "red"})
    assert sorted(problem.pointer for problem in problems) == ["/colour", "/log/days", "/mode", "/schedule"]


def test_a_schedule_faster_than_the_destination_is_taken_with_a_warning() -> None:
    """The destination's limit wins."""
    options, problems = read_sync_options({"schedule": {"every": "1h"}}, capabilities=WHOLE_LISTS)
    assert options is not None
    assert options.schedule == Every(every_s=3_600)
    assert [(one.pointer, one.severity) for one in problems] == [("/schedule", "warning")]
    assert "not_due" in problems[0].mend


def test_a_default_from_elsewhere_in_the_mapping_holds() -> None:
    """A schedule that an hour of the day gives."""
    default = SyncOptions(schedule=Every(every_s=86_400, offset_s=5 * 3_600), start="schedule")
    assert read_sync_options({}, capabilities=WHOLE_LISTS, default=default) == (default, [])
    options, _ = read_sync_options({"schedule": {"continuous": {"max_delay": "5s"}}})
    assert options is not None
    assert isinstance(options.schedule, Continuous)


def facts(**changes: object) -> PlanFacts:
    base: dict[str, object] = {"members_in": 1_000, "list_before": 1_000, **changes}
    return PlanFacts(**base)  # type: ignore[arg-type]


GUARDED = [
    (Guards(), facts(removes=300), []),
    (Guards(), facts(removes=301), ["max_removal_percent"]),
    (Guards(), facts(list_before=100, removes=100), []),
    (Guards(), facts(list_before=101, removes=101), ["max_removal_percent"]),
    (Guards(removal_floor=0), facts(list_before=10, removes=4), ["max_removal_percent"]),
    (Guards(max_removals=Limit(limit=5)), facts(removes=6), ["max_removals"]),
    (Guards(max_removals=Limit(limit=5)), facts(removes=5), []),
    (Guards(), facts(members_in=0, list_before=1, removes=1), ["empty_audience"]),
    (Guards(), facts(members_in=0, list_before=0), []),
    (Guards(empty_audience="off"), facts(members_in=0, list_before=1, removes=1), []),
    (Guards(max_add_percent=Limit(limit=10)), facts(adds=101), ["max_add_percent"]),
    (Guards(max_adds=Limit(limit=10)), facts(adds=11), ["max_adds"]),
    (Guards(max_adds=Limit(limit=10)), facts(adds=11, is_initial=True), []),
    (Guards(), facts(updates=1_000), ["warn max_update_percent"]),
    (Guards(), facts(updates=999), []),
    (Guards(), facts(list_before=100, updates=100), []),
    (Guards(max_update_percent=Limit(limit=50, reaction="hold")), facts(updates=501), ["max_update_percent"]),
    (Guards(max_update_percent=Limit(limit=50, reaction="warn")), facts(updates=501), ["warn max_update_percent"]),
    (Guards(min_size=Limit(limit=1_001)), facts(), ["min_size"]),
    (Guards(stale_source_after=Limit(limit=60)), facts(removes=1, source_quiet_s=61), ["stale_source_after"]),
    (Guards(stale_source_after=Limit(limit=60)), facts(source_quiet_s=61), []),
    (Guards(), facts(unmappable=501), ["unmappable_percent"]),
    (Guards(), facts(unmappable=500), []),
    (Guards(max_removal_percent=Limit(limit=30, reaction="warn")), facts(removes=400), ["warn max_removal_percent"]),
    (GUARDS_OFF, facts(members_in=0, removes=1_000, updates=1_000, unmappable=1), []),
]


@pytest.mark.parametrize(("guards", "plan", "expected"), GUARDED)
def test_which_guard_reacts(guards: Guards, plan: PlanFacts, expected: list[str]) -> None:
    """At the limit none does, beyond it the named one."""
    findings = check_guards(guards, plan)
    assert [f"warn {one.guard}" if one.reaction == "warn" else one.guard for one in findings] == expected
    assert is_held(findings) is any(not one.startswith("warn") for one in expected)


@pytest.mark.parametrize(
    ("held", "now", "expected"),
    [
        (350, 352, True),
        (350, 450, True),
        (350, 451, False),
        (350, 249, False),
        (5_000, 5_500, True),
        (5_000, 5_501, False),
    ],
)
def test_an_approval_covers_a_tenth_or_a_hundred_more(held: int, now: int, expected: bool) -> None:
    """Whichever is more; another guard that holds is not covered."""
    shown, plan = facts(list_before=10_000, removes=held), facts(list_before=10_000, removes=now)
    guards = Guards(max_removals=Limit(limit=1))
    findings = check_guards(guards, plan)
    held_by = frozenset({"max_removals", "max_removal_percent"})
    assert is_still_approved(shown, plan, held_by=held_by, findings=findings) is expected
    assert not is_still_approved(shown, plan, held_by=frozenset(), findings=findings)


def test_each_broken_sum_is_named() -> None:
    """And none where all hold."""
    good = RunCounters(
        considered=6, unchanged=1, skipped={"tracked": 1}, rejected_mapping=1, planned={"add": 2, "remove": 1}
    )
    good.added, good.failed, good.removed, good.list_before, good.list_after, good.list_change = 1, 1, 1, 5, 5, 0
    assert broken_sums(good) == []
    assert run_status(good) == "partial"
    good.considered, good.cancelled, good.list_after = 7, 1, 6
    broken = broken_sums(good)
    assert [sentence.split()[0] for sentence in broken] == ["considered", "planned", "the"]


STATUS = [
    (RunCounters(), {}, "succeeded", True),
    (RunCounters(planned={"add": 1}, added=1), {}, "succeeded", True),
    (RunCounters(rejected_mapping=1), {}, "partial", True),
    (RunCounters(planned={"add": 2}, added=1, failed=1), {}, "partial", True),
    (RunCounters(planned={"add": 1}, rejected_destination=1), {}, "partial", False),
    (RunCounters(planned={"add": 2}, unsure=1, failed=1), {}, "failed", False),
    (RunCounters(planned={"add": 1}, added=1), {"has_error": True}, "failed", False),
    (RunCounters(planned={"add": 2}, added=1, cancelled=1), {"is_cancelled": True}, "cancelled", False),
]


@pytest.mark.parametrize(("counters", "how", "status", "synced"), STATUS)
def test_how_a_run_ended(counters: RunCounters, how: dict[str, bool], status: str, synced: bool) -> None:
    """Its status, and whether the sync counts as synced by it."""
    assert run_status(counters, **how) == status
    assert counts_as_synced(run_status(counters, **how), counters) is synced


def test_a_failed_run_marks_its_sync_until_one_does_not_fail() -> None:
    """A paused sync stays paused."""
    assert sync_status_after("active", "failed") == "errored"
    assert sync_status_after("errored", "failed") == "errored"
    assert sync_status_after("errored", "interrupted") == "errored"
    assert sync_status_after("errored", "partial") == "active"
    assert sync_status_after("paused", "failed") == "paused"


def test_problems_are_the_rulebooks_own() -> None:
    """So that a mapping file's findings take them in as they are."""
    _, problems = read_sync_options({"mode": "x"})
    assert all(isinstance(problem, Problem) for problem in problems)
