"""One mapping file: every kind of problem with its place and mend, warnings, secrets, corrections, cases, and the schema."""

import json
import re
from pathlib import Path

import pytest

from gateway.config.cases import read_cases
from gateway.config.files import RawFile
from gateway.config.folder import read_folder
from gateway.config.mapping_files import compile_file
from gateway.config.rulebooks import compile_rulebook
from gateway.config.schema import mapping_file_schema
from gateway.config.secrets import SecretSource
from gateway.core.definitions import Definition
from gateway.core.errors import Problem
from gateway.destinations.stackadapt.definition import DEFINITION
from gateway.service.shelf import shipped

ROOT = Path(__file__).parent.parent.parent
KNOWN = dict.fromkeys((DEFINITION.slug, *DEFINITION.names), DEFINITION)
SECRETS = SecretSource(variables={"TOKEN": "s3cret"})
GOOD = """{
  "name": "StackAdapt US",
  "destination": "stackadapt-audience",
  "settings": { "apiKey": { "$env": "TOKEN" }, "advertiser_id": "12345" },
  "mappings": [
    {
      "name": "Forward Audience Event",
      "action": "forwardAudienceEvent",
      "trigger": "type = \\"track\\"",
      "fields": { "marketing_status": "Opted-in" },
      "audiences": { "*": {} }
    }
  ]
}
"""


def compiled(
    text: str, *, stem: str = "us", secrets: SecretSource = SECRETS, known: dict[str, Definition] | None = None
):
    """The compiled file, and its problems."""
    found = compile_file(RawFile(name=f"mappings/{stem}.json", stem=stem, text=text), known or KNOWN, secrets)
    return found.destination, found.problems


def test_a_good_file_compiles_whole():
    """Settings with secrets resolved, every correction on, one mapping with its id."""
    destination, problems = compiled(GOOD)
    assert problems == []
    assert (destination.key, destination.name, destination.enabled) == ("us", "StackAdapt US", True)
    assert destination.settings["apiKey"] == "s3cret"
    assert destination.secrets == {"s3cret"}
    assert destination.corrections == {one.name for one in DEFINITION.corrections}
    (mapping,) = destination.mappings
    assert (mapping.key, mapping.fields["marketing_status"]) == ("us/forward-audience-event", "Opted-in")
    assert mapping.audiences == {"*": {}}


def test_the_names_of_segment_and_the_defaults_of_the_action_are_enough():
    """Another slug of the same destination; name, action and trigger left out."""
    text = json.dumps(
        {
            "destination": "actions-stackadapt-audiences",
            "settings": {"apiKey": {"$env": "TOKEN"}, "advertiser_id": "12345"},
            "mappings": [{"name": "All", "fields": {"marketing_status": "Opted-in"}}],
        }
    )
    destination, problems = compiled(text, stem="plain")
    assert problems == []
    assert (destination.name, destination.mappings[0].trigger_text) == ("plain", DEFINITION.actions[0].trigger)


# What is changed in the good file, to what; pointer, line and column of the problem; what it says; how to mend it.
MISTAKES = [
    (
        '"name": "StackAdapt US"',
        '"nmae": "x"',
        "/nmae",
        (2, 11),
        "`nmae` is not a member of a mapping file",
        "Did you mean `name`?",
    ),
    ('"name": "StackAdapt US"', '"zzz": 1', "/zzz", (2, 10), "`zzz` is not a member", "Known members: $schema, name"),
    (
        '"name": "StackAdapt US"',
        '"name": 5',
        "/name",
        (2, 11),
        "must be a text that is not empty, but it is a number",
        "",
    ),
    ('"name": "StackAdapt US"', '"enabled": "yes"', "/enabled", (2, 14), "must be true or false, but it is a text", ""),
    (
        '"name": "StackAdapt US",',
        '"name": "a", "name": "b",',
        "/name",
        (2, 24),
        "stands here twice",
        "Keep one of them",
    ),
    (
        '"stackadapt-audience"',
        '"stackadpt"',
        "/destination",
        (3, 18),
        "There is no destination `stackadpt`",
        "Known: stackadapt-audience",
    ),
    ('"destination": "stackadapt-audience",', "", "", (1, 1), "`destination` is missing", 'Add `"destination": "…"`'),
    ('{ "$env": "TOKEN" }', '"abc123"', "/settings/apiKey", (4, 27), "stands here in clear", '{"$env": "NAME"}'),
    (
        '{ "$env": "TOKEN" }',
        '{ "$env": "MISSING" }',
        "/settings/apiKey",
        (4, 27),
        "MISSING is not set",
        "export MISSING",
    ),
    ('{ "$env": "TOKEN" }', '{ "$env": 5 }', "/settings/apiKey/$env", (4, 37), "must name a variable", ""),
    (
        '{ "$env": "TOKEN" }',
        '{ "$file": "/not/there" }',
        "/settings/apiKey",
        (4, 27),
        "cannot be read",
        "Put the secret there",
    ),
    ('"apiKey": { "$env": "TOKEN" }, ', "", "/settings", (4, 15), "The setting `apiKey`", '{"$env": "NAME"}'),
    (
        '"advertiser_id": "12345"',
        '"advertiserId": "12345"',
        "/settings/advertiserId",
        (4, 64),
        "is not a member of the settings",
        "`advertiser_id`",
    ),
    (
        '"advertiser_id": "12345"',
        '"advertiser_id": {"a": 1}',
        "/settings",
        (4, 15),
        "Advertiser ID must be a string",
        "",
    ),
    ('"settings": {', '"settings": 5, "x": {', "/settings", (4, 15), "must be an object, but it is a number", ""),
    (
        '"mappings": [',
        '"mappings": 5, "x": [',
        "/mappings",
        (5, 15),
        "must be a list of mappings, but it is a number",
        "",
    ),
    ('"mappings": [', '"mappings": [], "x": [', "/mappings", (5, 15), "it is empty", ""),
    ('"mappings": [', '"x": [', "", (1, 1), "it is missing", ""),
    ('"mappings": [', '"mappings": [5,', "/mappings/0", (5, 16), "a mapping must be an object", ""),
    ('"name": "Forward Audience Event",', "", "/mappings/0", (6, 5), "`name` is missing", ""),
    ('"Forward Audience Event"', '"???"', "/mappings/0/name", (7, 15), "no letter or digit", ""),
    (
        '"forwardAudienceEvent"',
        '"forwardEvent"',
        "/mappings/0/action",
        (8, 17),
        "has no action `forwardEvent`",
        "It offers `forwardAudienceEvent`",
    ),
    (
        '"type = \\"track\\""',
        '"type = track and ("',
        "/mappings/0/trigger",
        (9, 18),
        "This trigger cannot be read",
        "never matches",
    ),
    (
        '"type = \\"track\\""',
        "5",
        "/mappings/0/trigger",
        (9, 18),
        "must be FQL text or a condition tree, but it is a number",
        "",
    ),
    ('"type = \\"track\\""', '{"operator": "??"}', "/mappings/0/trigger", (9, 18), "cannot be read", ""),
    ('{ "marketing_status": "Opted-in" }', "5", "/mappings/0/fields", (10, 17), "`fields` must be an object", ""),
    ('{ "marketing_status": "Opted-in" }', "{}", "/mappings/0/fields", (10, 17), "`marketing_status`", "Opted-in"),
    ('"Opted-in"', '"Opted-up"', "/mappings/0/fields/marketing_status", (10, 39), "must be one of", ""),
    ('"Opted-in"', '{"@path": "$.x"}', "/mappings/0/fields/marketing_status", (10, 39), "takes a plain value only", ""),
    (
        '"Opted-in"',
        '"Opted-in", "emial": "x"',
        "/mappings/0/fields/emial",
        (10, 60),
        "is not a member of the fields",
        "Did you mean `email`?",
    ),
    ('"Opted-in"', '"Opted-in", "email": {"@pth": "$.x"}', "/mappings/0/fields/email", (10, 60), "@pth", ""),
    ('"Opted-in"', '"Opted-in", "email": {"@path": 5}', "/mappings/0/fields/email/@path", (10, 70), "", ""),
    ('{ "*": {} }', "{}", "/mappings/0/audiences", (11, 20), "1 to 10000 audiences", 'Use `"*"`'),
    ('{ "*": {} }', '{ "vip": 5 }', "/mappings/0/audiences/vip", (11, 29), "must be an object", ""),
    (
        '{ "*": {} }',
        '{ "v/p": {"regoin": "US"} }',
        "/mappings/0/audiences/v~1p/regoin",
        (11, 40),
        "`regoin` is not a member",
        "",
    ),
    (
        '{ "*": {} }',
        '{ "*": {} }, "integrations": "no"',
        "/mappings/0/integrations",
        (11, 49),
        "must be one of honour, ignore",
        "",
    ),
    ('{ "*": {} }', '{ "*": {} }, "accounts": 1', "/mappings/0/accounts", (11, 45), "must be true or false", ""),
    ('{ "*": {} }', '{ "*": {} }, "sync_mode": "all"', "/mappings/0/sync_mode", (11, 46), "must be one of", ""),
    (
        '"mappings": [',
        '"corrections": {"escape": false}, "mappings": [',
        "/corrections/escape",
        (5, 29),
        "is not a member of corrections",
        "escape_text",
    ),
    (
        '"mappings": [',
        '"corrections": {"escape_text": 0}, "mappings": [',
        "/corrections/escape_text",
        (5, 34),
        "must be true or false",
        "",
    ),
    ('"mappings": [', '"corrections": "none", "mappings": [', "/corrections", (5, 18), "must be an object", ""),
]


@pytest.mark.parametrize(
    ("before", "after", "pointer", "place", "says", "mend"),
    MISTAKES,
    ids=[row[1] or f"no {row[0]}" for row in MISTAKES],
)
def test_a_mistake_is_told_with_its_place_and_its_mend(before, after, pointer, place, says, mend):
    """File, JSON Pointer, line and column of the value, what is wrong, and what to write instead; nothing is compiled."""
    assert GOOD.count(before) == 1
    destination, problems = compiled(GOOD.replace(before, after))
    assert destination is None
    found = [problem for problem in problems if problem.pointer == pointer and says in problem.what]
    assert found, problems
    assert (found[0].file, found[0].severity) == ("mappings/us.json", "error")
    assert (found[0].line, found[0].column) == place
    assert mend in found[0].mend


def test_a_syntax_error_is_told_where_it_stands():
    """The first fault only: what follows cannot be known."""
    (problem,) = compiled(GOOD.replace('"settings"', "settings"))[1]
    assert problem == Problem(
        file="mappings/us.json",
        what='This is not JSON: A member name in double quotes should stand here, such as "name".',
        line=4,
        column=3,
    )


def test_all_problems_of_all_files_are_told_at_once(tmp_path):
    """Three broken files and the sources; a good one beside them does not help."""
    (tmp_path / "a.json").write_text(GOOD.replace('"Opted-in"', '"x", "emial": 1').replace('"enabled"', ""))
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_bytes(b'{"destination": "\xff"}')
    (tmp_path / "good.json").write_text(GOOD)
    (tmp_path / "sources.json").write_text('{"one": {}}')
    loaded = compile_rulebook(read_folder(tmp_path), lambda _: (KNOWN, []), SECRETS)
    assert loaded.value is None
    assert {Path(problem.file).name for problem in loaded.errors} == {"a.json", "b.json", "c.json", "sources.json"}
    assert sum(Path(problem.file).name == "a.json" for problem in loaded.errors) == 2


def test_two_mappings_of_one_name_are_told():
    """Their ids would be the same, whatever the letter case and punctuation."""
    file = json.loads(GOOD)
    file["mappings"].append({**file["mappings"][0], "name": "forward: audience event!"})
    _, problems = compiled(json.dumps(file))
    assert [problem.pointer for problem in problems] == ["/mappings/1/name"]
    assert "Mapping 1 has the same name" in problems[0].what


def test_a_file_name_that_cannot_be_an_id_is_told():
    """It names the lane, in addresses and on the command line."""
    _, problems = compiled(GOOD, stem="über us")
    assert "cannot name a destination" in problems[0].what


def test_what_surely_surprises_is_a_warning_with_its_column():
    """Segment's semantics hold all the same, and the file loads."""
    destination, problems = compiled(GOOD.replace('"type = \\"track\\""', '"event == \\"Entered\\""'))
    assert destination is not None
    assert {problem.severity for problem in problems} == {"warning"}
    assert problems[0].pointer == "/mappings/0/trigger"
    assert problems[0].what.startswith("Column 7: ")
    assert (problems[0].line, problems[0].column) == (9, 18 + 7)
    assert problems[0].mend


def test_what_an_importer_left_to_fill_in_is_a_warning_wherever_it_stands():
    """As the key of an audience and as a value; words that only hold it are left alone."""
    text = GOOD.replace('"12345"', '"Fill in "').replace('"*": {}', '"fill in": {}').replace("Forward", "Fill in")
    _destination, problems = compiled(text)
    assert [(one.pointer, one.line, one.severity) for one in problems] == [
        ("/settings/advertiser_id", 4, "warning"),
        ("/mappings/0/audiences/fill in", 11, "warning"),
    ]
    assert "the key or id of your audience" in problems[1].mend


def test_a_secret_that_is_not_set_is_a_warning_where_nothing_is_sent():
    """`gateway check` on a build machine compiles without any secret."""
    destination, problems = compiled(GOOD, secrets=SecretSource(variables={}, strict=False))
    assert destination is not None
    assert [(problem.severity, problem.pointer) for problem in problems] == [("warning", "/settings/apiKey")]


def test_a_secret_may_lie_in_a_file(tmp_path):
    """Stripped, as Docker and Kubernetes write them; one that is empty or no text is a problem."""
    file = tmp_path / "token"
    text = GOOD.replace('{ "$env": "TOKEN" }', json.dumps({"$file": str(file)}))
    file.write_text(" from-a-file\n")
    assert compiled(text)[0].settings["apiKey"] == "from-a-file"
    for content, says in ((b" \n", "is empty"), (b"\xff\xfe", "is not UTF-8"), (b"x" * 70_000, "larger than")):
        file.write_bytes(content)
        assert says in compiled(text)[1][0].what


def test_corrections_are_switched_one_by_one_or_together():
    """On by default."""
    every = {one.name for one in DEFINITION.corrections}
    for given, on in (
        ('"off"', set()),
        ('"on"', every),
        ('{"escape_text": false}', every - {"escape_text"}),
        ('{"escape_text": true}', every),
    ):
        destination, problems = compiled(GOOD.replace('"mappings": [', f'"corrections": {given}, "mappings": ['))
        assert (problems, destination.corrections) == ([], on)


def test_fields_are_laid_over_the_defaults_and_null_takes_one_away():
    """A key replaces its default whole."""
    fields = '{ "marketing_status": "Opted-in", "email": {"@path": "$.properties.mail"}, "standard_traits": null }'
    destination, problems = compiled(GOOD.replace('{ "marketing_status": "Opted-in" }', fields))
    assert problems == []
    laid = destination.mappings[0].fields
    assert laid["email"] == {"@path": "$.properties.mail"}
    assert "standard_traits" not in laid
    assert "user_id" in laid


CASES = [
    ('{"a": 1}', "", "A case file is a list"),
    ('[{"name": "x", "mapping": "M", "event": {}, "expect": {}}]', "/0/expect", "A case expects"),
    ('[{"name": "x", "mapping": "M", "event": 5, "expect": {"skipped": "x"}}]', "/0/event", "must be an event"),
    (
        '[{"name": "x", "mapping": "M", "event": "no.json", "expect": {"skipped": "x"}}]',
        "/0/event",
        "There is no file `no.json`",
    ),
    (
        '[{"name": "x", "mapping": "M", "event": "../secret", "expect": {"skipped": "x"}}]',
        "/0/event",
        "There is no file",
    ),
    (
        '[{"name": "x", "mapping": "M", "event": {}, "expect": {"skipped": 5}}]',
        "/0/expect/skipped",
        "the reason's code",
    ),
    (
        '[{"name": "x", "mapping": "M", "event": {}, "expect": {"skipped": "x"}, "expct": {}}]',
        "/0/expct",
        "is not a member of a case",
    ),
    ('[{"mapping": "M", "event": {}, "expect": {"skipped": "x"}}]', "/0", "`name` is missing"),
    ("[5]", "/0", "a case must be an object"),
    ("[", "", "This is not JSON"),
]


@pytest.mark.parametrize(("text", "pointer", "says"), CASES, ids=[row[2] for row in CASES])
def test_a_mistake_in_a_case_is_told_with_its_place(tmp_path, text, pointer, says):
    """As in a mapping file."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "us.json").write_text(text)
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "secret").write_text("{}")
    _, problems = read_cases(tmp_path, tmp_path / "fixtures")
    assert [(problem.pointer, says in problem.what) for problem in problems] == [(pointer, True)]


def fits(value: object, schema: object, whole: dict[str, object]) -> bool:
    """Whether a value satisfies a schema, for the words of JSON Schema that ours uses."""
    if schema is True:
        return True
    assert isinstance(schema, dict)
    known = {
        "$schema", "$ref", "$defs", "title", "description", "default", "type", "enum", "const", "properties", "required",
        "patternProperties", "additionalProperties", "items", "minItems", "maxItems", "minProperties", "maxProperties",
        "minimum", "maximum", "exclusiveMinimum", "pattern", "minLength", "maxLength", "anyOf", "oneOf", "allOf", "if",
        "then", "else", "not", "format", "examples", "propertyNames",
    }  # fmt: skip
    assert schema.keys() <= known, f"words this check does not know: {schema.keys() - known}"
    if "$ref" in schema:
        return fits(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if "type" in schema:
        listed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not any(number if one in ("number", "integer") else isinstance(value, types[one]) for one in listed):
            return False
    checks = [
        "enum" not in schema or value in schema["enum"],
        all(fits(value, one, whole) for one in schema.get("allOf", [])),
        "anyOf" not in schema or any(fits(value, one, whole) for one in schema["anyOf"]),
        "oneOf" not in schema or sum(fits(value, one, whole) for one in schema["oneOf"]) == 1,
        "if" not in schema or not fits(value, schema["if"], whole) or fits(value, schema.get("then", True), whole),
    ]
    if isinstance(value, str) and re.search(schema.get("pattern", ""), value) is None:
        return False
    if isinstance(value, dict):
        known_members, prefixes = schema.get("properties", {}), schema.get("patternProperties", {})
        rest = schema.get("additionalProperties", True)
        checks.append(all(name in value for name in schema.get("required", [])))
        checks.append(len(value) >= schema.get("minProperties", 0))
        for name, member in value.items():
            if name in known_members:
                checks.append(fits(member, known_members[name], whole))
            elif not any(re.search(pattern, name) for pattern in prefixes):
                checks.append(rest is not False and fits(member, rest, whole))
    if isinstance(value, list):
        checks.append(len(value) >= schema.get("minItems", 0))
        checks += [fits(one, schema.get("items", True), whole) for one in value]
    return all(checks)


SCHEMA = mapping_file_schema(one.definition for one in shipped().values())
SHIPPED = sorted(path for path in (ROOT / "mappings").glob("*.json") if path.name != "sources.json")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_takes_what_ships(path):
    """Editors mark nothing in an example."""
    whole = json.loads(json.dumps(SCHEMA, default=str))
    assert fits(json.loads(path.read_text()), whole, whole)


def test_the_schema_marks_what_the_gateway_refuses():
    """A wrong member, a secret in clear, an unknown field, an unknown correction, a choice that is none."""
    whole = json.loads(json.dumps(SCHEMA, default=str))
    assert fits(json.loads(GOOD), whole, whole)
    for before, after in (
        ('"mappings": [', '"mapings": ['),
        ('{ "$env": "TOKEN" }', '"in-clear"'),
        ('"Opted-in"', '"Opted-in", "emial": "x"'),
        ('"Opted-in"', '"Opted-up"'),
        ('"forwardAudienceEvent"', '"forward"'),
        ('"mappings": [', '"corrections": {"escape": false}, "mappings": ['),
        ('"stackadapt-audience"', '"Stack Adapt"'),
    ):
        assert not fits(json.loads(GOOD.replace(before, after)), whole, whole), after
