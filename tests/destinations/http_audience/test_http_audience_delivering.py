"""Whole batches: order, what stops the rest, lists made at first need, whole lists, what config knows, the contract."""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from http_audience_cases import (
    NOW_US,
    SMALL,
    TOKEN,
    Scripted,
    changed,
    findings_of,
    loaded,
    owed_of,
    performed,
    problems_of,
    said,
)  # fmt: skip

from gateway.config.files import RawFile
from gateway.config.mapping_files import compile_file
from gateway.config.secrets import SecretSource
from gateway.core.outcomes import Delivered, Refused, Unauthorized, Unreachable
from gateway.core.payloads import compile_check
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.http_audience.list_verbs import ListShown, ListWanted, keep_list
from gateway.destinations.http_audience.lists import ListError
from gateway.destinations.http_audience.loading import definitions_from
from gateway.destinations.rehearsal import FreshNotes, rehearse

NORTHWIND = json.loads((Path(__file__).parents[3] / "mappings/destinations/northwind-ads.json").read_text("utf-8"))
BOTH = changed(SMALL, actions__remove={
    "method": "DELETE", "path": "/people", "batch": {"max_records": 100},
    "body": {"gone": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}},
})  # fmt: skip


def owed(number, operation, email, member, **more):
    return Owed(id=number, operation=operation, payload={"email": email}, member=member, **more)


def sent_by(partner):
    return [(one.method, json.loads(one.body)) for one in partner.requests]


def test_changes_of_one_person_never_overtake_each_other():
    """In and out and in again: three waves; others share what requests they can."""
    partner = Scripted(said(200))
    performed(loaded(BOTH), (
        owed(1, "enter", "a", "A"), owed(2, "enter", "b", "B"), owed(3, "exit", "a", "A"), owed(4, "exit", "c", "C"),
        owed(5, "enter", "a", "A"),
    ), partner)  # fmt: skip
    assert sent_by(partner) == [
        ("POST", {"people": [{"e": "a"}, {"e": "b"}]}), ("DELETE", {"gone": ["c"]}), ("DELETE", {"gone": ["a"]}),
        ("POST", {"people": [{"e": "a"}]}),
    ]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind"), [(said(500), Unreachable), (said(401), Unauthorized)])
def test_what_holds_one_request_up_stops_those_behind_it(answer, kind):
    """They did not go out; what was sent before stays delivered."""
    partner = Scripted(said(200), answer)
    found = performed(loaded(BOTH), (
        owed(1, "enter", "a", "A"), owed(2, "exit", "b", "B"), owed(3, "exit", "a", "A"), owed(4, "enter", "b", "B"),
    ), partner).outcomes  # fmt: skip
    assert [type(one) for one in found] == [Delivered, kind, kind, kind]
    assert len(partner.requests) == 2
    assert kind is not Unreachable or (found[1].sent, found[3].sent) == (True, False)


def test_records_of_different_lists_go_apart():
    """Each to its own address."""
    given = changed(
        SMALL,
        target={"audience_id": {"label": "Id", "required": True}},
        actions__add__path="/l/{{connection.audience_id}}",
    )
    partner = Scripted(said(200))
    found = performed(loaded(given), (
        owed(1, "enter", "a", "A", external_id="1"), owed(2, "enter", "b", "B", audience_settings={"external_id": "2"}),
        owed(3, "enter", "c", "C", external_id="1"), owed(4, "enter", "d", "D"),
    ), partner).outcomes  # fmt: skip
    assert [one.url.rpartition("/")[2] for one in partner.requests] == ["1", "2"]
    assert [type(one) for one in found] == [Delivered] * 3 + [Refused]
    assert "external_id" in found[3].reason


CREATE = {
    "get": {
        "method": "GET",
        "path": "/lists",
        "query": {"name": "{{audience.name}}"},
        "save": {"audience_id": "data[0].id"},
    },
    "create": {
        "method": "POST",
        "path": "/lists",
        "body": {"name": {"@path": "$.audience.name"}},
        "save": {"audience_id": "data.id"},
    },
    "delete": {"method": "DELETE", "path": "/lists/{{connection.audience_id}}"},
}
WITH_LISTS = changed(
    SMALL,
    audience=CREATE,
    target={"audience_id": {"label": "Id", "required": True}},
    actions__add__path="/l/{{connection.audience_id}}",
)


def test_a_list_is_found_or_made_at_first_need():
    """Its id is kept: the next batch asks nobody."""
    for lookup, made in ((said(200, {"data": []}), 2), (said(404), 2), (said(200, {"data": [{"id": 5}]}), 1)):
        partner = Scripted(*([lookup] + ([said(201, {"data": {"id": 5}})] if made == 2 else [])), said(200))
        notes = FreshNotes()
        for number in (1, 2):
            one = owed(number, "enter", "a", "A", audience_key="vip", audience_settings={"create": True, "name": "VIP"})
            done = performed(loaded(WITH_LISTS), (one,), partner, notes=notes)
            assert [type(outcome) for outcome in done.outcomes] == [Delivered]
        assert [one.url for one in partner.requests][made:] == ["https://api.small.example/v1/l/5"] * 2
        assert partner.requests[0].url.endswith("/lists?name=VIP")


@pytest.mark.parametrize(
    ("answer", "kind"), [(said(500), Unreachable), (said(401), Unauthorized), (said(400), Refused)]
)
def test_without_a_list_nobody_is_added(answer, kind):
    """What the partner says of the list holds for the people."""
    partner = Scripted(said(404), answer)
    one = owed(1, "enter", "a", "A", audience_key="vip", audience_settings={"create": True})
    (outcome,) = performed(loaded(WITH_LISTS), (one,), partner).outcomes
    assert isinstance(outcome, kind)
    assert len(partner.requests) == 2


def test_a_list_is_deleted_only_when_told_to():
    """One that is gone already is deleted."""
    wanted = ListWanted(settings={}, entry={"external_id": "5"}, audience_key="vip")

    def deleted(answer):
        context = Context(http=Scripted(answer), notes=FreshNotes(), now_us=NOW_US)
        return asyncio.run(keep_list(loaded(WITH_LISTS), "delete", wanted, context))

    for status in (200, 404, 410):
        assert deleted(said(status)) == ListShown(audience_id="5", origin="deleted")
    with pytest.raises(ListError, match=r"^auth_failed"):
        deleted(said(403))


def test_list_verbs_need_settings_requests_and_an_id_that_can_be_used():
    """Otherwise nobody is asked."""
    bare = changed(WITH_LISTS, audience=None, auth={"type": "bearer", "token": {"$secret": "T"}})
    rows = [
        (bare, "create", {"name": "VIP"}, {}, "config_invalid"),
        (bare, "create", {"name": "VIP"}, {"T": "t"}, "action_not_configured"),
        (bare, "delete", {"external_id": "5"}, {"T": "t"}, "action_not_configured"),
        (WITH_LISTS, "delete", {}, {}, "audience_not_connected"),
    ]
    for definition, verb, entry, settings, code in rows:
        partner = Scripted(said(200))
        context = Context(http=partner, notes=FreshNotes(), now_us=NOW_US)
        wanted = ListWanted(settings=settings, entry=entry, audience_key="vip")
        with pytest.raises(ListError, match=code):
            asyncio.run(keep_list(loaded(definition), verb, wanted, context))
        assert partner.requests == []


class Rows:
    def __init__(self, *emails):
        self.members = len(emails)
        self._emails = emails

    def rows(self):
        return iter((f"user_id:{one}", {"email": one}) for one in self._emails)


def test_a_whole_list_is_one_request_or_none():
    """Two would each erase the other's people."""
    whole = {"method": "PUT", "batch": {"max_records": 3},
             "body": {"all": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}}}  # fmt: skip
    destination = loaded(changed(SMALL, actions={"replace": whole}))
    assert destination.definition.actions[0].sync_only
    for emails, kind, requests in (("abc", Delivered, 1), ("abcd", Refused, 0), ("", Refused, 0)):
        partner = Scripted(said(200))
        batch = Batch(
            action="syncAudience",
            settings={},
            corrections=frozenset(),
            owed=(Owed(id=1, operation="replace", payload={}),),
        )
        context = Context(http=partner, notes=FreshNotes(), now_us=NOW_US, snapshot=Rows(*emails))
        (outcome,) = asyncio.run(destination.perform(batch, context)).outcomes
        assert isinstance(outcome, kind), outcome
        assert len(partner.requests) == requests


def test_debug_samples_keep_the_first_bodies():
    """As many as the file says, in the destination's notes."""
    notes = FreshNotes()
    destination = loaded(changed(SMALL, limits={"debug_samples": 1}))
    for email in ("a", "b"):
        performed(destination, owed_of([{"email": email}]), Scripted(said(200)), notes=notes)
    assert asyncio.run(notes.get("debug/0")) == b'{"people":[{"e":"a"}]}'
    assert asyncio.run(notes.get("debug/1")) is None


# --- What config knows of it ---


def test_a_mapping_file_of_a_definition_compiles():
    """Settings with secrets, fields, the entry of `audiences`; plain checks of config, unchanged."""
    destination = loaded(NORTHWIND)
    mapping = {
        "destination": "northwind-ads",
        "settings": {"NORTHWIND_TOKEN": {"$env": "T"}, "base_url": "http://127.0.0.1:8090/audience-api/v3"},
        "mappings": [{"name": "All", "fields": {"email": {"@path": "$.traits.email"}, "ltv": 5, "origin": "crm"},
                      "audiences": {"vip": {"external_id": "9001", "name": "VIP"}}}],
    }  # fmt: skip
    raw = RawFile(name="n.json", stem="n", text=json.dumps(mapping))
    compiled = compile_file(raw, {"northwind-ads": destination.definition}, SecretSource(variables={"T": "tok"}))
    assert compiled.problems == []
    (one,) = compiled.destination.mappings
    assert one.check.check(one.transform.apply({"traits": {"email": "a@b.example"}}), batched=True) == {
        "email": "a@b.example", "ltv": 5, "origin": "crm",
    }  # fmt: skip
    assert one.action.list_shaped
    assert one.action.needs_audience_id
    assert destination.check_settings(compiled.destination.settings, frozenset()) == []


def test_any_type_passes_a_definitions_fields():
    """Types survive for fields that are not hashed; null and empty text go."""
    fields = loaded(changed(SMALL, fields__email__required=False)).definition.actions[0].fields
    values = {"email": ["a"], "note": {"x": [1]}, "n": 0, "other": 1}
    assert compile_check(fields).check(values, batched=True) == {"email": ["a"], "note": {"x": [1]}, "n": 0}
    assert compile_check(fields).check({"email": None, "note": "", "n": False}, batched=True) == {"n": False}


def test_several_definitions_must_not_share_a_name():
    """Neither with each other nor with a destination that ships."""
    other = {**SMALL, "slug": "other", "names": ["little"]}
    made, problems = definitions_from([findings_of(SMALL), findings_of(other)], variables={})
    assert sorted(made) == ["other", "small"]
    assert not [one for one in problems if one.severity == "error"]
    made, problems = definitions_from(
        [findings_of(SMALL), findings_of({**other, "names": ["small"]}), findings_of({**SMALL, "slug": "taboola"})],
        variables={}, taken=["taboola"],
    )  # fmt: skip
    assert sorted(made) == ["small"]
    assert [one.pointer for one in problems if one.severity == "error"] == ["/names", "/slug"]


TOKENS = {
    "type": "oauth2_client_credentials", "token_url": "https://api.small.example/token", "client_id": {"$secret": "I"},
    "client_secret": {"$secret": "S"},
}  # fmt: skip
MADE = {"method": "POST", "save": {"audience_id": "body.id"}}

WRONG = [
    {"kind": "x"}, {"slug": "Ä"}, {"slug": None}, {"unknown": 1}, {"actions": {}}, {"actions": None}, {"actions": {"insert": {}}},
    {"actions": {"update": {"same_as": "add"}}}, {"actions": {"add": {"same_as": "update"}, "update": {"same_as": "add"}}},
    {"actions__update": {"same_as": "add", "method": "PUT"}},
    {"actions__add__method": "BREW"}, {"actions__add__method": None}, {"actions__add__batch": {"max_records": 0}},
    {"actions__add__batch": {"max_records": 1.5}}, {"actions__add__batch": {"max_records": 100_001}}, {"actions__add__steps": []},
    {"actions__add__format": "xml"}, {"fields": []}, {"fields": {"a.b": {}}}, {"fields": {"@x": {}}},
    {"fields": {"x": {"hash": "crc"}}},
    {"fields": {"x": {"normalize": "none "}}}, {"fields": {"x": {"validate": "nope"}}}, {"fields": {"x": {"actions": ["insert"]}}},
    {"fields": {"x": {"hash_encoding": "base64"}}}, {"fields": {"x": {"default_country": "SE"}}},
    {"fields": {"x": {"default": {"@nope": 1}}}},
    {"target": {"x": {"pattern": "("}}}, {"target": {"x": {"pattern": "(a+)+"}}}, {"target": {"x": {"pattern": "a+b+c+d+"}}},
    {"target": {"x": {"pattern": "(?=a)"}}}, {"target": {"x": {"pattern": "^a$", "default": "b"}}}, {"target": {"mode": {}}},
    {"settings": {"x": {"secret": True, "default": "y"}}}, {"settings": {"base_url": {}}}, {"capabilities": {"remove": True}},
    {"capabilities": {"full_replace_every": "1 day"}}, {"limits": {"concurrency": 0}}, {"limits": {"tls": {"verify": False}}},
    {"limits": {"allow_hosts": ["*.example.com"]}}, {"limits": {"idempotency_header": "Host"}},
    {"auth": {"type": "bearer", "token": {"$secret": "base_url"}}}, {"auth": TOKENS, "settings": {"token_url": {}}},
    {"auth": {**TOKENS, "client_id": {"$secret": "token_url"}}}, {"target": {"audience_id": {}, "external_id": {}}},
    {"target": {"audience_name": {}, "name": {}}}, {"target": {"create": {}}, "audience": {"create": MADE}},
    {"samples": [{"id": "a", "action": "add", "fields": {}}, {"id": "a", "action": "add", "fields": {}}]},
    {"audience": {"create": {"method": "POST"}}}, {"headers": {"X": "{{connection.nope}}"}},
    {"headers": {"X": "{{settings.nope}}"}},
    {"headers": {"X": "{{steps.a}}"}}, {"actions__add__path": "/{{steps.a}}/x"},
    {"actions__add__body": {"a": {"@path": "$.steps.a"}}},
    {"actions__add": {"steps": [{"method": "GET", "save": {"a": "body.a"}}, {"method": "GET", "path": "/{{steps.b}}/x"}]}},
    {"actions__add": {"steps": [{"method": "GET", "path": "/{{steps.a}}/x", "save": {"a": "body.a"}}]}},
    {"audience": {"create": {"method": "POST", "path": "/{{steps.a}}/x", "save": {"audience_id": "body.id"}}}},
    {"response": {"async": {"job": "a", "poll": {"path": "/{{connection.nope}}/{{job}}", "until": "b"}}}},
    {"samples": {}}, {"samples": [{"id": "x"}]}, {"samples": [{"action": "remove", "fields": {}}]},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_what_is_wrong_with_a_file_is_told_with_its_place(change):
    """Nothing unknown passes, nothing is guessed."""
    assert problems_of(changed(SMALL, **change))


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_file_that_is_no_object_is_told_so(value):
    """Once."""
    assert [pointer for pointer, _ in problems_of(value)] == [""]


def test_all_problems_of_a_file_come_at_once():
    """With line and column."""
    found = findings_of(changed(SMALL, base_url="x", actions__add__method="BREW", fields__email__hash="crc"))
    definitions_from([found], variables={})
    errors = [one for one in found.problems if one.severity == "error"]
    assert [one.pointer for one in errors] == ["/base_url", "/fields/email/hash", "/actions/add/method"]
    assert all(one.line and one.column for one in errors)


def test_capabilities_follow_the_actions():
    """Or what the file says."""
    assert [getattr(loaded(NORTHWIND).capabilities, name) for name in ("add", "update", "remove", "replace")] == [
        True
    ] * 3 + [False]
    own = loaded(
        changed(SMALL, capabilities={"min_distinct": 1500, "full_replace_every": "24h", "idempotent": False})
    ).capabilities
    assert (own.min_distinct, own.full_replace_every_s, own.idempotent) == (1500, 86_400, False)


# --- The contract of all destinations ---

sys.path.append(str(Path(__file__).parents[1]))  # what the contract imports stands beside it
_spec = importlib.util.spec_from_file_location("contract_of_all", Path(__file__).parents[1] / "test_contract.py")
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)
SECRET = importlib.import_module("contract_samples").SECRET
SAMPLE = {"NORTHWIND_TOKEN": SECRET}
contract.SAMPLES = {
    **contract.SAMPLES,
    "northwind-ads": {"settings": SAMPLE, "fields": {}},
}  # in this copy of the module only


def contract_batch():
    people = tuple(
        Owed(id=number, operation="enter" if number < 2 else "exit", external_id="4711", audience_key="cart_rescue",
             member=str(number),
             payload={"email": f"{number}{contract.CANARY['email']}", "phone": contract.CANARY["phone"],
                      "origin": "Quetzalina Canarywing of 7 Plumage Row"})
        for number in range(3)
    )  # fmt: skip
    return Batch(action="syncAudience", settings=SAMPLE, owed=people, corrections=frozenset())


@pytest.mark.parametrize(("status", "headers", "kind"), contract.STATUSES)
def test_the_contract_statuses(status, headers, kind):
    """As for every destination."""
    if status != 404:  # It counts as success for removals here.
        contract.test_each_status_means_the_same_everywhere(
            loaded(NORTHWIND), [contract_batch()], status, headers, kind
        )


@pytest.mark.parametrize("body", contract.BAD_BODIES.values(), ids=contract.BAD_BODIES.keys())
def test_the_contract_bodies(body):
    """Whatever a 200 carries."""
    contract.test_a_bad_answer_is_an_outcome_and_no_exception(
        loaded(NORTHWIND), [contract_batch()], body, "application/json"
    )


def test_the_rest_of_the_contract():
    """Delivered twice the same, private, no exception in tests of credentials."""
    destination = loaded(NORTHWIND)
    batch = contract_batch()
    contract.test_when_all_is_well_everything_is_delivered_and_twice_the_same(destination, [batch])
    contract.test_groups_can_be_compared(destination, [batch])
    contract.test_a_definition_survives_json(destination)
    contract.test_settings_that_are_missing_are_told_without_a_request(destination)
    for sent in (True, False):
        contract.test_no_answer_is_tried_again_and_remembers_whether_it_left(destination, [batch], sent)
    for status in (200, 400, 401, 422, 429, 500):
        contract.test_a_partner_that_quotes_the_person_is_not_repeated(destination, [batch], status)
    first = asyncio.run(rehearse(destination, [batch], now_us=NOW_US))
    assert first.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    problems = asyncio.run(
        destination.test(SAMPLE, Context(http=Scripted(said(200)), notes=FreshNotes(), now_us=NOW_US))
    )
    assert all(problem.startswith("warning:") for problem in problems)
    assert TOKEN not in " ".join(problems)


@pytest.mark.parametrize(
    ("settings", "external_id", "expected"),
    [
        ({"external_id": "10", "event_external_id": "30"}, "20", "10"),
        ({"event_external_id": "30"}, "20", "20"),
        ({"event_external_id": "30"}, "", "30"),
    ],
)
def test_the_entrys_id_comes_first_then_the_kept_one_then_the_events(settings, external_id, expected):
    """Of a list that nobody has to make."""
    partner = Scripted(said(200))
    one = owed(1, "enter", "ann@example.com", "A", external_id=external_id, audience_settings=settings)
    performed(loaded(NORTHWIND), (one,), partner, settings={"NORTHWIND_TOKEN": TOKEN})
    assert [request.url.rsplit("/", 2)[1] for request in partner.requests] == [expected]
