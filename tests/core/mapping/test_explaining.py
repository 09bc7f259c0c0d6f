"""Where a field came from, told for one event: directive, paths, or why there is nothing."""

import pytest

from gateway.core.javascript import UNDEFINED
from gateway.core.mapping import FieldTrace, PathTrace, compile_mapping, shape_of

EVENT = {
    "type": "track",
    "anonymousId": "anon-1",
    "traits": {"email": "ann@example.com", "plan": None},
    "properties": {"items": [{"id": 1}, {"name": "b"}]},
}


def field(mapping: object, event: object = EVENT) -> FieldTrace:
    """The trace of the only field `v`."""
    (trace,) = compile_mapping({"v": mapping}).explain(event).parts
    return trace


@pytest.mark.parametrize(
    ("mapping", "value", "reason"),
    [
        ("text", "text", "Written in the mapping as it is."),
        ({"@path": "$.traits.email"}, "ann@example.com", "The value at `$.traits.email`."),
        ({"@path": "$.traits.plan"}, None, "`$.traits.plan` is null."),
        ({"@path": "$.traits.phone"}, UNDEFINED, "Nothing at `$.traits.phone`: `traits` is an object without `phone`."),
        ({"@path": "$.context.ip"}, UNDEFINED, "Nothing at `$.context.ip`: the event has no `context`."),
        (
            {"@path": "$.traits.email.domain"},
            UNDEFINED,
            "Nothing at `$.traits.email.domain`: `traits.email` is a string without `domain`.",
        ),
        (
            {"@template": "{{traits.email}}/{{traits.plan}}/{{x}}"},
            "ann@example.com//",
            "The text with its places filled; nothing at `traits.plan`, `x`.",
        ),
        ({"@if": {"exists": {"@path": "$.userId"}, "then": 1, "else": 2}}, 2, "`exists` is missing, so `else`."),
        (
            {"@if": {"exists": {"@path": "$.traits.plan"}, "then": 1}},
            UNDEFINED,
            "`exists` is null, and there is no `else`.",
        ),
        ({"@if": {"exists": {"@path": "$.type"}, "then": 1}}, 1, "`exists` has a value, so `then`."),
        ({"@excludeWhenNull": {"@path": "$.traits.plan"}}, UNDEFINED, "Its value is null or missing."),
        ({"@arrayPath": ["$.properties.list", {"x": 1}]}, UNDEFINED, "There is no list at its path."),
        (
            {"@case": {"operator": "upper", "value": {"@path": "$.type"}}},
            "TRACK",
            "Its value in another case, if that is a text.",
        ),
        ({"@liquid": "{{ type | upcase }}{{ nope }}"}, "TRACK", "The text with its places filled; nothing at `nope`."),
    ],
)
def test_a_field_says_where_it_came_from_or_why_it_is_absent(mapping, value, reason):
    """One sentence each."""
    trace = field(mapping)
    assert (trace.value, trace.reason, trace.is_absent) == (value, reason, value is UNDEFINED)


def test_the_parts_show_which_path_decided():
    """Condition and chosen branch, each with its place in the mapping."""
    trace = field(
        {"@if": {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}, "else": {"@path": "$.anonymousId"}}}
    )
    assert [(part.pointer, part.name, part.paths) for part in trace.parts] == [
        (
            "/v/@if/exists",
            "exists",
            (PathTrace(path="$.userId", value=UNDEFINED, missing="the event has no `userId`"),),
        ),
        ("/v/@if/else", "else", (PathTrace(path="$.anonymousId", value="anon-1", missing=""),)),
    ]


def test_every_item_of_a_list_is_told():
    """The shape once for each item, its paths starting there."""
    trace = field({"@arrayPath": ["$.properties.items", {"key": {"@path": "$.id"}}]})
    assert trace.paths[0].value == EVENT["properties"]["items"]
    assert [part.parts[0].value for part in trace.parts] == [1, UNDEFINED]


def test_the_failing_part_says_why_there_is_no_payload():
    """The whole, and the part where it happened."""
    trace = compile_mapping({"a": 1, "v": {"@case": {"operator": "title", "value": {"@path": "$.type"}}}}).explain(
        EVENT
    )
    assert trace.error == 'operator key should have a value of "lower" or "upper"'
    assert trace.parts[1].error == trace.error
    assert trace.parts[1].directive == "@case"


def test_a_masked_trace_shows_no_data_of_people():
    """Types and sizes instead; which field is absent stays visible."""
    trace = compile_mapping({"v": {"@path": "$.traits.email"}, "w": {"@path": "$.x"}}).explain(EVENT).masked()
    assert trace.parts[0].value == "text of 15 characters"
    assert trace.parts[0].paths[0].value == "text of 15 characters"
    assert trace.parts[1].is_absent
    assert "ann@" not in repr(trace)


def test_shapes_of_values():
    """What the default mask shows."""
    shapes = [shape_of(value) for value in ("ab", 5, True, None, [1], {"a": 1})]
    assert shapes == ["text of 2 characters", "a number", True, None, "a list of 1", "an object"]


def test_explaining_leaves_the_event_and_the_transform_as_they_are():
    """Counting templates count in a copy, and apply gives the same before and after."""
    event = {"n": 1}
    transform = compile_mapping({"v": {"@liquid": "{% increment n %}"}})
    assert transform.apply(event) == transform.explain(event).value == transform.apply(event) == {"v": "1"}
    assert event == {"n": 1}


def test_a_mapping_that_is_itself_a_directive_is_told_too():
    """The root is the directive."""
    trace = compile_mapping({"@path": "$.type"}).explain(EVENT)
    assert (trace.pointer, trace.directive, trace.value) == ("", "@path", "track")
