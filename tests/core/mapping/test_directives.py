"""Directives, paths, validation messages, value keys: the worked examples, one by one."""

import json
from pathlib import Path

import pytest

from gateway.core.javascript import UNDEFINED, json_text
from gateway.core.mapping import MappingError, compile_mapping, transform, transform_batch, value_keys


def rows_of(name: str) -> dict[str, object]:
    return json.loads(Path(__file__).with_name(name).read_text())


DIRECTIVES = rows_of("directive_rows.json")
VALIDATION = rows_of("validation_rows.json")
PATHS = rows_of("path_rows.json")
KEYS = rows_of("value_key_rows.json")


def outcome(mapping: object, event: object) -> object:
    """The payload as JSON text says it, or the messages of the error."""
    try:
        payload = transform(mapping, event)
    except MappingError as error:
        return {"error": list(error.messages)}
    return {"payload": json_text(payload)}


@pytest.mark.parametrize("row", DIRECTIVES["rows"], ids=lambda row: json.dumps(row["mapping"]["v"]))
def test_a_directive_gives_what_the_table_says(row):
    """Every row: the field's value, its absence, or the error, with the order of keys."""
    expected = row["expect"]
    if "error" in expected:
        wanted: object = {"error": expected["error"]}
    else:
        wanted = {"payload": json_text({"v": expected["value"]} if "value" in expected else {})}
    assert outcome(row["mapping"], DIRECTIVES["events"][row["section"]]) == wanted


@pytest.mark.parametrize("row", VALIDATION["rows"], ids=lambda row: json.dumps(row["mapping"]))
def test_a_wrong_mapping_is_refused_in_segments_words(row):
    """All messages, in order, before any event is looked at."""
    with pytest.raises(MappingError) as raised:
        compile_mapping(row["mapping"])
    assert list(raised.value.messages) == row["messages"]


@pytest.mark.parametrize("row", PATHS["rows"], ids=lambda row: row["path"])
def test_a_path_leads_where_the_table_says(row):
    """Found values of any type, and undefined."""
    assert transform({"@path": row["path"]}, PATHS["payload"]) == row.get("value", UNDEFINED)


@pytest.mark.parametrize("path", ["$.", "", ".", ".."])
def test_a_path_without_pieces_is_the_whole_payload(path):
    """The payload itself."""
    assert transform({"@path": path}, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("row", KEYS["rows"], ids=lambda row: json.dumps(row["value"]))
def test_value_keys_are_those_of_the_table(row):
    """The event fields a value reads."""
    assert value_keys(row["value"]) == row["keys"]


@pytest.mark.parametrize(
    ("event", "message"),
    [(None, "null"), ([], "array"), (5, "number"), ("x", "string"), (True, "boolean")],
)
def test_an_event_that_is_no_object_is_refused_before_the_mapping_is_looked_at(event, message):
    """The data check comes first."""
    assert outcome({"@nope": 1}, event) == {"error": [f"data must be an object, got {message}"]}


def test_an_absent_event_counts_as_an_empty_one():
    """Raw values are there, paths find nothing."""
    assert transform({"a": 1, "b": {"@path": "$.x"}}) == {"a": 1}


@pytest.mark.parametrize(
    ("mapping", "wanted"),
    [
        ([{"@path": "$.a"}], {"0": 1}),
        ("hé", {"0": "h", "1": "é"}),
        (5, {}),
        (True, {}),
    ],
)
def test_a_mapping_that_is_no_object_is_spread_like_one(mapping, wanted):
    """Lists by index, texts by unit, other values not at all."""
    assert transform(mapping, {"a": 1}) == wanted


def test_a_null_mapping_is_an_error():
    """JavaScript cannot spread null."""
    assert outcome(None, {}) == {"error": ["Cannot convert undefined or null to object"]}


ROOT = "__segment_internal_directive"


@pytest.mark.parametrize(
    ("mapping", "wanted"),
    [
        ({ROOT: {"@transform": {"apply": {"x": {"@path": "$.a"}}}}, "y": {"@path": "$.x"}}, {"payload": '{"y":1}'}),
        ({ROOT: {"@transform": {"apply": {}, "mapping": {"z": 1}}}, "y": 2}, {"payload": '{"y":2}'}),
        ({ROOT: {"a": 1, "b": 2}}, {"error": ["The root mapping must only have a single directive object"]}),
        ({ROOT: {}}, {"error": ["The root directive must be an object"]}),
        ({ROOT: {"@path": "$.a"}}, {"error": ["The root directive must be an object"]}),
        ({ROOT: {"@arrayPath": ["$.l"]}, "lost": 1}, {"payload": "[1]"}),
        ({ROOT: None}, {"error": ["Cannot convert undefined or null to object"]}),
    ],
)
def test_a_root_directive_takes_the_other_keys_as_its_mapping(mapping, wanted):
    """One directive with an object for its option, else an error."""
    assert outcome(mapping, {"a": 1, "l": [1]}) == wanted


def test_a_batch_gives_a_payload_an_event_and_checks_no_event():
    """Events of any type are resolved against; absent ones give an empty list."""
    mapping = {"a": {"@path": "$.a"}, "l": [{"@path": "$.nope"}]}
    assert transform_batch(mapping, [{"a": 1}, None, 5]) == [
        {"a": 1, "l": [UNDEFINED]},
        {"a": None, "l": [None]},
        {"l": [UNDEFINED]},
    ]
    assert transform_batch(mapping) == []


def test_a_batch_must_be_a_list():
    """The type is named."""
    with pytest.raises(MappingError, match="data must be an array, got object"):
        transform_batch({}, {})


def test_one_failing_event_fails_its_batch():
    """As one call does."""
    with pytest.raises(MappingError, match="operator key"):
        transform_batch({"a": {"@case": {"operator": "title", "value": {"@path": "$.a"}}}}, [{"a": 1}, {"a": "x"}])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([{"@bogus": 1}], {"error": ["@bogus is not a valid directive, got undefined"]}),
        ({"@literal": {"a": {"@bogus": 1}}}, {"error": ["@bogus is not a valid directive, got undefined"]}),
        ([{"@path": "$.a", "note": 1}], {"payload": '{"v":[{"@path":"$.a","note":1}]}'}),
        ([{"@path": "$.a", "@template": "x"}], {"payload": '{"v":[1]}'}),
        ([{"@path": 5}], {"error": ["@path: expected string, got number"]}),
        ([{"@if": "x"}], {"error": ['@if requires an object with an "exists" key']}),
        ([{"@case": []}], {"error": ['@case requires an object with a "operator" key']}),
        ([{"@replace": 1}], {"error": ['@replace requires an object with a "pattern" key']}),
        ([{"@replace": {"value": "x"}}], {"error": ['@replace requires a "pattern" key']}),
        (
            [{"@replace": {"pattern": "a", "value": "ab", "replacement": None, "global": None}}],
            {"payload": '{"v":["b"]}'},
        ),
        ([{"@replace": {"pattern": "a", "value": "ab", "global": 1}}], {"payload": '{"v":[""]}'}),
        ([{"@arrayPath": "x"}], {"error": ["@arrayPath expected array, got string"]}),
        ([{"@merge": 1}], {"error": ['@merge requires an object with an "objects" key and a "direction" key']}),
        ([{"@merge": {"direction": "left"}}], {"error": ['@merge requires a "objects" key']}),
        ([{"@merge": {"direction": "left", "objects": {}}}], {"error": ["@merge: expected opts.array, got object"]}),
        ([{"@transform": 1}], {"error": ['@transform requires an object with an "apply" key and a "mapping" key']}),
        ([{"@transform": {"apply": {}}}], {"error": ['@transform requires a "mapping" key']}),
        ([{"@transform": {"mapping": {}}}], {"error": ['@transform requires a "apply" key']}),
        ([{"@transform": {"mapping": {}, "apply": []}}], {"error": ['@transform "apply" key should be an object']}),
        (
            [{"@transform": {"mapping": {}, "apply": {"@path": 5}}}],
            {"error": ["/@path should be a string or a mapping directive but it is a number."]},
        ),
        ([{"@flatten": 1}], {"error": ['@flatten requires an object with a "separator" key']}),
        ([{"@flatten": {"separator": 1, "value": {}}}], {"error": ["@flatten requires a string separator"]}),
        ([{"@json": 1}], {"error": ['@json requires an object with a "value" key']}),
        ([{"@json": {"value": 1}}], {"error": ['@json requires a "mode" key']}),
        ([{"@liquid": 5}], {"error": ["liquid template value must be a string"]}),
        ({"@liquid": "x" * 1001}, {"error": ["liquid template values are limited to 1000 characters"]}),
        ({"@liquid": ""}, {"payload": '{"v":""}'}),
        ({"@liquid": "😀" * 500}, {"payload": '{"v":"' + "😀" * 500 + '"}'}),
        ({"@path": {"@template": "{{nope}}a"}}, {"payload": '{"v":1}'}),
        ({"@template": {"@path": "$.t"}}, {"payload": '{"v":"<1>"}'}),
        ({"@template": {"@path": "$.a"}}, {"error": ["@template: expected string, got number"]}),
        ({"@path": "$.a", "_metadata": {"@anything": 1}}, {"payload": '{"v":1}'}),
    ],
    ids=json.dumps,
)
def test_what_validation_lets_pass_fails_where_it_is_reached(value, wanted):
    """Insides of lists and literals, and options nobody checks."""
    assert outcome({"v": value}, {"a": 1, "t": "<{{a}}>"}) == wanted


def test_what_is_not_reached_does_not_fail():
    """Only the chosen branch of an @if is resolved."""
    mapping = {"v": {"@if": {"exists": {"@path": "$.a"}, "then": 1, "else": [{"@bogus": 1}]}}}
    assert transform(mapping, {"a": 1}) == {"v": 1}


def test_the_transform_inside_a_shape_refuses_items_that_are_no_objects():
    """Its data check names the type."""
    mapping = {"v": {"@arrayPath": ["$.l", {"@transform": {"apply": {"x": 1}, "mapping": {"y": 1}}}]}}
    assert outcome(mapping, {"l": ["text"]}) == {"error": ["data must be an object, got string"]}


def test_liquid_counts_are_seen_by_later_directives_and_leave_the_event_alone():
    """`increment` writes into a copy."""
    event = {"n": 5}
    mapping = {"whole": {"@path": "$."}, "text": {"@liquid": "{% increment n %}"}, "after": {"@path": "$.n"}}
    assert transform(mapping, event) == {"whole": {"n": 6}, "text": "5", "after": 6}
    assert event == {"n": 5}


def test_index_like_keys_come_first_everywhere():
    """JavaScript's order of keys, in JSON text, in flattened and merged objects."""
    mapping = {
        "b": {"@json": {"mode": "encode", "value": {"@path": "$.o"}}},
        "1": {"@flatten": {"value": {"@path": "$.o"}, "separator": "."}},
    }
    payload = transform(mapping, {"o": {"x": 1, "10": 2, "9": 3}})
    assert json_text(payload) == '{"1":{"9":3,"10":2,"x":1},"b":"{\\"9\\":3,\\"10\\":2,\\"x\\":1}"}'
