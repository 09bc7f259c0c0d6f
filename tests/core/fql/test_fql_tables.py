"""The language row by row: what Segment's own packages answered to each of these inputs (`tables.json`)."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gateway.core.fql import (
    FqlError,
    TriggerError,
    compile_trigger,
    evaluate,
    evaluate_tree,
    generate,
    parse,
    parse_json,
)
from gateway.core.javascript import UNDEFINED

FOLDER = Path(__file__).parent
TABLES = json.loads((FOLDER / "tables.json").read_text(encoding="utf-8"))
REGRESSIONS = json.loads((FOLDER / "regressions.json").read_text(encoding="utf-8"))


def answer(run: Any) -> Any:
    try:
        return run()
    except TriggerError:
        return "throws"


@pytest.mark.parametrize("row", TABLES["text_to_tree"], ids=lambda row: row["text"] or "empty")
def test_a_text_gives_segments_tree(row: dict[str, Any]) -> None:
    """Every text of the table parses to the tree, or fails with the message, that Segment's parser gives."""
    if "error" in row:
        assert parse(row["text"]) == {"error": row["error"]}
        with pytest.raises(FqlError) as caught:
            parse_json(row["text"])
        assert caught.value.messages == (row["error"],)
        assert compile_trigger(row["text"]).error
    else:
        assert json.dumps(parse_json(row["text"])) == json.dumps(row["tree"])
        assert compile_trigger(row["text"]).error is None


@pytest.mark.parametrize("row", TABLES["matching"]["rows"], ids=lambda row: row["text"])
def test_a_trigger_matches_as_segment_says(row: dict[str, Any]) -> None:
    """Every trigger of the table matches the event, does not, or fails on it; as text, compiled, and explained."""
    event = TABLES["matching"]["event"]
    trigger = compile_trigger(row["text"])
    assert answer(lambda: evaluate(row["text"], event)) == row["result"]
    assert answer(lambda: trigger.matches(event)) == row["result"]
    explanation = trigger.explain(event)
    assert explanation.matched is (row["result"] is True)
    assert (explanation.problem is not None) is (row["result"] == "throws" or trigger.error is not None)


@pytest.mark.parametrize("row", TABLES["types"]["rows"], ids=lambda row: json.dumps(row["properties"]))
def test_each_operator_asks_for_one_type(row: dict[str, Any]) -> None:
    """A value of each type under each operator: nothing is coerced on the event's side."""
    event = {"properties": row["properties"]}
    assert [evaluate(text, event) for text in TABLES["types"]["texts"]] == row["results"]


@pytest.mark.parametrize("row", TABLES["odd_events"]["rows"], ids=lambda row: json.dumps(row.get("event", "absent")))
def test_an_event_may_be_anything(row: dict[str, Any]) -> None:
    """Null fails, no event at all matches nothing, everything else just has no fields."""
    event = row.get("event", UNDEFINED)
    assert [answer(lambda: evaluate(text, event)) for text in TABLES["odd_events"]["texts"]] == row["results"]  # noqa: B023


@pytest.mark.parametrize("row", TABLES["hand_made_trees"]["rows"], ids=lambda row: json.dumps(row["tree"]))
def test_a_tree_made_by_hand_is_judged_as_it_stands(row: dict[str, Any]) -> None:
    """Values are coerced to what the operator compares with; what is no condition is false or fails."""
    event = TABLES["hand_made_trees"]["event"]
    assert answer(lambda: evaluate_tree(row["tree"], event)) == row["result"]
    assert answer(lambda: compile_trigger(row["tree"]).matches(event)) == row["result"]


@pytest.mark.parametrize("row", TABLES["tree_to_text"], ids=lambda row: json.dumps(row["tree"]))
def test_a_tree_is_written_as_segment_writes_it(row: dict[str, Any]) -> None:
    """Every tree of the table gives the app's text, or cannot be written."""
    if "error" in row:
        with pytest.raises(FqlError) as caught:
            generate(row["tree"])
        assert caught.value.messages == (row["error"],)
    else:
        assert generate(row["tree"]) == row["text"]


@pytest.mark.parametrize("case", REGRESSIONS, ids=lambda case: case["name"])
def test_a_known_trap_stays_avoided(case: dict[str, Any]) -> None:
    """Cases that are easy to get wrong, by name, with the answers of Segment's packages."""
    run = {
        "fql": lambda: evaluate(case["fql"], case.get("event", UNDEFINED)),
        "fql-parse": lambda: parse_json(case["fql"]),
        "fql-ast": lambda: evaluate_tree(case["ast"], case.get("event", UNDEFINED)),
        "fql-gen": lambda: generate(case["ast"]),
    }[case["kind"]]
    if "result" in case:
        assert json.dumps(run()) == json.dumps(case["result"])
    else:
        with pytest.raises(FqlError):
            run()


def test_a_value_that_is_no_number_is_nan_in_the_tree_and_null_in_json() -> None:
    """`-` is a number token that JavaScript reads as NaN, which JSON cannot hold."""
    value = parse("properties.total = -")["children"][0]["value"]  # type: ignore[index]
    assert math.isnan(value)
    assert (
        parse_json('(properties.total = - or type = "a") and name = "b"')["children"][0]["children"][0]["value"] is None
    )  # type: ignore[index]


@pytest.mark.parametrize("tree", [None, UNDEFINED])
def test_no_tree_at_all_fails(tree: object) -> None:
    """Segment's evaluator reads the tree's `error` first, also where there is no event."""
    with pytest.raises(TriggerError):
        evaluate_tree(tree)


@pytest.mark.parametrize("tree", [5, "x", [], True, {"error": "no", "operator": "and", "children": []}, {}])
def test_what_is_no_tree_is_false(tree: object) -> None:
    """A value without operator and children is a group that is never true."""
    assert evaluate_tree(tree, {}) is False


def test_an_error_tree_cannot_be_written() -> None:
    """Its message is raised, as Segment does it."""
    with pytest.raises(FqlError, match="no luck"):
        generate({"error": "no luck"})


@pytest.mark.parametrize(
    "tree", [None, 5, "x", [], {}, {"operator": "and", "children": "ab"}, {"children": [None]}, {"children": [5]}]
)
def test_what_is_no_tree_cannot_be_written(tree: object) -> None:
    """generate raises an error of ours, whatever it is given."""
    with pytest.raises(FqlError):
        generate(tree)
