"""What `gateway check` says of mappings: all problems with their places, and warnings for sure surprises only."""

import pytest

from gateway.core.mapping import (
    MAPPING_DEPTH_MAX,
    MAPPING_VALUES_MAX,
    MappingError,
    compile_mapping,
    mapping_warnings,
    validate_mapping,
)

ROOT = "__segment_internal_directive"


def first_of(first: str, second: str) -> dict[str, object]:
    return {"@if": {"exists": {"@path": first}, "then": {"@path": first}, "else": {"@path": second}}}


ORDINARY = {
    "user_id": first_of("$.userId", "$.anonymousId"),
    "email": first_of("$.traits.email", "$.properties.email"),
    "traits_or_props": first_of("$.properties", "$.traits"),
    "event_type": {"@path": "$.type"},
    "segment_computation_key": {"@path": "$.context.personas.computation_key"},
    "marketing_status": "Opted-in",
    "enable_batching": True,
    "name": {"@template": "{{traits.first_name}} {{ traits['last_name'] }}"},
    "items": {
        "@arrayPath": ["$.properties.products", {"id": {"@path": "$.product_id"}, "text": {"@template": "{{name}}"}}]
    },
    "liquid": {"@liquid": "{{ properties.plan | default: 'free' | upcase }}"},
    "note": {"@literal": "Hello {{ name }}, $.traits.email"},
    "empty": {"@if": {"blank": {"@path": "$.traits.plan"}, "then": 1, "else": {"@literal": 0}}},
    "json": {"@json": {"mode": "encode", "value": {"@path": "$.properties"}}},
    "external": {"@path": "$.context.externalIds[0].id"},
    "__segment_internal_sync_mode": "upsert",
}


def test_ordinary_mappings_get_neither_problems_nor_warnings():
    """Defaults of real destinations and common hand-written fields."""
    assert validate_mapping(ORDINARY) == []
    assert mapping_warnings(ORDINARY) == []


@pytest.mark.parametrize(
    ("mapping", "pointers"),
    [
        ({"a/b~c": {"@path": 5}}, ["/a~1b~0c/@path"]),
        ({"a": {"@nope": 1}, "b": [{"@nope": 1}]}, ["/a", "/b/0"]),
        ({"a": {"@arrayPath": ["$.l", {"k": {"@path": 1}}]}}, ["/a/@arrayPath/1/k/@path"]),
        ({"a": {"@merge": {"direction": "left", "objects": [{}, 1]}}}, ["/a/@merge/objects/1"]),
        ({"a": {"@if": {"then": 1}}}, ["/a/@if"]),
        ({"a": {"@case": {"operator": "title", "value": "x"}}}, ["/a/@case/operator"]),
        ({"a": {"@case": {"value": "x"}}}, ["/a/@case"]),
        ({"a": {"@merge": {"objects": []}}}, ["/a/@merge"]),
        ({"a": {"@flatten": {"value": {}}}}, ["/a/@flatten"]),
        ({"a": {"@json": {"mode": "encode", "value": 0}}}, ["/a/@json/value"]),
        ({"a": {"@liquid": "{% if %}"}}, ["/a/@liquid"]),
        ({"a": {"@liquid": "x" * 1001}}, ["/a/@liquid"]),
        ({"a": {"@replace": {"pattern": "a", "value": "x", "pattern2": "12345678901"}}}, ["/a/@replace/pattern2"]),
        ({"a": {"@literal": {"b": {"@nope": 1}}}}, ["/a/@literal/b"]),
        ({"a": {"@excludeWhenNull": [{"@path": None}]}}, ["/a/@excludeWhenNull/0/@path"]),
        (
            {ROOT: {"@transform": {"apply": {"x": {"@path": 1}}}}, "y": {"@path": 2}},
            [f"/{ROOT}/@transform/apply/x/@path", "/y/@path"],
        ),
        ({ROOT: {}}, [f"/{ROOT}"]),
        ([], [""]),
        (None, [""]),
    ],
)
def test_every_problem_has_its_place(mapping, pointers):
    """True JSON Pointers, also where Segment's own messages lose the way or say nothing."""
    assert sorted(problem.pointer for problem in validate_mapping(mapping)) == sorted(pointers)


def test_problems_say_whether_segment_refuses_the_mapping_too():
    """A directive inside a list passes there and fails later."""
    checked, unchecked = validate_mapping({"a": {"@nope": 1}, "b": [{"@pat": 1}]})
    assert (checked.refused_by_segment, unchecked.refused_by_segment) == (True, False)
    assert checked.reference_message == "/a has an invalid directive: @nope."
    assert "Did you mean `@path`?" in unchecked.message


def test_a_mapping_too_deep_or_too_large_is_refused():
    """Named bounds, before anything else is looked at."""
    deep: object = 1
    for _ in range(MAPPING_DEPTH_MAX + 1):
        deep = {"a": deep}
    for mapping in (deep, {"a": [1] * (MAPPING_VALUES_MAX + 1)}):
        assert len(validate_mapping(mapping)) == 1
        assert mapping_warnings(mapping) == []
        with pytest.raises(MappingError, match="the mapping"):
            compile_mapping(mapping)


@pytest.mark.parametrize(
    ("mapping", "pointer", "words"),
    [
        ({"a": {"@path": "$.trait.email"}}, "/a/@path", "Did you mean `$.traits.email`?"),
        ({"a": {"@path": "$.userID"}}, "/a/@path", "`$.userId`"),
        ({"a": {"@path": "$.user_id"}}, "/a/@path", "`$.userId`"),
        ({"a": {"@path": "$.event.properties.plan"}}, "/a/@path", "Write `$.properties.plan`"),
        ({"a": {"@path": "$.properties.items[*].id"}}, "/a/@path", "@arrayPath"),
        ({"a": {"@path": "$.properties.items[-1]"}}, "/a/@path", "no negative indexes"),
        ({"a": {"@template": "Hi {{$.traits.name}}"}}, "/a/@template", "{{traits.name}}"),
        ({"a": {"@template": "Hi {{ traits.name | upcase }}"}}, "/a/@template", "@liquid"),
        ({"a": "Hi {{ name }}"}, "/a", "@template"),
        ({"a": {"b": ["$.traits.email"]}}, "/a/b/0", "@path"),
        ({"a": [{"@path": "$.type", "note": 1}]}, "/a/0", "no directive beside other keys"),
        ({"a": {"@if": {"exists": {"@path": "$.type"}, "then": 1, "else": 0}}}, "/a/@if/else", "@literal"),
        ({"a": {"@if": {"exists": "x", "then": 1}}}, "/a/@if/exists", "decides nothing"),
        (
            {"a": {"@if": {"exists": {"@path": "$.type"}, "blank": {"@path": "$.type"}, "then": 1}}},
            "/a/@if/blank",
            "ignored",
        ),
        ({"a": {"@if": {"exists": {"@path": "$.type"}}}}, "/a/@if", "neither"),
        ({"a": {"@if": {"exists": {"@path": "$.type"}, "then": 1, "otherwise": 2}}}, "/a/@if/otherwise", "no option"),
        ({"a": {"@json": {"mode": "Encode", "value": {"@path": "$.type"}}}}, "/a/@json/mode", "`encode`"),
        ({"a": {"@merge": {"direction": "LEFT", "objects": []}}}, "/a/@merge/direction", "counts as `right`"),
        ({"a": {"@arrayPath": ["$.properties.l", []]}}, "/a/@arrayPath/1", "no shape"),
        ({"a": {"@arrayPath": ["$.properties.l", {"x": 1}, 2]}}, "/a/@arrayPath/2", "ignored"),
        ({"a": {"@liquid": "{{ event.properties.plan }}"}}, "/a/@liquid", "Write `properties.plan`"),
        ({"a": {"@liquid": "{{ properties.plan | shout }}"}}, "/a/@liquid", "no filter `shout`"),
        ({"a": {"@liquid": "{{ properties.list | sort }}"}}, "/a/@liquid", "switched off"),
        (
            {"a": {"@transform": {"apply": {"x": 1}, "mapping": {"y": {"@path": "$.traits.email"}}}}},
            "/a/@transform/mapping",
            "out of reach",
        ),
    ],
)
def test_a_sure_surprise_is_warned_of_with_what_to_write_instead(mapping, pointer, words):
    """One warning at its place."""
    (warning,) = mapping_warnings(mapping)
    assert warning.pointer == pointer
    assert words in warning.message
