"""What holds for every trigger and every event, searched for with generated ones."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from slow_fql import ThrownError, slow_matches

from gateway.core.fql import FqlError, TriggerError, compile_trigger, evaluate_tree, generate, parse, parse_json
from gateway.core.javascript import json_text

sys.path.append(str(Path(__file__).parents[2] / "oracle"))
from fql_cases import cases  # the generator of the differential campaign

QUICK = settings(max_examples=150, deadline=None)

texts = st.text(alphabet=st.characters(exclude_characters='"', exclude_categories=("Cs",)), max_size=12)
# The app escapes neither digits nor `-`, so a piece that begins with one does not come back.
pieces = st.text(alphabet="abz_-XY 09é😀$'/", min_size=1, max_size=6).filter(lambda piece: piece[0] not in "-09")
names = st.lists(pieces, min_size=1, max_size=3).map(".".join)
numbers = st.integers(-(10**15), 10**15) | st.floats(-1e6, 1e6).map(lambda number: round(number, 3) or 0)


def leaf(**parts: Any) -> Any:
    fields = st.sampled_from(["event-property", "event-trait", "event-context"]).flatmap(
        lambda kind: names.map(lambda name: {"type": kind, "name": name})
    )
    return st.tuples(fields, st.fixed_dictionaries(parts)).map(lambda both: both[0] | both[1])


def scalar(**parts: Any) -> Any:
    return st.fixed_dictionaries({"type": st.sampled_from(["event", "name", "userId"])} | parts)


# What the app's trigger builder offers: a text to compare with, a number, and the questions without a value.
COMPARE = {"operator": st.sampled_from(["=", "!="]), "value": texts}
CALL = {
    "operator": st.sampled_from([negation + name for negation in ("", "not_") for name in ("contains", "starts_with")]),
    "value": texts,
}
ENDS = {
    "operator": st.sampled_from(["ends_with", "not_ends_with"]),
    "value": texts.filter(lambda text: text and not text.endswith("*")),
}
ORDER = {"operator": st.sampled_from(["<", "<=", ">", ">=", "number_equals", "number_not_equals"]), "value": numbers}
ASK = {"operator": st.sampled_from(["exists", "not_exists", "is_true", "is_false"])}
plain_number = numbers.filter(lambda number: "e" not in json.dumps(number))
comparisons = (
    leaf(**COMPARE)
    | leaf(**(ORDER | {"value": plain_number}))
    | leaf(**ASK)
    | scalar(**COMPARE)
    | st.fixed_dictionaries({"type": st.just("event-type")} | COMPARE)
    | st.fixed_dictionaries({"type": st.just("userId")} | ASK)
)
calls = leaf(**CALL) | scalar(**CALL) | leaf(**ENDS) | scalar(**ENDS)


def group(nodes: Any, smallest: int) -> Any:
    return st.fixed_dictionaries(
        {
            "type": st.just("group"),
            "operator": st.sampled_from(["and", "or"]),
            "children": st.lists(nodes, min_size=smallest, max_size=4),
        }
    )


# Calls stand outside of inner groups: Segment's parser ends a group at a call's parenthesis.
app_trees = group(comparisons | calls | group(comparisons, 2), 2)


@QUICK
@given(app_trees)
def test_what_the_app_writes_comes_back_as_it_was(tree: dict[str, Any]) -> None:
    """Tree to text to tree changes nothing, and neither does the text; no such trigger is an error."""
    text = generate(tree)
    assert parse_json(text) == tree
    assert generate(parse(text)) == text
    assert compile_trigger(text).error is None


def test_the_compiled_trigger_is_the_walked_tree() -> None:
    """Over thousands of generated triggers, trees and events, compiled conditions and the slow walker say the same."""
    judged = 0
    for case in cases(seed=20_220_401, count=4_000):
        tree = parse(case["fql"]) if "fql" in case else case["ast"]
        event = case.get("event")
        if not isinstance(tree, dict) or not isinstance(event, dict):
            continue
        try:
            expected: Any = slow_matches(tree, event)
        except ThrownError:
            expected = "throws"
        trigger = compile_trigger(tree)
        try:
            actual: Any = trigger.matches(event)
        except TriggerError:
            actual = "throws"
        explanation = trigger.explain(event)
        assert actual == expected, case
        assert explanation.matched is (expected is True), case
        judged += 1
    assert judged > 1_500


def test_every_case_is_warned_about_and_explained_without_fail() -> None:
    """Warnings have a column inside the text and both sentences, for whatever stands in it; no two share a place."""
    for case in cases(seed=11, count=2_000):
        source = case.get("fql", case.get("ast"))
        if not isinstance(source, (str, dict)):
            continue
        trigger = compile_trigger(source)
        for warning in trigger.warnings:
            assert warning.message
            assert warning.mend
            assert 1 <= warning.column <= len(trigger.text) + 1
        if isinstance(source, str):
            columns = [warning.column for warning in trigger.warnings]
            assert columns == sorted(set(columns))
            assert bool(trigger.error) <= bool(columns)
        trigger.explain(case.get("event") if isinstance(case.get("event"), dict) else {})


def test_what_is_called_impossible_never_matches() -> None:
    """Where an `and` is said to be never true, no generated event makes it so; and some are said to be."""
    events = [case["event"] for case in cases(seed=5, count=600) if isinstance(case.get("event"), dict)]
    properties = [event["properties"] for event in events if isinstance(event.get("properties"), dict)]
    events = [{"properties": {"n": value}} for record in properties for value in record.values()]
    called = 0
    for case in cases(seed=6, count=4_000):
        tree = case.get("ast")
        if not isinstance(tree, dict) or not isinstance(tree.get("children"), list):
            continue
        clauses = [
            child for child in tree["children"] if isinstance(child, dict) and child.get("type") == "event-property"
        ]
        both = {"type": "group", "operator": "and", "children": [child | {"name": "n"} for child in clauses]}
        trigger = compile_trigger(both)
        if not any("never true" in warning.message for warning in trigger.warnings):
            continue
        called += 1
        assert not any(trigger.matches(event) for event in events), both
    assert called > 30


@QUICK
@given(st.text(max_size=40) | st.text(alphabet="\"'\\!=<>.,()[] \t\ntypeandorulcms*519\ud83d\ude00é", max_size=40))
def test_no_text_makes_anything_raise(text: str) -> None:
    """Any text parses, compiles, warns; its tree decides, and only a TriggerError may come of it."""
    trigger = compile_trigger(text)
    assert trigger.tree == parse(text) or json_text(trigger.tree) == json_text(parse(text))  # NaN is unequal to itself.
    assert isinstance(trigger.warnings, tuple)
    with suppress(TriggerError):
        assert trigger.matches({"type": "t", "properties": {"a": [1, "x"]}}) in (True, False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "a", "children", "operator"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(["type", "operator", "children", "error", "name", "value"]), json_values, max_size=5
    ),
    json_values,
)
def test_no_tree_and_no_event_makes_anything_else_raise(tree: dict[str, Any], event: object) -> None:
    """Any JSON as a tree, any JSON as an event: true, false or an error of ours."""
    compile_trigger(tree).explain(event if isinstance(event, dict) else {})
    assert isinstance(compile_trigger(tree).warnings, tuple)
    for run in (lambda: evaluate_tree(tree, event), lambda: generate(tree)):
        with suppress(FqlError):
            assert isinstance(run(), (bool, str))
