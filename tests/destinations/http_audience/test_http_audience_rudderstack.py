"""RudderStack's Custom Audience configurations: the template language, its refusals, and pairs that give the same requests."""

import asyncio
import json

import pytest
from http_audience_cases import findings_of

from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.rehearsing import Setting, preview, rudderstack_records_of
from gateway.destinations.http_audience.rudderstack.bodies import tree_of
from gateway.destinations.http_audience.rudderstack.convert import convert
from gateway.destinations.http_audience.rudderstack.grammar import parse
from gateway.service.definition_verbs import imported_pair


def field(name, *, required=False, custom=False, hash_type="NONE"):
    return {"name": name, "isRequired": required, "isCustom": custom, "hashType": hash_type}


TEMPLATE = """{
  "list": $$.connection.audienceId, /* which one */
  'rows': [$$.records.[email, phone]],
  "people": [$$.records.{"em": email, "v": $number(ltv), "note": "x"}],
  "emails": [$$.records.email],
  "all": $$.records,
  "flat": [$$.connection.audienceName, 1, null],
  "deep": {"a": [], "b": {}, "c": [true, false], "d": -1.5e2}
}"""
CONFIG = {
    "baseUrl": "https://api.northwind.example/v1/",
    "authenticationType": "bearerToken",
    "bearerToken": "tok-en",
    "headers": [{"key": "X-A", "value": "1"}, {"key": "", "value": "gone"}, {"key": "x-a", "value": "2"}],
    "actions": {
        "insert": {
            "method": "POST", "endpoint": "/lists/{{connection.audienceId}}/users", "batchSize": 2, "requestBody": TEMPLATE,
            "fields": [field("email", required=True, hash_type="SHA256"), field("phone"), field("ltv"), field("src", custom=True)],
        },
        "update": {"useInsertConfig": True},
        "delete": {
            "method": "DELETE", "endpoint": "lists/{{connection.audienceId}}/users", "batchSize": 500,
            "requestBody": '{"gone": [$$.records.{"em": email}]}', "fields": [field("email", hash_type="SHA256")],
        },
    },
}  # fmt: skip
CONNECTION = {
    "audienceId": "9 1",
    "audienceName": "VIP",
    "isHashRequired": True,
    "customMappings": [{"from": "crm", "to": "src"}],
}


def previewed(records, config=CONFIG, connection=CONNECTION):
    imported = convert(config, connection)
    assert imported.problems == ()
    destination, problems = load_definition(findings_of(imported.definition), variables=imported.secrets)
    assert destination is not None, problems
    (mapping,) = imported.mapping["mappings"]
    (entry,) = mapping["audiences"].values()
    static = {key: value for key, value in mapping["fields"].items() if not isinstance(value, dict)}
    setting = Setting(entry=entry, static=static, hashing=mapping["hashing"])
    return asyncio.run(preview(destination.file, rudderstack_records_of(records), setting))


def test_check_2_a_pair_gives_its_requests():
    """Lists stay lists, rows keep their columns, updates share the inserts' batches, values are encoded in the path."""
    shown = previewed([
        {"type": "record", "action": "insert", "identifiers": {"email": "a@b.example", "phone": "1", "ltv": "007"}},
        {"type": "record", "action": "update", "identifiers": {"email": "c@d.example"}},
        {"type": "record", "action": "insert", "identifiers": {"phone": "2"}},
        {"type": "record", "action": "delete", "identifiers": {"email": "e@f.example"}},
        {"type": "record", "action": "upsert", "identifiers": {}},
        {"type": "record", "action": "insert", "identifiers": []},
    ])  # fmt: skip
    first, last = shown["requests"]
    assert (first["action"], first["method"], first["record_ids"]) == ("add", "POST", [1, 2])
    assert first["url"] == "https://api.northwind.example/v1/lists/9%201/users"
    assert first["headers"] == {"Content-Type": "application/json", "x-a": "2", "Authorization": "Bearer ***"}
    body = first["body"]
    assert body["list"] == "9 1"
    (one, two) = body["emails"]
    assert body["rows"] == [[one, "1"], [two, None]]
    assert body["people"] == [{"em": one, "v": 7, "note": "x"}, {"em": two, "note": "x"}]
    assert body["all"][0] == {"email": one, "phone": "1", "ltv": "007", "src": "crm"}
    assert body["flat"] == ["VIP", 1, None]
    assert body["deep"] == {"a": [], "b": {}, "c": [True, False], "d": -150.0}
    assert (last["action"], last["record_ids"], list(last["body"])) == ("remove", [4], ["gone"])
    assert [(one["record_id"], one["code"]) for one in shown["rejected"]] == [
        (3, "missing_required_field"), (5, "record_invalid"), (6, "record_invalid"),
    ]  # fmt: skip


def test_secrets_are_named_and_never_written():
    """Their values come apart, once."""
    imported = convert(CONFIG, CONNECTION)
    assert imported.secrets == {"NORTHWIND_TOKEN": "tok-en"}
    assert "tok-en" not in json.dumps([imported.definition, imported.mapping])
    assert imported.mapping["settings"] == {"NORTHWIND_TOKEN": {"$env": "NORTHWIND_TOKEN"}}


def test_hashing_off_and_literals_of_the_connection():
    """Values of the connection that are no texts are written into the body; an unmapped pair gives places to fill in."""
    config = json.loads(json.dumps(CONFIG))
    config["actions"]["insert"]["requestBody"] = (
        '{"n": $$.connection.size, "h": $$.connection.isHashRequired, "e": [$$.records.email]}'
    )
    shown = previewed(
        [{"action": "insert", "identifiers": {"email": "ab" * 32}}],
        config,
        {**CONNECTION, "isHashRequired": False, "size": 5},
    )
    assert shown["requests"][0]["body"] == {"n": 5, "h": False, "e": ["ab" * 32]}
    alone = convert(CONFIG)
    assert alone.problems == ()
    assert alone.mapping["mappings"][0]["audiences"] == {"fill in": {"external_id": "fill in"}}


REFUSED = [
    '{"a": $$.records.{"x": y}}', '{"a": $$.records.[x]}', '{"a": [$$.records.devices.{"x": y}]}', '{"a": email}', "[email]",
    '{"a": $sum(x)}', '{"a": $number()}', '{"a": $number(1, 2)}', '{"a": [$$.records.{"x": a + b}]}',
    '{"a": [$$.records.{"x": a & b}]}',
    '{"a": [$$.records.{"x": a - 1}]}', '{"a": [$$.records.{"x": a * 1}]}', '{"a": [$$.records.{"x": a / 1}]}',
    '{"a": 1 = 1}', '{"a": 1 < 2}',
    '{"a": 1 > 2}', '{"a": true and false}', '{"a": true or false}', '{"a": 1 in [1]}', '{"a": [1..5]}', '{"a": true ? 1 : 2}',
    '{"a": $$.records[0]}', '{"a": $$.records[x=1]}', '{"a": $$["x"]}', '{"a": $$.*}', '{"a": $$.**.x}',
    '{"a": [$$.records.{"x": %.y}]}',
    '{"a": $$.records^(x)}', '{"a": $x}', '{"a": $}', '{"a": (1)}', '{"a": function($x) { $x }}', '{"a": $number(?)}',
    '{"a": 1 ~> $number()}',
    '{"a": $$.records ~> |x|{}|}', '{"a": /ab/}', '{"a": [$$.records.{"x": y}.z]}',
    '{"a": $$.records{ "k": $sum(v) }}', "{email: 1}",
    '{"a": [$$.records.{name: 1}]}', "{1: 2}", '{"a": 1, "a": 2}', "$$", '{"a": $$}', '{"a": $$.connection}', '{"a": $$.nothing.x}',
    '{"a": $$.records.x.y}', '"text"', "5", "$$.connection.x", "null", "", '{"a": 1,}', "[1,]", '{"a" 1}',
    '{"a": 1e400}', '{"a": ' + "1" * 5000 + "}", '{"a": 1', "[1", '{"a": "x', "{'a': 'x}",
    '{"a": [1, $$.records.{"x": y}]}', '{"a": [$$.records.{"x": [$$.records.{"y": z}]}]}', '{"a": 1} 2',
    '{"a": "\\ud800"}', '{"a": \x01}', '{"a": 01}',
    '{"a": +1}', '{"a": "\\q"}', "{" * 30 + "}" * 30, '{"a":' * 25 + "1" + "}" * 25, "[" * 60_000, "{" + '"a":[' * 30_000,
]  # fmt: skip


@pytest.mark.parametrize("template", REFUSED, ids=lambda text: text[:40])
def test_check_9_refused_templates(template):
    """Everything but placing values, with the character where it stands."""
    node, faults = parse(template)
    assert node is None
    assert faults
    assert all(0 <= fault.at <= len(template) and fault.what for fault in faults)


def test_all_faults_of_a_template_are_told_together():
    """In the order of the text."""
    _, faults = parse('{"a": 1 + 2, "b": $sum(x), "c": (3), "d": [4, x], "a": 5}')
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert len(faults) == 5


@pytest.mark.parametrize(
    ("template", "tree"),
    [
        ('{"a": [$$.records.`first name`]}', {"a": {"@each": {"in": "$.records", "do": {"@path": "$.record.first name"}}}}),
        ("[$$.records.{'a': \"\\u00e9\"}]", {"@each": {"in": "$.records", "do": {"a": "é"}}}),
        ('{"a": [$$.records.{"ids": [email, phone]}]}',
         {"a": {"@each": {"in": "$.records", "do": {"ids": {"@compact": {"items": [
             {"@path": "$.record.email"}, {"@path": "$.record.phone"}]}}}}}}),
        ('{"a": $number("5")}', {"a": {"@cast": {"to": "number", "value": "5", "leading_zeros": True}}}),
        ("{}", {}), ("[]", []), ('{"a": $$.connection.a.b}', {"a": {"@path": "$.connection.a.b"}}),
    ],
)  # fmt: skip
def test_templates_become_trees(template, tree):
    """Rows keep their places, other lists with paths lose what is absent."""
    node, faults = parse(template)
    assert faults == []
    assert tree_of(node, {}) == tree


WRONG = [
    ({"authenticationType": "magic"}, {}), ({"authenticationType": None}, {}), ({"bearerToken": ""}, {}),
    ({"bearerToken": None}, {}),
    ({"authenticationType": "basicAuth", "basicAuthUserName": "u"}, {}), ({"authenticationType": "apiKey", "apiKeyValue": "v"}, {}),
    ({"authenticationType": None, "rudderAccountId": "x"}, {}), ({"actions": {}}, {}), ({"actions": None}, {}),
    ({"actions": {"INSERT": {}}}, {}), ({"actions": {"insert": {"method": "BREW"}}}, {}), ({"baseUrl": None}, {}),
    ({"headers": {}}, {}), ({"headers": [{"key": "X", "value": "{{connection.audienceId}}"}]}, {}),
    *(({"baseUrl": one}, {}) for one in (
        "ftp://a.example", "https://10.0.0.1/v1", "https://[::1]/", "https://localhost.example.com", "https://x.localhost",
        "https://x.ngrok.io/v1", "https://intranet/v1", "https://a.example.c0m", "https://a.example:9/", "https://a.example:x/",
        "https://a..example/", "https://a.e/",
    )),
    ({"actions": {"insert": {**CONFIG["actions"]["insert"], "fields": [{"name": "email"}]}}}, {}),
    ({"actions": {"insert": {**CONFIG["actions"]["insert"], "fields": [{**field("email"), "hashType": ["MD5"]}]}}}, {}),
    ({"actions": {"insert": {**CONFIG["actions"]["insert"], "useInsertConfig": True}}}, {}),
    ({"actions": {"insert": {**CONFIG["actions"]["insert"], "endpoint": "https://api.northwind.example/v1/users"}}}, {}),
    ({}, {"audienceId": 9}), ({}, {"audienceId": ""}), ({}, {"isHashRequired": None}),
    ({}, {"customMappings": [{"from": "", "to": "x"}]}),
    ({}, {"customMappings": [{"from": "x", "to": ""}]}), ({}, {"customMappings": {}}),
    ({"actions": {**CONFIG["actions"], "insert": {**CONFIG["actions"]["insert"], "endpoint": "/{{ connection.audienceId }}"}}}, {}),
    ({"actions": {**CONFIG["actions"], "insert": {**CONFIG["actions"]["insert"], "batchSize": 5001}}}, {}),
    ({"actions": {**CONFIG["actions"], "insert": {**CONFIG["actions"]["insert"], "extra": 1}}}, {}),
    ({"actions": {**CONFIG["actions"], "insert": {**CONFIG["actions"]["insert"], "requestBody": "$$"}}}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("config", "connection"), WRONG, ids=str)
def test_a_pair_that_is_wrong_is_told_and_converted_to_nothing(config, connection):
    """Each problem with its place in theirs."""
    imported = convert({**CONFIG, **config}, {**CONNECTION, **connection})
    assert imported.problems
    assert all(pointer.startswith(("/destination", "/connection")) for pointer, _ in imported.problems)
    assert (imported.definition, imported.mapping, imported.secrets) == ({}, {}, {})


def in_insert(**more):
    return {"actions": {**CONFIG["actions"], "insert": {**CONFIG["actions"]["insert"], **more}}}


UNUSABLE = [  # Theirs takes it, and a definition cannot hold it.
    ({"baseUrl": "https://api.northwind.example/v1?key=1"}, "/destination/baseUrl"),
    ({"baseUrl": "https://u:p@api.northwind.example/v1"}, "/destination/baseUrl"),
    ({"authenticationType": "apiKey", "apiKeyName": "X Key", "apiKeyValue": "v"}, "/destination/apiKeyName"),
    ({"headers": [{"key": "X Y", "value": "1"}]}, "/destination/headers"),
    ({"headers": [{"key": "Host", "value": "1"}]}, "/destination/headers"),
    (in_insert(endpoint="/a b"), "/destination/actions/insert/endpoint"),
    (in_insert(endpoint="/a/../b"), "/destination/actions/insert/endpoint"),
    (in_insert(endpoint="/{{{connection.audienceId}}}"), "/destination/actions/insert/endpoint"),
    (in_insert(requestBody='{"mode": $$.connection.mode}'), "/connection/mode"),
    (in_insert(fields=[field("a.b")]), "/destination/actions"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "place"), UNUSABLE, ids=str)
def test_a_pair_that_no_definition_can_hold_is_refused_with_its_place_in_theirs(config, place):
    """So that an import never writes a file which `check` then refuses."""
    imported = imported_pair({**CONFIG, **config}, {**CONNECTION, "mode": "x"})
    assert [pointer for pointer, _ in imported.problems] == [place]
    assert (imported.definition, imported.mapping, imported.secrets) == ({}, {}, {})


@pytest.mark.parametrize("slug", ["../x", "Big", "a/b"])
def test_a_name_for_the_files_is_a_slug(slug):
    """It becomes a file's name."""
    assert [pointer for pointer, _ in imported_pair(CONFIG, CONNECTION, slug=slug).problems] == ["/slug"]


def test_a_static_value_nobody_declares_is_in_whole_records():
    """Theirs puts every static value into every record, which `$$.records` then sends."""
    connection = {**CONNECTION, "customMappings": [{"from": "v", "to": "extra"}, {"from": "crm", "to": "src"}]}
    shown = previewed([{"action": "insert", "identifiers": {"email": "a@b.example"}}], connection=connection)
    assert shown["requests"][0]["body"]["all"][0]["extra"] == "v"


@pytest.mark.parametrize("value", [None, [], "x", 5, {}, {"actions": [], "headers": [1], "baseUrl": 5}])
def test_anything_may_be_handed_in(value):
    """And is answered in sentences."""
    assert convert(value, value).problems
