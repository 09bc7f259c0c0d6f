"""Compiled triggers: what they hold, their bounds, and the truth table that explains them."""

import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from gateway.core.fql import (
    ClauseResult,
    Explanation,
    FqlError,
    GroupResult,
    TriggerError,
    compile_trigger,
    evaluate,
    evaluate_tree,
    generate,
)
from gateway.core.fql.tree import TREE_DEPTH_MAX
from gateway.core.fql.trigger import CLAUSES_MAX, TEXT_UNITS_MAX


def test_a_trigger_keeps_its_text_and_its_tree() -> None:
    """Text in, tree beside it; tree in, text beside it; both decide alike."""
    text = '(event = "A" or event = "B") and userId != null'
    from_text = compile_trigger(text)
    from_tree = compile_trigger(from_text.tree)
    assert (from_text.text, from_text.error, from_text.error_column) == (text, None, 0)
    assert (from_tree.text, from_tree.tree, from_tree.error) == (text, from_text.tree, None)
    assert from_tree.matches({"event": "B", "userId": "u"}) is from_text.matches({"event": "B", "userId": "u"}) is True


def test_a_broken_text_says_where_and_how_to_mend_it_and_never_matches() -> None:
    """The error names the column in characters, and what to write."""
    trigger = compile_trigger("properties.\\😀 != 1")
    assert trigger.error is not None
    assert trigger.error.startswith("Column 13: ")
    assert trigger.error_column == 13
    assert trigger.matches({"type": "track"}) is False
    assert compile_trigger('event = "A" && type = "B"').error == (
        "Column 13: `&` has no meaning outside quotes. Write `and` between clauses."
    )


def test_an_error_tree_never_matches() -> None:
    """A tree that Segment's parser gave for a broken text is an error here too."""
    trigger = compile_trigger({"error": "no"})
    assert trigger.error
    assert trigger.matches({}) is False
    assert trigger.explain({}) == Explanation(matched=False, problem="no")


def test_a_tree_without_a_text_still_works() -> None:
    """Not every tree can be written; it decides all the same."""
    trigger = compile_trigger(
        {"operator": "or", "children": [{"type": "nonsense"}, {"type": "event", "operator": "=", "value": "A"}]}
    )
    assert (trigger.text, trigger.error) == ("", None)
    assert trigger.matches({"event": "A"}) is True


def test_nothing_of_a_trigger_becomes_code() -> None:
    """Values and keys that look like Python, or like the names inside the compiled function, are just text."""
    odd = 'c0") or exit() or ("{v}{actual}'
    assert evaluate_tree(
        {"operator": "and", "children": [{"type": "event", "operator": "=", "value": odd}]}, {"event": odd}
    )
    name = "') or fail('{text}"
    tree = {"operator": "and", "children": [{"type": "event-property", "name": name, "operator": "exists"}]}
    assert evaluate_tree(tree, {"properties": {name: 1}}) is True
    assert evaluate_tree(tree, {"properties": {}}) is False


def deep(groups: int) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "type": "group",
        "operator": "and",
        "children": [{"type": "event", "operator": "=", "value": "A"}],
    }
    for level in range(groups - 1):
        tree = {
            "type": "group",
            "operator": ("or", "and")[level % 2],
            "children": [tree, {"type": "name", "operator": "exists"}],
        }
    return tree


def test_a_tree_may_be_as_deep_as_its_bound_and_no_deeper() -> None:
    """The deepest tree allowed compiles, decides, explains, warns and is written; one level more is refused by name."""
    deepest = deep((TREE_DEPTH_MAX - 1) // 2)
    trigger = compile_trigger(deepest)
    assert trigger.error is None
    assert trigger.matches({"event": "A"}) is trigger.explain({"event": "A"}).matched
    assert trigger.warnings == ()
    assert generate(deepest) == trigger.text != ""
    too_deep = deep(TREE_DEPTH_MAX)
    refused = compile_trigger(too_deep)
    assert refused.error == f"The condition tree is nested deeper than {TREE_DEPTH_MAX} levels of JSON."
    assert refused.matches({"event": "A"}) is False
    for run in (evaluate_tree, lambda tree: evaluate_tree(tree, {}), generate):
        with pytest.raises(FqlError, match="deeper") if run is not evaluate_tree else pytest.raises(AssertionError):
            assert run(too_deep)


def test_a_very_deep_value_or_list_is_refused_too() -> None:
    """Depth is the tree's, whatever stands at the bottom of it."""
    value: Any = "x"
    for _ in range(5_000):
        value = [value]
    refused = compile_trigger({"operator": "and", "children": [{"type": "event", "operator": "=", "value": value}]})
    assert "deeper" in str(refused.error)


def test_a_text_that_is_too_long_or_has_too_many_clauses_is_refused() -> None:
    """Both bounds are named in the error, and at the bound itself the trigger works."""
    assert "longer than 100,000 characters" in str(compile_trigger("a" * (TEXT_UNITS_MAX + 1)).error)
    at_bound = compile_trigger(" or ".join(['name = "x"'] * CLAUSES_MAX))
    assert at_bound.error is None
    assert at_bound.matches({"name": "x"}) is True
    assert at_bound.matches({"name": "y"}) is False
    tree = {"operator": "or", "children": [{"type": "event", "operator": "exists"}] * (CLAUSES_MAX + 1)}
    assert "more than 2,000 clauses" in str(compile_trigger(tree).error)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 99_000,
        "()" * 49_000,
        "(a" * 49_000 + ")" * 1_000,
        "!" * 99_000,
        "\\" * 99_000,
        '"' * 99_000,
        '"a' * 49_000,
        "properties" + ".a" * 49_000 + " = 1",
        "properties." + "a" * 98_000 + " = 1",
        "event" + " ." * 49_000,
        "a " * 49_000,
        "an\t" * 33_000,
        "contains(" * 11_000,
        "type = " * 14_000,
        "1." * 49_000,
        'match(event, "' + "*" * 98_000 + '")',
        "\ud83d\ude00" * 49_000,
        "event = 'x' and " * 6_000,
    ],
    ids=lambda text: text[:12] + "…",
)
def test_no_text_within_the_bound_takes_long(text: str) -> None:
    """Long and twisted texts are read, compiled, asked, explained and warned about in time that grows with their length."""
    start = time.perf_counter()
    trigger = compile_trigger(text)
    with suppress(TriggerError):
        trigger.matches({"event": "x" * 1000, "properties": {"a": {}}})
    trigger.explain({})
    assert len(trigger.warnings) >= 0
    assert time.perf_counter() - start < 10  # seconds; about a tenth of one on an idle machine


def test_a_path_may_be_longer_than_any_event_is_deep() -> None:
    """Long paths are walked by a loop, with the same rules as short ones."""
    keys = 200
    text = "properties" + ".a" * keys + ' = "x"'
    inner: Any = "x"
    for _ in range(keys):
        inner = {"a": inner}
    assert evaluate(text, {"properties": inner}) is True
    assert evaluate(text, {"properties": {"a": {"a": 0}}}) is False
    assert evaluate("properties" + ".a" * keys + " = 0", {"properties": {"a": {"a": 0}}}) is True
    assert evaluate("properties" + ".a" * keys + " = null", {"properties": {"a": {"a": []}}}) is True


def clause(text: str, field: str, operator: str, **rest: Any) -> ClauseResult:
    return ClauseResult(text=text, field=field, operator=operator, **rest)


def test_the_truth_table_shows_every_clause_and_which_one_decided() -> None:
    """Both values of each clause, missing told from null, and the first false clause of an `and` as the one that decided."""
    trigger = compile_trigger('type = "track" and properties.total >= 50 and traits.email != null')
    assert trigger.explain({"type": "track", "properties": {"total": "75"}, "traits": {"email": None}}) == Explanation(
        matched=False,
        top=GroupResult(
            operator="and",
            result=False,
            decided=True,
            rows=(
                clause('type = "track"', "type", "=", result=True, left="track", right="track", has_right=True),
                clause(
                    "properties.total >= 50",
                    "properties.total",
                    ">=",
                    result=False,
                    left="75",
                    right=50,
                    has_right=True,
                    decided=True,
                ),
                clause("traits.email != null", "traits.email", "exists", result=False, left=None),
            ),
        ),
    )


def test_in_a_truth_table_all_clauses_decide_where_none_stopped_the_group() -> None:
    """An `and` that is true owes it to all its clauses; inside the `or` only the first true one counts."""
    trigger = compile_trigger('(event = "A" or event = "B" or event = "B") and userId != null')
    top = trigger.explain({"event": "B", "userId": "u"}).top
    assert top is not None
    inner, user = top.rows
    assert isinstance(inner, GroupResult)
    assert [row.decided for row in inner.rows] == [False, True, False]
    assert (inner.decided, user.decided, top.result) == (True, True, True)


def test_a_truth_table_masks_what_it_is_told_to() -> None:
    """The mask sees the field's name and the event's value; missing values are not shown to it."""
    seen: list[tuple[str, object]] = []

    def mask(field: str, value: object) -> object:
        seen.append((field, value))
        return "•••" if field == "traits.email" else value

    trigger = compile_trigger('contains(traits.email, "@") and name = null and type = "track"')
    top = trigger.explain({"type": "track", "traits": {"email": "ann@shop.example.com"}}, mask).top
    assert top is not None
    assert [row.left for row in top.rows if isinstance(row, ClauseResult)] == ["•••", None, "track"]
    assert [row.is_missing for row in top.rows if isinstance(row, ClauseResult)] == [False, True, False]
    assert seen == [("traits.email", "ann@shop.example.com"), ("type", "track")]


def test_a_truth_table_shows_where_a_trigger_fails() -> None:
    """A hole is a row with a problem; reached, it is the trigger's; behind a decision, it is not."""
    failing = compile_trigger('() and type = "track"').explain({"type": "track"})
    assert (failing.matched, failing.problem) == (False, "Cannot read properties of null (reading 'type')")
    assert failing.top is not None
    assert [(row.result, row.decided) for row in failing.top.rows] == [(None, True), (True, False)]
    passed = compile_trigger('type = "track" or ()').explain({"type": "track"})
    assert (passed.matched, passed.problem) == (True, None)


def test_a_truth_table_of_an_odd_tree_is_one_too() -> None:
    """Unknown nodes, operators and shapes have rows; nothing raises."""
    odd: list[Any] = [
        5,
        {"type": "nonsense"},
        {"type": "event", "operator": None},
        {"type": "group", "operator": "and"},
    ]
    odd += [
        {"type": "event-property", "name": name, "operator": "exists"} for name in ("", ".", [], ["a", "b"], 5, "a.b")
    ]
    for child in odd:
        for operator in ("and", "or", "xor", None):
            trigger = compile_trigger({"operator": operator, "children": [child]})
            explanation = trigger.explain({"properties": {"a": {"b": 1}}})
            assert msgspec.json.encode(explanation)
            if explanation.problem is None:
                assert explanation.matched is trigger.matches({"properties": {"a": {"b": 1}}})
            else:
                with pytest.raises(TriggerError):
                    trigger.matches({"properties": {"a": {"b": 1}}})
    assert compile_trigger({"operator": "and"}).explain({}).problem is not None
