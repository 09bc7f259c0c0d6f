"""The strict JSON reader knows where everything stood."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.positions import DEPTH_MAX, JsonSyntaxError, read_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_it_reads_what_the_standard_parser_reads(value):
    """Any JSON value comes back equal."""
    text = json.dumps(value).replace("\\ud", "\\u00")  # lone halves are refused on purpose
    assert read_json(text).value == json.loads(text)


def test_every_value_has_its_line_and_column():
    """Pointers lead to places, escaped as RFC 6901 says."""
    document = read_json('{\n  "a/b": [1,\n    {"c": null}]\n}')
    assert document.places == {
        "": (1, 1),
        "/a~1b": (2, 10),
        "/a~1b/0": (2, 11),
        "/a~1b/1": (3, 5),
        "/a~1b/1/c": (3, 11),
    }
    assert document.place("/a~1b/1/c/deeper") == (3, 11)


def test_repeated_members_are_told():
    """The last value counts, and the pointer is listed."""
    document = read_json('{"a": 1, "b": {"a": 2, "a": 3}}')
    assert (document.value, document.repeated) == ({"a": 1, "b": {"a": 3}}, ["/b/a"])


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "ends where a value"),
        ("{", 1, 2, "member name"),
        ('{"a": 1,}', 1, 9, "member name"),
        ("[1,]", 1, 4, "comma too many"),
        ("{'a': 1}", 1, 2, "member name"),
        ("['a']", 1, 2, "double quotes"),
        ('{"a" 1}', 1, 6, "colon"),
        ('{"a": 1 "b": 2}', 1, 9, "comma or `}`"),
        ('{"a": 1}\n{}', 2, 1, "after the end"),
        ("// note\n{}", 1, 1, "no comments"),
        ('{"a": "x\ny"}', 1, 7, "not closed"),
        ('"\\ud800"', 1, 9, "surrogate"),
        ("NaN", 1, 1, "does not begin"),
        ("[" * (DEPTH_MAX + 2), 1, DEPTH_MAX + 2, "deeper"),
    ],
)
def test_a_fault_is_named_where_it_stands(text, line, column, says):
    """The first fault, with line, column and a sentence."""
    with pytest.raises(JsonSyntaxError) as caught:
        read_json(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert says in caught.value.what
