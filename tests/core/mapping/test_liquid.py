"""The template language: worked examples, dates, limits."""

import json
from pathlib import Path

import pytest

from gateway.core.dates import parse_date
from gateway.core.mapping import transform
from gateway.core.mapping.liquid import LIQUID_UNITS_MAX, LiquidError, compile_liquid

ROWS = json.loads(Path(__file__).with_name("liquid_rows.json").read_text())


def rendered(template: str, environment: object, now_ms: float | None = None) -> object:
    try:
        return {"value": compile_liquid(template).render(environment, now_ms=lambda: now_ms)}
    except LiquidError as error:
        return {"error": [str(error)]}


@pytest.mark.parametrize("row", ROWS["rows"], ids=lambda row: row["template"])
def test_a_template_gives_what_the_table_says(row):
    """Every example: the text, or the error with its place."""
    environment = json.loads(json.dumps(ROWS["environment"]))
    assert rendered(row["template"], environment) == {key: row[key] for key in row if key != "template"}


@pytest.mark.parametrize(
    ("text", "iso_ms"),
    [
        ("2024", 1704067200000),
        ("2024-03", 1709251200000),
        ("2024-03-05", 1709596800000),
        ("2024-03-05T07:08", 1709622480000),
        ("2024-03-05T07:08:09.1234567Z", 1709622489123),
        ("2024-03-05T07:08:09+0530", 1709602689000),
        ("2024-03-05T24:00:00Z", 1709683200000),
        ("+012024-01-01T00:00:00Z", 317273587200000),
        ("2024-02-30", 1709251200000),
        ("2024-13-01", None),
        ("2024-03-05T07:60", None),
        ("2024-03-05T07", None),
        ("2024-03-05T07:08+05", None),
        ("20240305", None),
        ("2024-W01", None),
        ("07:08", None),
        ("nope", None),
        ("", None),
        ("2024-03-05 07:08:09", 1709622489000),
        ("2024/3/5 7:08 PM", 1709665680000),
        ("2024-3-5 7:08:09 +02:00", 1709615289000),
        ("Tue, 05 Mar 2024 07:08:09 GMT", 1709622489000),
        ("Tue, 05 Mar 2024 07:08:09 +0530", 1709602689000),
        ("5 Mar 2024", 1709596800000),
        ("March 5, 2024", 1709596800000),
        ("3/5/2024", 1709596800000),
        ("1/2/49", 2493158400000),
        ("5\u2028", None),
        ("5,", 988675200000),
    ],
)
def test_a_date_text_is_read_as_v8_reads_it(text, iso_ms):
    """ISO forms exactly, the usual others by its guessing, in UTC."""
    assert parse_date(text) == iso_ms


def test_now_is_what_the_caller_says():
    """The clock is an argument; without one it is the moment the event came in; without that there is no now."""
    assert rendered("{{ 'now' | date: '%s' }}", {}, now_ms=1_700_000_000_000) == {"value": "1700000000"}
    assert transform({"@liquid": "{{ 'today' | date: '%Y' }}"}, {"receivedAt": "2024-05-06T00:00:00Z"}) == "2024"
    assert "no receivedAt" in str(rendered("{{ 'now' | date: '%s' }}", {}))


@pytest.mark.parametrize(
    "template",
    [
        "{{ (1..99999999) | size }}",
        "{% assign x = 'abcdefghij' %}" + "{% assign x=x|append:x %}" * 35,
        "{% assign x = 'abcdefghij' %}" + "{%capture x%}{{x}}{{x}}{%endcapture%}" * 25,
        "{{ '2024-01-01' | date: '%999999999d' }}",
        "{{ (9007199254740992..9007199254740999) | size }}",
        "{% assign x = l | push: l %}" + "{%assign x=x|push:x%}" * 30 + "{{ x }}",
        "{% assign x = l | push: l %}" + "{%assign x=x|push:x%}" * 30 + "{% if x == x %}{% endif %}",
        "{{ l }}" * 140,
        "{% assign x = s | replace: '', s %}{{ x | replace: '', x }}",
    ],
)
def test_what_grows_without_measure_ends_with_a_clear_error(template):
    """The purse of a render, whatever way it is emptied."""
    assert "memory alloc limit exceeded" in str(rendered(template, {"s": "x" * 3000, "l": [None] * 50_000}))


@pytest.mark.parametrize("opening", ["{{ a[", "{{ (", "{% if a %}", "{% liquid "])
def test_deep_nesting_ends_with_a_clear_error(opening):
    """Brackets, ranges and tags inside each other, as deep as a template's length allows."""
    inside = opening.removeprefix("{{ ").removeprefix("{% ") if opening != "{% if a %}" else opening
    template = (opening + inside * (LIQUID_UNITS_MAX // len(inside)))[: LIQUID_UNITS_MAX - 3] + (
        " }}" if "{{" in opening else " %}"
    )
    assert "error" in rendered(template, {"a": 1})


def test_the_environment_may_be_any_value():
    """Inside an @arrayPath shape it is the item: lists and texts by index, nothing in numbers and null."""
    assert rendered("{{ [0] }}{{ length }}|{{ x }}", ["a", "b"]) == {"value": "a2|"}
    assert rendered("{{ ['1'] }}{{ length }}", "a😀") == {"value": "\ud83d3"}
    assert rendered("{{ x }}{{ size }}", None) == {"value": "0"}
