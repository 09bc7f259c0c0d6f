"""Whatever a file, a record or an answer holds: sentences and outcomes, never an exception, never a value in a text."""

import copy
import json
from pathlib import Path

from http_audience_cases import Scripted, findings_of, loaded, owed_of, performed, previewed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.http_messages import Answer
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.rudderstack.convert import convert
from gateway.destinations.http_audience.rudderstack.grammar import parse

NORTHWIND = json.loads((Path(__file__).parents[3] / "mappings/destinations/northwind-ads.json").read_text("utf-8"))
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "$.records",
        "$.record.email",
        "{{record.email}}",
        "{{steps.x}}",
        "https://x.example",
        "@each",
        "@path",
        "auto",
        "sha256",
        "body.x[",
        "a" * 64,
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def places(value, way=()):
    yield way
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*way, key))


WAYS = [way for way in places(NORTHWIND) if way]


@QUICK
@given(st.lists(st.tuples(st.sampled_from(WAYS), values), min_size=1, max_size=3))
def test_a_file_with_anything_in_it_is_answered_in_problems(changes):
    """Any value at any place: it loads, or says why not; what loads can be previewed."""
    file = copy.deepcopy(NORTHWIND)
    for way, value in changes:
        owner = file
        try:
            for step in way[:-1]:
                owner = owner[step]
            owner[way[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue
    destination, problems = load_definition(findings_of(json.loads(json.dumps(file))), variables={})
    assert destination is not None or any(one.severity == "error" for one in problems)
    if destination is not None:
        previewed(
            file, [{"id": 1, "action": "add", "fields": {"email": "ana@example.com"}}], entry={"external_id": "9001"}
        )


@QUICK
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["email", "phone", "ltv", "origin", "x"]), values, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_records_with_anything_in_them_have_an_outcome_each(records):
    """One each, and no value of theirs in a reason."""
    destination = loaded(NORTHWIND, NORTHWIND_TOKEN="t")
    done = performed(destination, owed_of(records, external_id="9001"), Scripted(Answer(status=200, body=b"{}")))
    assert len(done.outcomes) == len(records)
    for record, outcome in zip(records, done.outcomes, strict=True):
        secret = str(record.get("email"))
        assert len(secret) < 12 or secret not in getattr(outcome, "reason", "")


@QUICK
@given(st.integers(100, 599), values)
def test_answers_with_anything_in_them_are_outcomes(status, body):
    """For every record of the batch."""
    destination = loaded(NORTHWIND, NORTHWIND_TOKEN="t")
    answer = Answer(status=status, body=json.dumps({"errors": body}).encode())
    people = [{"email": "a@example.com"}, {"email": "b@example.com"}]
    assert len(performed(destination, owed_of(people, external_id="9001"), Scripted(answer)).outcomes) == 2


TOKENS = st.sampled_from([*"{}[]():,.-*^?$\\ \x00é", "$$", "$$.records", "$$.connection.x", "$number", '"a"', "'b'", "email", "1",
                          "/*", "*/", "`c`", "true", "and", "~>", ".."])  # fmt: skip


@QUICK
@given(st.lists(TOKENS, max_size=25).map("".join))
def test_any_template_text_parses_or_tells_faults(template):
    """Never both, never neither."""
    node, faults = parse(template)
    assert (node is None) == bool(faults)


@QUICK
@given(values, values)
def test_any_pair_is_converted_or_refused(config, connection):
    """In sentences."""
    imported = convert(config, connection)
    assert imported.problems or imported.definition
