"""Alerts as rules: the table of what is on as shipped, every spelling of an option with its problems, and each verdict's edges."""

import pytest

from gateway.core.alert_options import ALERT_NAMES, AlertOptions, AlertRule, members_of, read_alerts
from gateway.core.alert_rules import (
    LookFacts,
    RunFacts,
    Verdict,
    is_told,
    judge_look,
    judge_run,
    long_run_s,
    spoken_s,
)
from gateway.core.errors import Problem
from gateway.core.notices import MESSAGE_CHARS_MAX, Notice, encode_notice, mail_subject, read_notice

S = 1_000_000
NOW = 1_795_003_200 * S
DAY = 86_400 * S


def read(value: object) -> tuple[AlertOptions, list[Problem]]:
    problems: list[Problem] = []
    return read_alerts(value, "/sync/alerts", problems), problems


# name, on as shipped, level, limit, critical, runs
SHIPPED = [
    ("run_failed", True, "critical", None, None, 1),
    ("problem_share", True, "warning", 5, 25, 1),
    ("held", True, "critical", None, None, 1),
    ("below_minimum", True, "warning", None, None, 1),
    ("stale", True, "critical", None, None, 1),
    ("freshness", False, "warning", None, None, 1),
    ("list_difference", True, "warning", 10, None, 3),
    ("size_change", False, "warning", None, None, 1),
    ("long_run", False, "warning", None, None, 1),
    ("credentials_refused", True, "critical", None, None, 1),
    ("unsure", True, "warning", 86_400, None, 1),
    ("given_up", True, "warning", None, None, 1),
]


def test_the_table_has_every_alert():
    """Nothing is left out of the table above."""
    assert [row[0] for row in SHIPPED] == list(ALERT_NAMES)


@pytest.mark.parametrize(("name", "is_on", "level", "limit", "critical", "runs"), SHIPPED)
def test_as_shipped(name, is_on, level, limit, critical, runs):
    """Each alert told first, its end too."""
    rule = read({})[0].rule(name)
    assert rule == AlertRule(is_on=is_on, level=level, limit=limit, critical=critical, runs=runs)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("run_failed", "off", AlertRule(is_on=False, level="critical")),
        ("run_failed", "warning", AlertRule(level="warning")),
        ("run_failed", "on", AlertRule(level="critical")),
        ("held", {"occurrence": "every"}, AlertRule(level="critical", occurrence="every")),
        ("given_up", {"level": "critical", "recovery": False}, AlertRule(level="critical", recovery=False)),
        ("problem_share", {"warning": 2}, AlertRule(limit=2, critical=25)),
        ("problem_share", {"warning": None, "critical": 50}, AlertRule(limit=None, critical=50)),
        ("freshness", "2h", AlertRule(limit=7_200)),
        ("freshness", {"after": "30m", "level": "critical"}, AlertRule(limit=1_800, level="critical")),
        ("stale", "1d", AlertRule(limit=86_400, level="critical")),
        ("stale", {"level": "warning"}, AlertRule(level="warning")),
        ("size_change", 30, AlertRule(limit=30)),
        ("size_change", {"percent": 12.5}, AlertRule(limit=12.5)),
        ("list_difference", 20, AlertRule(limit=20, runs=3)),
        ("list_difference", {"runs": 5}, AlertRule(limit=10, runs=5)),
        ("long_run", "median", AlertRule()),
        ("long_run", "on", AlertRule()),
        ("long_run", "2h", AlertRule(limit=7_200)),
        ("long_run", {"after": "median", "level": "critical"}, AlertRule(level="critical")),
        ("unsure", {"after": "3d"}, AlertRule(limit=3 * 86_400)),
    ],
)
def test_spellings(name, value, expected):
    """A word, a level, the threshold alone, or an object."""
    options, problems = read({name: value})
    assert (options.rule(name), problems) == (expected, [])


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        ([], "", "must be an object"),
        ({"run_faild": "on"}, "/run_faild", "is not a member of `alerts`"),
        ({"run_failed": True}, "/run_failed", "cannot be true"),
        ({"run_failed": 5}, "/run_failed", "cannot be 5"),
        ({"run_failed": {"after": "2h"}}, "/run_failed/after", "is not a member of `run_failed`"),
        ({"run_failed": {"level": "loud"}}, "/run_failed/level", "cannot be `loud`"),
        ({"run_failed": {"occurrence": 1}}, "/run_failed/occurrence", "cannot be 1"),
        ({"run_failed": {"recovery": "no"}}, "/run_failed/recovery", "must be true or false"),
        ({"problem_share": "critical"}, "/problem_share", "cannot be `critical`"),
        ({"problem_share": {"warning": 30}}, "/problem_share/warning", "above `critical`"),
        ({"problem_share": {"critical": 101}}, "/problem_share/critical", "from 0 to 100"),
        ({"freshness": "on"}, "/freshness", "needs its threshold"),
        ({"freshness": {"level": "critical"}}, "/freshness", "needs its threshold"),
        ({"freshness": "soon"}, "/freshness", "cannot be `soon`"),
        ({"freshness": {"after": None}}, "/freshness/after", "must be a duration"),
        ({"size_change": "warning"}, "/size_change", "needs its threshold"),
        ({"size_change": -1}, "/size_change", "from 0"),
        ({"size_change": {"percent": "many"}}, "/size_change/percent", "must be a number"),
        ({"list_difference": {"runs": 0}}, "/list_difference/runs", "from 1 to 10"),
        ({"stale": "median"}, "/stale", "cannot be `median`"),
    ],
)
def test_problems(value, pointer, says):
    """Each with its place; what is wrong never becomes a rule that nobody asked for."""
    problem = read(value)[1][0]
    assert (problem.pointer, problem.severity) == (f"/sync/alerts{pointer}", "error")
    assert says in problem.what


def test_all_problems_come_at_once():
    """One of each of three alerts."""
    _, problems = read({"freshness": "on", "held": 3, "unsure": {"after": "x"}})
    assert [one.pointer.rpartition("alerts/")[2] for one in problems] == ["held", "freshness", "unsure/after"]


def test_every_alert_takes_a_level_or_two():
    """And each may be told at every run, and be silent at its end."""
    for name in ALERT_NAMES:
        assert {"occurrence", "recovery"} <= set(members_of(name))
        assert ("level" in members_of(name)) is (name != "problem_share")


RULES = AlertOptions()


@pytest.mark.parametrize(
    ("wrong", "planned", "level"),
    [
        (0, 0, None), (0, 10, None), (4, 100, None), (5, 100, "warning"), (24, 100, "warning"), (25, 100, "critical"),
        (1, 1, "critical"),
    ],
)  # fmt: skip
def test_the_share_of_what_did_not_get_through(wrong, planned, level):
    """Warning from 5 %, critical from 25 % on; a plan without operations has no share."""
    facts = RunFacts(status="partial", planned=planned, wrong=wrong)
    verdict = judge_run(RULES, facts)["problem_share"]
    assert (verdict.level if verdict.is_on else None) == level


@pytest.mark.parametrize(
    ("status", "is_below", "expected"),
    [
        ("failed", False, {"run_failed": True, "below_minimum": False}),
        ("succeeded", False, {"run_failed": False, "below_minimum": False}),
        ("partial", False, {"run_failed": False, "below_minimum": False}),
        ("skipped", True, {"below_minimum": True}),
        ("skipped", False, {}),
        ("cancelled", False, {}),
    ],
)
def test_what_a_runs_status_says(status, is_below, expected):
    """A skipped or cancelled run leaves what stands."""
    verdicts = judge_run(RULES, RunFacts(status=status, is_below_minimum=is_below))
    assert {name: one.is_on for name, one in verdicts.items() if name != "problem_share"} == expected


@pytest.mark.parametrize(
    ("sizes", "mode", "is_on"),
    [
        ([(100, 89)] * 3, "mirror", True),
        ([(100, 90)] * 3, "mirror", False),
        ([(100, 89)] * 2, "mirror", False),
        ([(100, 89), (100, 100), (100, 89)], "mirror", False),
        ([(100, 100), (100, 89), (100, 89), (100, 89)], "mirror", False),
        ([(100, 120)] * 3, "mirror", True),
        ([(100, 120)] * 3, "additive", False),
        ([(100, 80)] * 3, "additive", True),
        ([(100, 0)] * 3, "subtractive", False),
        ([(0, 5)] * 3, "mirror", True),
        ([(0, 0)] * 3, "mirror", False),
    ],
)
def test_list_and_audience_apart(sizes, mode, is_on):
    """More than 10 % for three runs in a row; an additive list may be larger."""
    facts = RunFacts(status="succeeded", sizes=tuple(sizes), mode=mode)
    assert judge_run(RULES, facts)["list_difference"].is_on is is_on


def test_members_given_up():
    """Known only to a run that looked at everybody."""
    assert judge_run(RULES, RunFacts(status="partial", given_up=2))["given_up"].is_on
    assert not judge_run(RULES, RunFacts(status="partial", given_up=0))["given_up"].is_on
    assert "given_up" not in judge_run(RULES, RunFacts(status="partial"))


LOOKING = read({"freshness": "2h", "size_change": 30, "long_run": "1h"})[0]


@pytest.mark.parametrize(
    ("facts", "name", "is_on"),
    [
        ({"stale_us": NOW - 1, "last_good_us": NOW - DAY}, "stale", True),
        ({"stale_us": NOW}, "stale", False),
        ({"stale_us": 0}, "stale", False),
        ({}, "stale", None),
        ({"oldest_us": NOW - 7_200 * S}, "freshness", False),
        ({"oldest_us": NOW - 7_201 * S}, "freshness", True),
        ({"oldest_us": 0}, "freshness", False),
        ({}, "freshness", None),
        ({"sizes": (100, 131)}, "size_change", True),
        ({"sizes": (100, 130)}, "size_change", False),
        ({"sizes": (100, 69)}, "size_change", True),
        ({"sizes": (0, 1000)}, "size_change", False),
        ({"running_s": 3_600.0}, "long_run", False),
        ({"running_s": 3_601.0}, "long_run", True),
        ({"running_s": 0.0}, "long_run", False),
        ({}, "long_run", None),
        ({"is_refused": True}, "credentials_refused", True),
        ({"is_refused": False}, "credentials_refused", False),
        ({"unsure": (3, NOW - DAY - S)}, "unsure", True),
        ({"unsure": (3, NOW - DAY)}, "unsure", False),
        ({"unsure": (0, 0)}, "unsure", False),
        ({}, "unsure", None),
    ],
)
def test_what_a_look_says(facts, name, is_on):
    """Of what is not known, nothing."""
    verdict = judge_look(LOOKING, LookFacts(now_us=NOW, **facts)).get(name)
    assert (None if verdict is None else verdict.is_on) is is_on


def test_without_a_threshold_a_look_says_nothing_of_it():
    """Freshness and size are off as shipped."""
    verdicts = judge_look(RULES, LookFacts(now_us=NOW, oldest_us=1, sizes=(1, 100), running_s=1e9))
    assert {name: one.is_on for name, one in verdicts.items()} == {"long_run": False}


@pytest.mark.parametrize(
    ("limit", "usual_s", "expected"),
    [
        (90.0, (), 90.0),
        (None, (), None),
        (None, (100.0, 100.0), None),
        (None, (100.0, 200.0, 300.0), 600.0),
        (None, (1.0,) * 10, 60.0),
        (None, (100.0,) * 10 + (10_000.0,) * 90, 300.0),
    ],
)
def test_how_long_is_long(limit, usual_s, expected):
    """A time, or three times the median of the last ten, but a minute at least."""
    assert long_run_s(AlertRule(limit=limit), usual_s) == expected


@pytest.mark.parametrize(
    ("stands_as", "level", "occurrence", "passed_us", "is_it"),
    [
        (None, "warning", "first", 0, True),
        ("warning", "warning", "first", DAY, False),
        ("warning", "critical", "first", 0, True),
        ("critical", "warning", "first", 0, False),
        ("warning", "warning", "every", 59, False),
        ("warning", "warning", "every", 60, True),
    ],
)
def test_when_it_is_told(stands_as, level, occurrence, passed_us, is_it):
    """New, graver, or again where every one is asked for and the last is long enough ago."""
    rule, verdict = AlertRule(occurrence=occurrence), Verdict(is_on=True, level=level)
    told_us = NOW - passed_us
    assert is_told(rule, verdict, stands_as=stands_as, told_us=told_us, now_us=NOW, repeat_us=60) is is_it


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (90, "90 s"), (720, "12 min"), (86_400, "1 d"), (260_000, "3.01 d")]
)
def test_times_as_people_say_them(seconds, text):
    """Three digits are enough."""
    assert spoken_s(seconds) == text


def test_a_notice_is_kept_whole_save_for_a_long_message():
    """And a subject is one line whatever an audience is called."""
    notice = Notice(
        kind="recovered", alert="held", level="critical", sync="a/b/c\r\nBcc: x", message="m" * 2_000, since_us=NOW, at_us=NOW
    )  # fmt: skip
    kept = read_notice(encode_notice(notice))
    assert (len(kept.message), kept.since_us) == (MESSAGE_CHARS_MAX, NOW)
    assert mail_subject(kept) == "[audience gateway] recovered: held, a/b/c Bcc: x"
