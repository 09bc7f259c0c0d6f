"""A payload against its fields: each row of the reference's tables, its sentences, and its order of errors."""

import pytest

from gateway.core.definitions import Choice, Condition, Field, RequiredWhen
from gateway.core.payloads import PayloadError, compile_check, defaults_of


def field(key: str = "v", kind: str = "string", **more: object) -> Field:
    return Field(key=key, label=more.pop("label", "V"), type=more.pop("type", kind), **more)


def choices(*values: str) -> tuple[Choice, ...]:
    return tuple(Choice(value=value, label=value) for value in values)


def problems(fields: list[Field], payload: dict, *, batched: bool = True) -> list[str]:
    with pytest.raises(PayloadError) as caught:
        compile_check(fields).check(payload, batched=batched)
    return caught.value.messages


STRING, NUMBER, INTEGER, BOOLEAN = field(), field(type="number"), field(type="integer"), field(type="boolean")
DATETIME, OBJECT, STRINGS = field(type="datetime"), field(type="object"), field(multiple=True)
SHAPED = field(type="object", properties=(field("x", label="X"), field("n", "number", label="N")))
SHAPES = field(type="object", multiple=True, properties=(field("x", label="X"),))

COERCIONS = [
    (STRING, 5, "5"),
    (STRING, True, "true"),
    (STRING, 12.5, "12.5"),
    (STRING, 1e21, "1e+21"),
    (STRING, ["a"], "a"),
    (STRING, [7], "7"),
    (NUMBER, " 5 ", 5),
    (NUMBER, "0x10", 16),
    (NUMBER, "1e3", 1000),
    (NUMBER, "  ", 0),
    (NUMBER, True, 1),
    (NUMBER, 2.5, 2.5),
    (NUMBER, "Infinity", float("inf")),
    (INTEGER, "5", 5),
    (INTEGER, 5.0, 5),
    (BOOLEAN, "true", True),
    (BOOLEAN, "false", False),
    (BOOLEAN, 1, True),
    (BOOLEAN, 0, False),
    (DATETIME, 1700000000000, 1700000000000),
    (DATETIME, "2024-13-45", "2024-13-45"),
    (DATETIME, "Mar 5", "Mar 5"),
    (DATETIME, ["5"], 5),
    (OBJECT, {"a": {"b": None}}, {"a": {"b": None}}),
    (SHAPED, {"x": 5, "n": "5", "other": 1}, {"x": "5", "n": 5}),
    (STRINGS, "a", ["a"]),
    (STRINGS, 5, ["5"]),
    (STRINGS, ["a", 5, None, ""], ["a", "5", ""]),
    (SHAPES, {"x": 1}, [{"x": "1"}]),
    (SHAPES, [{"x": None}, None], [{"x": ""}]),
    (field(allow_null=True), None, None),
]


@pytest.mark.parametrize(("one", "given", "wanted"), COERCIONS)
def test_a_mapped_value_becomes_what_its_field_wants(one: Field, given: object, wanted: object):
    """The reference's coercion table; the payload that was given is left alone."""
    payload = {"v": given}
    checked = compile_check([one]).check(payload, batched=True)
    assert checked == {"v": wanted}
    assert isinstance(checked["v"], bool) == isinstance(wanted, bool)
    assert payload == {"v": given}


REFUSALS = [
    (STRING, {"a": 1}, "V must be a string but it was an object."),
    (STRING, [], "V must be a string but it was an array."),
    (STRING, ["a", "b"], "V must be a string but it was an array."),
    (NUMBER, "5abc", "V must be a number but it was a string."),
    (NUMBER, {}, "V must be a number but it was an object."),
    (INTEGER, 5.5, "V must be an integer but it was a number."),
    (INTEGER, "5.5", "V must be an integer but it was a string."),
    (BOOLEAN, "TRUE", "V must be a boolean but it was a string."),
    (BOOLEAN, 2, "V must be a boolean but it was a number."),
    (DATETIME, "07:08", "V must be a valid date-like string but it was not."),
    (DATETIME, True, "V must be a valid date-like string but it was not."),
    (DATETIME, {}, "V must be a string or number but it was an object."),
    (OBJECT, "text", "V must be an object but it was a string."),
    (OBJECT, [{}], "V must be an object but it was an array."),
    (STRINGS, {}, "The value at /v/0 must be a string but it was an object."),
    (field(allow_null=True), {}, "V must be a string or null but it was an object."),
    (field(label="mode", choices=choices("a", "b", "c")), "d", 'Mode must be one of: "a", "b", or "c".'),
    (field(choices=choices("a", "b")), "d", 'V must be one of: "a" or "b".'),
    (field(format="email"), "kit@host", "V must be a valid email address string but it was not."),
    (field(format="date"), "2024-02-30", "V must be a valid date string but it was not."),
    (field(minimum=2), "a", "V must be 2 characters or more but it was 1 character."),
    (field(maximum=3), "abcd", "V must be 3 characters or fewer but it was 4 characters."),
    (field(type="number", minimum=1), 0.5, "V must be equal to or greater than 1."),
    (field(type="number", maximum=10), 11, "V must be equal to or less than 10."),
]


@pytest.mark.parametrize(("one", "given", "sentence"), REFUSALS)
def test_a_value_that_does_not_fit_is_refused_in_one_sentence(one: Field, given: object, sentence: str):
    """The reference's refusals, word for word."""
    assert problems([one], {"v": given}) == [sentence]


def test_lengths_count_characters_but_the_sentence_counts_units():
    """An emoji is one character of the limit."""
    assert compile_check([field(maximum=2)]).check({"v": "😀😀"}, batched=True) == {"v": "😀😀"}
    assert problems([field(maximum=1)], {"v": "😀😀"}) == ["V must be 1 character or fewer but it was 4 characters."]


def test_a_bound_of_zero_is_no_bound():
    """As in the reference."""
    assert compile_check([field(type="number", maximum=0)]).check({"v": 9}, batched=True) == {"v": 9}


@pytest.mark.parametrize(
    ("given", "batched", "left"),
    [
        ({"s": "", "n": "", "o": {"x": "", "n": None}}, False, {"o": {"x": ""}}),
        ({"s": "", "n": "", "o": {"x": "", "n": None}}, True, {"s": "", "o": {"x": ""}}),
        ({"s": None, "free": {"a": None}, "o": None}, False, {"free": {"a": None}}),
    ],
)
def test_empties_are_dropped_and_empty_text_survives_only_in_batches_or_inside(given, batched, left):
    """A top-level empty text is dropped only when the event goes alone; free-form objects are not touched."""
    fields = [
        field("s"),
        field("n", "number"),
        field("free", "object"),
        field("o", "object", properties=(field("x"), field("n", "number"))),
    ]
    assert compile_check(fields).check(given, batched=batched) == left


def test_unknown_keys_go_at_every_level_and_key_order_stays():
    """Objects that say so keep theirs; the set-aside authentication settings come back."""
    fields = [
        field("b"),
        field("a"),
        field("open", "object", properties=(field("x"),), additional_properties=True),
        field("shut", "object", properties=(field("x"),)),
    ]
    given = {"u": 1, "shut": {"y": 2, "x": "1"}, "a": "1", "open": {"y": 2, "x": "1"}, "b": "2"}
    checked = compile_check(fields).check(given, batched=True)
    assert list(checked.items()) == [("shut", {"x": "1"}), ("a", "1"), ("open", {"y": 2, "x": "1"}), ("b", "2")]
    kept = compile_check(fields).check({"b": "1", "dynamicAuthSettings": {"t": 1}}, batched=True)
    assert kept == {"b": "1", "dynamicAuthSettings": {"t": 1}}


def test_all_faults_are_told_conditions_first_then_missing_then_fields_as_defined():
    """The order of the payload's own keys does not matter."""
    fields = [
        field("a", "number", label="A", required=True),
        field("b", "boolean", label="B"),
        field("c", label="C", required=True),
        field("d", label="D", required=RequiredWhen(conditions=(Condition(field_key="b", operator="is_not"),))),
    ]
    assert problems(fields, {"b": "no", "a": "x"}) == [
        "The root value is missing the required field 'd'.",
        'The root value must match "then" schema.',
        "The root value is missing the required field 'c'.",
        "A must be a number but it was a string.",
        "B must be a boolean but it was a string.",
    ]


def condition(key: str, operator: str = "is", **value: object) -> Condition:
    return Condition(field_key=key, operator=operator, **value)


REQUIREMENTS = [
    (RequiredWhen(conditions=(condition("a", value="x"),)), {"a": "x"}, True),
    (RequiredWhen(conditions=(condition("a", value="x"),)), {"a": "y"}, False),
    (RequiredWhen(conditions=(condition("a", value="x"),)), {}, False),
    (RequiredWhen(conditions=(condition("a", "is_not", value="x"),)), {"a": "y"}, True),
    (RequiredWhen(conditions=(condition("a", "is_not", value="x"),)), {}, False),
    (RequiredWhen(conditions=(condition("a"),)), {}, True),
    (RequiredWhen(conditions=(condition("a"),)), {"a": "y"}, False),
    (RequiredWhen(conditions=(condition("a", "is_not"),)), {"a": "y"}, True),
    (RequiredWhen(conditions=(condition("a", value="x"), condition("b", value="y"))), {"a": "x"}, False),
    (RequiredWhen(conditions=(condition("a", value="x"), condition("b", value="y"))), {"a": "x", "b": "y"}, True),
    (RequiredWhen(match="any", conditions=(condition("a", value="x"), condition("b"))), {"a": "x", "b": "y"}, True),
    (RequiredWhen(match="any", conditions=(condition("a", value="x"), condition("b"))), {}, True),
    (RequiredWhen(conditions=(condition("o.x", value="1"),)), {"o": {"x": "1"}}, True),
    (RequiredWhen(conditions=(condition("o.x", value="1"),)), {"o": {}}, False),
    (RequiredWhen(conditions=()), {}, False),
]


@pytest.mark.parametrize(("when", "payload", "is_required"), REQUIREMENTS)
def test_a_field_is_required_when_its_conditions_hold(when, payload, is_required):
    """Each kind of condition, alone and together."""
    fields = [field("a"), field("b"), field("o", "object", properties=(field("x"),)), field("c", required=when)]
    if not is_required:
        assert compile_check(fields).check(payload, batched=True) == payload
        return
    assert problems(fields, payload) == [
        "The root value is missing the required field 'c'.",
        'The root value must match "then" schema.',
    ]


def test_one_conditional_member_lifts_the_plain_requirements_of_its_object():
    """The condition itself is asked one level up, and names the object's place."""
    when = RequiredWhen(conditions=(condition("a", value="x"),))
    fields = [field("a"), field("o", "object", properties=(field("x", required=True), field("y", required=when)))]
    assert compile_check(fields).check({"o": {}}, batched=True) == {"o": {}}
    assert problems(fields, {"a": "x", "o": {}}) == [
        "The value at /o is missing the required field 'y'.",
        'The root value must match "then" schema.',
    ]


def test_a_missing_member_is_named_with_its_object():
    """An object is called by its label, an item of a list by its place."""
    inner = (field("x", required=True),)
    assert problems([field("o", "object", label="box", properties=inner)], {"o": {}}) == [
        "Box is missing the required field 'x'."
    ]
    assert problems([field("o", "object", multiple=True, properties=inner)], {"o": [{"x": "1"}, {}]}) == [
        "The value at /o/1 is missing the required field 'x'."
    ]


def test_settings_keep_their_empties():
    """Null is coerced, an empty text is a text; a missing one is told."""
    check = compile_check([field("key", "password", required=True), field("id")])
    assert check.check_settings({"key": "", "id": None, "other": 1}) == {"key": "", "id": ""}
    with pytest.raises(PayloadError, match="missing the required field 'key'"):
        check.check_settings({"id": 5})


def test_what_is_no_object_is_no_payload():
    """A root directive can give a list or a text."""
    assert problems([field()], ["a"]) == ["The root value must be an object but it was an array."]


def test_without_fields_everything_passes():
    """An action without fields has no schema."""
    assert compile_check([]).check({"a": None, "b": ""}, batched=False) == {"a": None, "b": ""}


def test_an_unknown_format_is_the_definitions_fault():
    """It is found when the definition is compiled, not at the first payload."""
    with pytest.raises(ValueError, match="no-such"):
        compile_check([field(format="no-such")])


def test_the_quick_way_and_the_slow_way_agree():
    """An extra condition that never holds forces the slow way; the payloads must come out equal."""
    fields = [field("s", format="email"), field("n", "number"), STRINGS, field("o", "object", properties=(field("x"),))]
    never = field("z", required=RequiredWhen(conditions=(condition("never", value=1),)))
    for payload in (
        {"s": "kit@shop.example", "n": 2.5, "v": ["a"], "o": {"x": "", "y": 1}, "u": 1},
        {"s": "kit@shop.example", "n": 1, "v": [], "o": {}},
        {"n": 1, "o": {"x": None}},
    ):
        for batched in (True, False):
            quick, slow = compile_check(fields), compile_check([*fields, never])
            assert quick.check(payload, batched=batched) == slow.check(payload, batched=batched)


def test_defaults_are_the_fields_that_have_one():
    """`null` is a default like another."""
    assert defaults_of([field("a", default=None), field("b"), field("c", default={"@path": "$.c"})]) == {
        "a": None,
        "c": {"@path": "$.c"},
    }
