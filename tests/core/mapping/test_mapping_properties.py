# ruff: noqa: PT017 - a payload and an error are both right answers in these properties
"""What holds for every mapping and event: no surprise errors, no changed event, bounded work, a trace that agrees."""

import copy
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.javascript import UNDEFINED, json_text
from gateway.core.mapping import (
    RESOLVE_UNITS_MAX,
    FieldTrace,
    MappingError,
    compile_mapping,
    mapping_warnings,
    transform,
    transform_batch,
    validate_mapping,
    value_keys,
)
from tests.oracle.mapping_cases import MappingCases

NOW_MS = 1_700_000_000_000.0
REGRESSIONS = json.loads(Path(__file__).with_name("regressions.json").read_text())


def answer(case: dict[str, object]) -> dict[str, object]:
    """Our answer to a case, as JSON text or "not ok"."""
    try:
        if case["kind"] == "keys":
            result: object = value_keys(case["value"])
        elif case["kind"] == "map-batch":
            result = transform_batch(case["mapping"], case["events"], NOW_MS)
        else:
            result = transform(case["mapping"], case.get("event", UNDEFINED), NOW_MS)
    except MappingError:
        return {"ok": False}
    return {"ok": True} if result is UNDEFINED else {"ok": True, "result": json_text(result)}


@pytest.mark.parametrize("case", REGRESSIONS["cases"], ids=lambda case: case["name"])
def test_a_difference_once_found_stays_mended(case):
    """Each case is named after the fault; the answer is the reference's."""
    wanted = dict(case["answer"])
    if "result" in wanted:
        wanted["result"] = json_text(wanted["result"])
    assert answer(json.loads(json.dumps(case["case"]))) == wanted


seeds = st.integers(min_value=0, max_value=2**32)


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_any_case_gives_a_payload_or_a_mapping_error_and_leaves_the_event_alone(seed):
    """Nothing else is raised, and the same event gives the same payload again."""
    case = MappingCases(seed).case()
    before = copy.deepcopy(case)
    assert answer(case) == answer(case)
    assert case == before


def flat(trace: FieldTrace) -> list[FieldTrace]:
    return [trace, *(inner for part in trace.parts for inner in flat(part))]


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_the_trace_tells_the_payload_that_apply_gives(seed):
    """Same values, or the same failure; masked, it tells no text of the event."""
    case = MappingCases(seed).case()
    mapping, event = case.get("mapping"), case.get("event", {})
    try:
        compiled = compile_mapping(mapping)
    except MappingError:
        return
    trace = compiled.explain(event, NOW_MS)
    try:
        payload = compiled.apply(event, NOW_MS)
    except MappingError as error:
        assert str(error) == trace.error
    else:
        assert trace.error is None
        assert json_text(trace.value) == json_text(payload)
    for part in flat(trace.masked(lambda _value: "hidden")):
        assert part.value == "hidden"
        assert all(path.value == "hidden" for path in part.paths)


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_checks_agree_with_compiling(seed):
    """A mapping compiles exactly when no problem is one that Segment refuses; checks never raise."""
    mapping = MappingCases(seed).mapping()
    if not isinstance(mapping, dict):
        return
    problems = validate_mapping(mapping)
    mapping_warnings(mapping)
    try:
        compile_mapping(mapping)
    except MappingError as error:
        assert problems
        refused = [problem.reference_message for problem in problems if problem.refused_by_segment]
        assert not refused or refused == list(error.messages)
    else:
        assert not any(problem.refused_by_segment for problem in problems)


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


DEEP = {"@path": "$."}
LARGE = "x" * 400_000
DOUBLING: dict[str, object] = {"a": {"@path": "$.s"}}
for _ in range(14):
    DOUBLING = {"a": {"@transform": {"apply": DOUBLING, "mapping": {"@template": "{{a}}{{a}}"}}}}
LAUGHS: object = {"@path": "$."}
for _ in range(9):
    LAUGHS = {
        "@transform": {"apply": {"l": [LAUGHS] * 3}, "mapping": {"@json": {"mode": "encode", "value": {"@path": "$."}}}}
    }
NESTED: object = {"@path": "$."}
for _ in range(12):
    NESTED = {"@transform": {"apply": {"l": [{"@path": "$."}] * 8}, "mapping": NESTED}}


@pytest.mark.parametrize(
    ("mapping", "event"),
    [
        ({"@template": {"@path": "$.t"}}, {"t": "{{{" * 130_000}),
        ({"@template": {"@path": "$.t"}}, {"t": "{{" * 200_000 + "}"}),
        ({"@template": {"@path": "$.t"}}, {"t": "{{s}}" * 60_000, "s": LARGE}),
        ({"@replace": {"pattern": "x", "replacement": "$`$'$`$'", "value": {"@path": "$.s"}}}, {"s": LARGE}),
        (
            {"@replace": {"pattern": "x", "replacement": "1234567890", "value": {"@path": "$.s"}, "ignorecase": True}},
            {"s": LARGE + "é"},
        ),
        ({"@flatten": {"value": {"@path": "$.l"}, "separator": "."}}, {"l": [[list(range(10))] * 10] * 3000}),
        ({"@flatten": {"value": {"@path": "$.d"}, "separator": LARGE[:10_000]}}, {"d": deep(100)}),
        ({"@arrayPath": ["$.l", {str(key): {"@path": "$."} for key in range(1000)}]}, {"l": [0] * 100_000}),
        ({"@json": {"mode": "decode", "value": {"@path": "$.s"}}}, {"s": "[" * 200_000 + "]" * 200_000}),
        ({"@path": {"@path": "$.p"}}, {"p": "a." * 200_000, "a": {}}),
        ({"@path": {"@path": "$.p"}}, {"p": "[" * 200_000 + "]" * 200_000}),
        ({"@liquid": "{{ s | strip_html }}{{ s | split: '' | join: s }}"}, {"s": "<" * 100_000}),
        (
            {"@liquid": "{{ d | json }}{{ d | date }}{{ s | date }}{{ s | slugify }}"},
            {"d": deep(100), "s": "1 " * 100_000},
        ),
        ({"@merge": {"direction": "left", "objects": [{"@path": "$.s"}] * 40}}, {"s": LARGE}),
        (DOUBLING, {"s": LARGE}),
        (LAUGHS, {"s": LARGE}),
        (NESTED, {"s": LARGE}),
    ],
    ids=range(17),
)
def test_no_input_makes_evaluation_slow_or_large(mapping, event):
    """A payload or a clear error, within seconds even on a busy machine."""
    started = time.monotonic()
    try:
        compile_mapping(mapping).apply(event)
    except MappingError as error:
        assert str(error)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("levels", [60, 5_000, 100_000])
def test_a_deep_event_never_exhausts_the_stack(levels):
    """Deeper than any event may be: a payload or an error, from every directive that walks."""
    event = {"d": deep(levels)}
    for directive in (
        {"@json": {"mode": "encode", "value": {"@path": "$.d"}}},
        {"@flatten": {"value": {"@path": "$.d"}, "separator": "."}},
        {"@excludeWhenNull": {"@path": "$.d"}},
        {"@template": "{{d.a}}"},
        {"@liquid": "{{ d.a }}"},
        {"@transform": {"apply": {"d": {"@path": "$.d"}}, "mapping": {"@path": "$.d"}}},
    ):
        try:
            compile_mapping({"v": directive}).apply(event)
        except MappingError as error:
            assert "too deeply" in str(error)


def test_the_bound_is_named_in_the_error():
    """A person must learn what was too much."""
    with pytest.raises(MappingError, match=f"{RESOLVE_UNITS_MAX:,}"):
        transform({"v": {"@template": "{{s}}" * 30}}, {"s": LARGE})


def test_random_sources_are_seeded():
    """The campaign's cases can be made again."""
    assert MappingCases(7).case() == MappingCases(7).case()
    assert random.Random(7).random() == random.Random(7).random()


def test_json_text_that_goes_too_deep_is_an_error_with_the_bound():
    """Not silently left as text."""
    with pytest.raises(MappingError, match="deeper than 256 levels"):
        transform({"v": {"@json": {"mode": "decode", "value": {"@path": "$.s"}}}}, {"s": "[" * 300 + "]" * 300})
