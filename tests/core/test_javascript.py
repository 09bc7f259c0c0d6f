"""JavaScript's ways: every rule as a row."""

import copy
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.javascript import (
    JSON_DEPTH_MAX,
    UNDEFINED,
    array_index,
    code_units,
    depth,
    in_key_order,
    is_number,
    is_truthy,
    joined,
    json_text,
    member,
    number_text,
    parse_json,
    text_number,
    to_number,
    to_text,
    trim,
    type_name,
    utf16_length,
)


def test_undefined_is_one_falsy_value_of_its_own():
    """Copies are the same object; it is neither None nor equal to anything else."""
    assert not UNDEFINED
    assert repr(UNDEFINED) == "undefined"
    assert copy.deepcopy(UNDEFINED) is UNDEFINED
    assert copy.copy(UNDEFINED) is UNDEFINED
    assert pickle.loads(pickle.dumps(UNDEFINED)) is UNDEFINED
    assert UNDEFINED is not None


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5, "5"), (-1, "-1"), (1.0, "1"), (2.5, "2.5"), (-0.0, "0"), (0, "0"), (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (12345678901234567890, "12345678901234567000"), (2**53, "9007199254740992"), (2**53 + 1, "9007199254740992"),
        (1e-6, "0.000001"), (1e-7, "1e-7"), (1.5e-7, "1.5e-7"), (-1.23e25, "-1.23e+25"),
        (0.1 + 0.2, "0.30000000000000004"),
        (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (10**400, "Infinity"),
        (-(10**400), "-Infinity"),
        (1e16, "10000000000000000"), (123456.789e3, "123456789"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_javascript_writes_it(number, text):
    """Shortest digits, exponents from 1e21 up and 1e-7 down."""
    assert number_text(number) == text


@given(st.floats(allow_nan=False))
def test_a_written_number_reads_back_the_same(number):
    """Digits are never lost."""
    assert text_number(number_text(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0), ("  ", 0), (" 5 ", 5), ("0x10", 16), ("0X1f", 31), ("0o17", 15), ("0b101", 5), ("5.", 5),
        (".5", 0.5), ("1e3", 1000),
        ("-1.5E-1", -0.15), ("+4", 4), ("Infinity", math.inf), ("-Infinity", -math.inf), ("\ufeff7\u00a0", 7),
        ("1e400", math.inf),
        ("00012", 12), ("0x" + "f" * 400, math.inf),
    ],
)  # fmt: skip
def test_a_text_is_read_as_a_number(text, number):
    """Blanks around it do not count; prefixes work."""
    assert text_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "5x",
        "1_000",
        "inf",
        "nan",
        "NaN",
        "infinity",
        "-0x1",
        "0x",
        "1 2",
        "--1",
        ".",
        "e5",
        "\x1c5",
        "٣",
        "1e",
        "0b2",
    ],
)
def test_what_is_no_number_is_nan(text):
    """Python's own spellings and digits are not JavaScript's."""
    assert math.isnan(text_number(text))


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, 0), (True, 1), (False, 0), ([], 0), ([5], 5), (["0x10"], 16), ([[7]], 7), ("", 0), (2**70, float(2**70))],
)
def test_any_value_is_read_as_a_number(value, number):
    """Null is 0, lists count by their text."""
    assert to_number(value) == number


@pytest.mark.parametrize("value", [UNDEFINED, {}, [1, 2], {"a": 1}, "x"])
def test_values_without_a_number_are_nan(value):
    """Undefined, objects, longer lists."""
    assert math.isnan(to_number(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"), (True, "true"), (False, "false"), (None, "null"), (UNDEFINED, "undefined"), (5.0, "5"),
        ({}, "[object Object]"),
        ([], ""), ([None], ""), ([UNDEFINED, 1], ",1"), ([1, [2, [3, None]], {"a": 1}], "1,2,3,,[object Object]"),
        ([True, "a"], "true,a"),
    ],
)  # fmt: skip
def test_any_value_is_written_as_text(value, text):
    """Lists are joined by commas, null items are empty there."""
    assert to_text(value) == text


@pytest.mark.parametrize("value", [UNDEFINED, None, False, 0, 0.0, -0.0, math.nan, ""])
def test_falsy_values(value):
    """These and no others."""
    assert is_truthy(value) is False


@pytest.mark.parametrize("value", [True, 1, -1, 0.1, math.inf, " ", "0", "false", [], {}])
def test_truthy_values(value):
    """Empty lists and objects are among them."""
    assert is_truthy(value) is True


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (UNDEFINED, "undefined"), (None, "null"), (True, "boolean"), (1, "number"), (1.5, "number"), ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)  # fmt: skip
def test_type_names(value, name):
    """As messages give them."""
    assert type_name(value) == name


def test_booleans_are_no_numbers():
    """They are in Python."""
    assert is_number(1)
    assert is_number(1.5)
    assert not is_number(True)
    assert not is_number("1")


def test_trim_takes_javascripts_white_space():
    """U+FEFF goes, U+001C and U+0085 stay."""
    assert trim("\ufeff\u3000\u2029\t a \u00a0\n") == "a"
    assert trim("\x1ca\x85") == "\x1ca\x85"


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("Hi😀", 4), ("\ud83d", 1)])
def test_lengths_count_utf16_units(text, length):
    """An emoji counts two."""
    assert utf16_length(text) == length == len(code_units(text))


@given(st.text())
def test_units_put_together_again_are_the_text(text):
    """Splitting pairs and joining them changes nothing."""
    assert joined(code_units(text)) == joined(text)


@pytest.mark.parametrize(
    ("key", "index"),
    [("0", 0), ("12", 12), ("4294967294", 4294967294), ("4294967295", None), ("01", None), ("-1", None), ("1.0", None), ("", None),
     ("٣", None), ("²", None), (" 1", None), ("9" * 5000, None)],
)  # fmt: skip
def test_only_canonical_indexes_are_indexes(key, index):
    """No signs, leading zeros, other scripts; nothing beyond 2^32 - 2."""
    assert array_index(key) == index


@pytest.mark.parametrize(
    ("current", "piece", "value"),
    [
        ({"a": 1}, "a", 1), ({"a": 1}, "b", UNDEFINED), ({"length": 7}, "length", 7), ({}, "length", UNDEFINED),
        ({}, "constructor", UNDEFINED),
        (["x", "y"], "1", "y"), (["x"], "1", UNDEFINED), (["x"], "01", UNDEFINED), (["x"], "-1", UNDEFINED),
        (["x"], "length", 1),
        ("Hi😀", "length", 4), ("Hi😀", "0", "H"), ("Hi😀", "2", "\ud83d"), ("Hi", "2", UNDEFINED), ("Hi", "x", UNDEFINED),
        (5, "toFixed", UNDEFINED), (True, "x", UNDEFINED), (None, "x", UNDEFINED), (UNDEFINED, "x", UNDEFINED),
    ],
)  # fmt: skip
def test_members(current, piece, value):
    """Own members only; texts and lists by index and length."""
    assert member(current, piece) == value


def test_keys_in_order():
    """Indexes first, ascending; an object without any is given back as it is."""
    assert list(in_key_order({"b": 1, "10": 1, "9": 1, "01": 1, "a": 1})) == ["9", "10", "b", "01", "a"]
    plain: dict[str, object] = {"b": 1, " ": 2, "$": 3, "-1": 4}
    assert in_key_order(plain) is plain
    assert in_key_order({}) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, 2.5, 'x"é\n'], "10": True, "2": None}, '{"2":null,"10":true,"b":[1,2.5,"x\\"é\\n"]}'),
        ({"u": UNDEFINED, "l": [UNDEFINED]}, '{"l":[null]}'),
        ([math.nan, math.inf, -0.0, 1e21, 10**400], "[null,null,0,1e+21,null]"),
        ("\x01\b\f\t\x7f\u2028/", '"\\u0001\\b\\f\\t\x7f\u2028/"'),
        ("\ud83d😀", '"\\ud83d😀"'),
        ({}, "{}"),
        ([], "[]"),
    ],
)
def test_json_is_written_as_javascript_writes_it(value, text):
    """Key order, number spelling, escapes."""
    assert json_text(value) == text


def test_json_of_undefined_is_undefined_and_indented_json_has_lines():
    """The two remaining forms."""
    assert json_text(UNDEFINED) is UNDEFINED
    assert json_text({"a": [1, {}], "b": []}, " ") == '{\n "a": [\n  1,\n  {}\n ],\n "b": []\n}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" \t\r\n[1]", [1]), ('"\\ud83d"', "\ud83d"), ("1e400", math.inf), ('{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
        ("-0", 0),
        ('"\u2028"', "\u2028"), ("null", None), ("1" * 5000, math.inf), ("12345678901234567890", 12345678901234567890),
    ],
)  # fmt: skip
def test_json_is_read_as_javascript_reads_it(text, value):
    """Lone surrogates and infinities are part of it."""
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "[1,]", "{a:1}", "NaN", "[NaN]", "-Infinity", "01", "1.", "-", "'a'", "\ufeff1", "\u00a01", '"\t"', "[1", "1 2",
     '"\\x"', "// x",
     "[" * 100_000, "[" * (JSON_DEPTH_MAX + 1) + "]" * (JSON_DEPTH_MAX + 1)],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_is_no_json_is_refused(text):
    """Python's extras, and what is nested too deeply."""
    with pytest.raises(ValueError):  # noqa: PT011  (the text is json's own)
        parse_json(text)


def test_depth_counts_levels():
    """Of lists and objects."""
    assert [depth(value) for value in (1, [], {"a": [{}]})] == [0, 1, 3]
