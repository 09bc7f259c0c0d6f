"""What every destination promises, whoever the partner is: one suite, run for each entry of the registry and the catalogue."""

import asyncio
import contextlib
import json
from functools import cache

import msgspec
import pytest
from contract_samples import CANARY, EVERY, FAKES, LIST_PEOPLE, NOW_US, SAMPLES, TRACES

from gateway.conformance import answer_line
from gateway.core.fql import compile_trigger
from gateway.core.http_messages import ANSWER_BYTES_MAX, Answer, NoAnswerError
from gateway.core.mapping import compile_mapping
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.core.payloads import compile_check, defaults_of
from gateway.destinations import destination_named
from gateway.destinations.base import Batch, Context, Owed, ShowsMembers
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import (
    FreshNotes,
    HeldSnapshot,
    MemberCase,
    WireCase,
    member_result,
    rehearse,
    wire_result,
)
from gateway.sandbox.server import SandboxServer, shipped_partners


def list_snapshot(payload):
    """The payload's person, many times over."""
    return _many(msgspec.json.encode(payload))


@cache
def _many(payload):
    one = msgspec.json.decode(payload)
    return HeldSnapshot(
        people=tuple((f"user_id:{n}", {**one, "email": f"{n}.{one['email']}"}) for n in range(LIST_PEOPLE))
    )


def canary_event(number=0, *, flag=True):
    traits = {key: value for key, value in CANARY.items() if key != "user_id"}
    traits["email"] = f"{number}.{CANARY['email']}"  # A platform may refuse a batch that names somebody twice.
    return {
        "type": "identify",
        "userId": f"{CANARY['user_id']}-{number}",
        "messageId": f"m-{number}",
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_7Hx",
                "computation_key": "cart_rescue",
                "external_audience_id": "4711",
            }
        },
        "traits": {**traits, "cart_rescue": flag},
    }


def pytest_generate_tests(metafunc):
    """Each destination, and where a test asks for corrections those that have any with all of them and with none."""
    if "corrections" in metafunc.fixturenames:
        pairs = {}
        for slug, one in sorted(EVERY.items()):
            names = frozenset(correction.name for correction in one.definition.corrections)
            pairs |= {slug: (one, names)} | ({f"{slug}, corrections off": (one, frozenset())} if names else {})
        metafunc.parametrize(("destination", "corrections"), pairs.values(), ids=pairs)
    elif "destination" in metafunc.fixturenames:
        metafunc.parametrize("destination", [EVERY[slug] for slug in sorted(EVERY)], ids=sorted(EVERY))


@pytest.fixture
def batches(destination, corrections):
    """For each action: two people entering and one leaving, in one batch."""
    return _batches(destination.definition.slug, corrections)


@cache
def _batches(slug, corrections):
    destination = EVERY[slug]
    sample = SAMPLES[destination.definition.slug]
    made = []
    for action in destination.definition.actions:
        transform = compile_mapping({**defaults_of(action.fields), **sample["fields"]})
        check = compile_check(action.fields)
        owed = tuple(
            Owed(
                id=number,
                operation="enter" if flag else "exit",
                payload=check.check(transform.apply(canary_event(number, flag=flag)), batched=True),
                audience_key="cart_rescue",
                audience_settings=sample.get("audience_settings", {}),
                external_id="4711",
                member=f"user_id:{CANARY['user_id']}-{number}",
            )
            for number, flag in enumerate((True, True, False))
        )
        if action.sync_only:
            owed = (msgspec.structs.replace(owed[0], operation="replace", planned=True),)
        made.append(Batch(action=action.slug, settings=sample["settings"], owed=owed, corrections=corrections))
    return made


def fake_of(destination):
    """Its line of FAKES: a class, what it knows as settings, and how it comes by its audience."""
    slug = destination.definition.slug
    assert slug in FAKES, f"{slug} has no fake to be tried against: give it a line of FAKES in contract_samples.py."
    return FAKES[slug]


def snapshot_of(batch):
    """What a run of the batch's list has frozen; None where there is no list."""
    return list_snapshot(batch.owed[0].payload) if batch.owed[0].operation == "replace" else None


class OneAnswer:
    """A partner that always says the same, but to a login; an exception is raised."""

    def __init__(self, answer, destination=None):
        self.answer = answer
        self.destination = destination
        self.login = SAMPLES[destination.definition.slug].get("login") if destination else None

    async def send(self, request):
        if self.login and request.url.endswith(self.login):
            return self.destination.success_answer(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(request) if callable(self.answer) else self.answer


def perform(destination, batch, answer):
    context = Context(
        http=OneAnswer(answer, destination), notes=FreshNotes(), now_us=NOW_US, snapshot=snapshot_of(batch)
    )
    return runner().run(destination.perform(batch, context))


@cache
def runner():
    """One event loop for all that is performed: a thousand of them take longer than what runs in them."""
    return asyncio.Runner()


@pytest.fixture(scope="module", autouse=True)
def _closed_runner():
    yield
    runner().close()


def assert_private(text):
    """No person and no secret in what an operator reads."""
    for trace in TRACES:
        assert trace.casefold() not in text.casefold()


def assert_whole_and_private(performed, batch):
    """One outcome for each delivery, and nothing of anybody in any of them."""
    assert len(performed.outcomes) == len(batch.owed)
    assert_private(f"{performed.request} {performed.answer}")
    for outcome in performed.outcomes:
        assert_private(getattr(outcome, "reason", ""))
        assert isinstance(outcome, Delivered) or outcome.reason


# --- The definition ---


def fields_below(fields):
    for field in fields:
        yield field
        yield from fields_below(field.properties)


def test_a_definition_is_sane(destination):
    """Unique keys, labels, defaults that compile, triggers that parse, a page, a day it was checked."""
    definition = destination.definition
    assert destination_named(definition.slug) is destination
    assert all(destination_named(name) is destination for name in definition.names)
    assert definition.docs_page
    assert definition.api_version
    assert definition.checked_on
    groups = [definition.settings]
    for action in definition.actions:
        assert definition.action(action.slug) is definition.action(action.title) is action
        groups += [action.fields, action.audience_settings]
        compile_trigger(action.trigger)
        compile_mapping(defaults_of(action.fields))
    for fields in groups:
        compile_check(fields)
        assert len({field.key for field in fields}) == len(fields)
        for field in fields_below(fields):
            assert field.label
            assert len({one.key for one in field.properties}) == len(field.properties)
            assert len({choice.value for choice in field.choices}) == len(field.choices)
            assert field.properties == () or field.type == "object"
    assert any(field.secret for field in definition.settings)
    assert len({one.name for one in definition.corrections}) == len(definition.corrections)
    assert all(one.reason.endswith(".") for one in definition.corrections)


def test_names_do_not_clash():
    """One name means one destination."""
    names = [name for one in EVERY.values() for name in (one.definition.slug, *one.definition.names)]
    assert len(set(names)) == len(names)
    assert destination_named("no-such-destination") is None
    assert SAMPLES.keys() == EVERY.keys() >= FAKES.keys()


def test_settings_of_any_shape_are_answered_in_sentences(destination, corrections):
    """Missing, empty, numbers, lists: never an exception."""
    for value in (None, "", "x", 5, [], {}, True):
        settings = {field.key: value for field in destination.definition.settings}
        assert all(isinstance(problem, str) for problem in destination.check_settings(settings, corrections))
    assert destination.check_settings({}, corrections) is not None
    sample = SAMPLES[destination.definition.slug]["settings"]
    assert destination.check_settings(sample, corrections) == []


# --- Delivering ---


def test_when_all_is_well_everything_is_delivered_and_twice_the_same(destination, batches):
    """The same batch gives the same bytes, so that a repeat can be recognised; no address holds a person or a secret."""
    for batch in batches:
        first = asyncio.run(rehearse(destination, [batch], now_us=NOW_US, snapshot=snapshot_of(batch)))
        again = asyncio.run(rehearse(destination, [batch], now_us=NOW_US, snapshot=snapshot_of(batch)))
        assert first == again
        if batch.owed[0].operation != "replace":  # An upload in parts is named by the moment it began.
            later = asyncio.run(rehearse(destination, [batch], now_us=NOW_US + 3_600_000_000))
            assert [one.body for one in later.requests] == [one.body for one in first.requests]
        (performed,) = first.performed
        assert all(isinstance(outcome, Delivered) for outcome in performed.outcomes)
        assert performed.request
        assert performed.answer
        assert_whole_and_private(performed, batch)
        for request in first.requests:
            assert_private(request.url)
            assert 0 < request.timeout_s <= 3000
            assert request.timeout_s <= 600 or 0 < (request.idle_s or 0) <= 60


def test_groups_can_be_compared(destination, batches):
    """Equal payloads share a group."""
    for batch in batches:
        groups = [destination.group(batch.action, one.payload, batch.settings) for one in batch.owed]
        assert {hash(group) for group in groups} == {hash(groups[0])}


STATUSES = [
    (401, {}, Unauthorized), (403, {}, Unauthorized), (408, {}, Unreachable), (423, {}, Unreachable), (429, {}, Unreachable),
    (500, {}, Unreachable), (502, {}, Unreachable), (503, {}, Unreachable), (504, {}, Unreachable),
    (429, {"retry-after": "20"}, Deferred), (503, {"retry-after": "99999999"}, Deferred),
    (503, {"retry-after": "-1"}, Unreachable), (503, {"retry-after": "soon"}, Unreachable),
    (400, {}, Refused), (404, {}, Refused), (413, {}, Refused), (422, {}, Refused), (501, {}, Refused), (302, {}, Refused),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "kind"), STATUSES)
def test_each_status_means_the_same_everywhere(destination, batches, status, headers, kind):
    """Held, tried again, put off, or refused; a wait is from a second to an hour."""
    if not headers:
        kind = SAMPLES[destination.definition.slug].get("means", {}).get(status, kind)
    for batch in batches:
        performed = perform(destination, batch, Answer(status=status, headers=headers, body=b"{}"))
        assert_whole_and_private(performed, batch)
        assert {type(outcome) for outcome in performed.outcomes} == {kind}
        for outcome in performed.outcomes:
            assert not isinstance(outcome, Deferred) or 1 <= outcome.wait_s <= 3600


BAD_BODIES = {
    "nothing": b"",
    "a page": b"<!doctype html><title>Sign in</title>",
    "cut off": b'{"data":{"ups',
    "a number": b"5",
    "null": b"null",
    "a list": b"[[]]",
    "deep": b'{"data":' * 50_000,
    "not UTF-8": b'{"data":"\xff\xfe"}',
    "huge": b'{"data":"' + b"x" * (ANSWER_BYTES_MAX - 9),
    "wrong kinds": b'{"data":{"upsertProfiles":5},"errors":"x","access_token":7,"results":{}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
@pytest.mark.parametrize("kind", ["application/json", "text/html", ""])
def test_a_bad_answer_is_an_outcome_and_no_exception(destination, batches, body, kind):
    """Whatever a 200 carries, and whatever it calls itself."""
    for batch in batches:
        assert_whole_and_private(
            perform(destination, batch, Answer(status=200, headers={"content-type": kind}, body=body)), batch
        )


@pytest.mark.parametrize("name", ["nothing", "a page", "cut off"])
def test_a_success_that_cannot_be_read_is_neither_a_yes_nor_a_no(destination, name):
    """Nobody is lost to a proxy's page: tried again, but where the contract is that a 2xx says all, or reads it otherwise."""
    corrections = frozenset(one.name for one in destination.definition.corrections)
    for batch in _batches(destination.definition.slug, corrections):
        performed = perform(destination, batch, Answer(status=200, body=BAD_BODIES[name]))
        kind = SAMPLES[destination.definition.slug].get("unreadable", Unreachable)
        assert {type(outcome) for outcome in performed.outcomes} == {kind}


@pytest.mark.parametrize("sent", [True, False])
def test_no_answer_is_tried_again_and_remembers_whether_it_left(destination, batches, sent):
    """The reason is the client's short one."""
    for batch in batches:
        performed = perform(destination, batch, NoAnswerError("no answer within 10 s", sent=sent))
        assert_whole_and_private(performed, batch)
        assert all(isinstance(outcome, Unreachable) for outcome in performed.outcomes)
        assert performed.outcomes[0].sent is sent


@pytest.mark.parametrize("status", [200, 400, 401, 422, 429, 500])
def test_a_partner_that_quotes_the_person_is_not_repeated(destination, batches, status):
    """The answer throws back the whole request and a sentence with the name in it; no reason and no summary has them."""
    sentence = "Quetzalina Canarywing of 7 Plumage Row <quetzalbird@canarymail.example> +1 555 014 2223 is locked"

    def echo(request):
        message = {"message": f"{sentence} {request.body[:4000].decode('utf-8', 'replace')} {request.headers}"}
        body = {
            "data": {"upsertProfiles": {"userErrors": [message]}},
            "errors": [message],
            "error": message,
            "message": sentence,
        }
        return Answer(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())

    for batch in batches:
        assert_whole_and_private(perform(destination, batch, echo), batch)


# --- The credentials test ---


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status=status, body=b"{}") for status in (200, 204, 302, 400, 401, 403, 404, 429, 500)),
        *(Answer(status=200, body=body) for body in BAD_BODIES.values()),
        NoAnswerError("no answer within 10 s", sent=True),
    ],
)
def test_the_credentials_test_answers_in_sentences(destination, answer):
    """It never raises, never passes on nonsense, and tells no secret."""
    settings = SAMPLES[destination.definition.slug]["settings"]
    context = Context(http=OneAnswer(answer), notes=FreshNotes(), now_us=NOW_US)
    problems = asyncio.run(destination.test(settings, context))
    assert problems
    assert_private(" ".join(problems))


def test_settings_that_are_missing_are_told_without_a_request(destination):
    """The partner is not asked."""

    def never(request):
        raise AssertionError(request.url)

    context = Context(http=OneAnswer(never), notes=FreshNotes(), now_us=NOW_US)
    assert asyncio.run(destination.test({}, context))


def test_a_definition_survives_json(destination):
    """The console's form and the docs table read it so."""
    assert msgspec.json.encode(destination.definition)


# --- Conformance and the fake partner ---


def wire_case(destination, corrections, **more):
    definition = destination.definition
    sample = SAMPLES[definition.slug]
    return WireCase(
        destination=definition.slug,
        settings=sample["settings"],
        mapping={**defaults_of(definition.actions[0].fields), **sample["fields"]},
        audience_settings=sample.get("audience_settings"),
        corrections={one.name: one.name in corrections for one in definition.corrections},
        **more,
    )


@pytest.mark.parametrize("batch", [True, False])
def test_conformance_answers_for_events(destination, corrections, batch):
    """One result for each event, in order, whether they go together or one by one; no event gives no request."""
    people = LIST_PEOPLE if destination.definition.actions[0].sync_only and batch else 3
    events = [canary_event(number) for number in range(people)]
    for number, one in enumerate(events):
        one["traits"]["email"] = f"{number}.{CANARY['email']}"
    told = asyncio.run(wire_result(wire_case(destination, corrections, events=events, batch=batch)))
    assert len(told["results"]) == people
    (action,) = destination.definition.actions
    is_enough = (
        batch or not action.sync_only or (action.capabilities is not None and not action.capabilities.min_distinct)
    )
    assert [one["status"] for one in told["results"]] == [200 if is_enough else 400] * people
    assert bool(told["requests"]) is is_enough
    for request in told["requests"]:
        assert request.keys() == {"method", "url", "headers", "body"}
        assert_private(request["url"])
    none = asyncio.run(wire_result(wire_case(destination, corrections, events=[], batch=batch)))
    assert none == {"requests": [], "results": []}


def test_the_conformance_command_answers_with_what_is_sent(destination):
    """A line in, a line out: the same requests, bodies as texts."""
    corrections = frozenset(one.name for one in destination.definition.corrections)
    events = [
        canary_event(number) for number in range(LIST_PEOPLE if destination.definition.actions[0].sync_only else 2)
    ]
    case = wire_case(destination, corrections, events=events, batch=True)
    question = {"id": 7, "kind": "wire", **msgspec.to_builtins(case), "corrections": "on"}
    answered = msgspec.json.decode(answer_line(msgspec.json.encode(question)))
    assert answered == {"id": 7, "ok": True, "result": asyncio.run(wire_result(case))}
    assert answered["result"]["requests"]
    assert all(isinstance(request["body"], str) for request in answered["result"]["requests"])


ODD = (None, 5, True, "", "\ud800", [], [[]], {}, {"a": [1]}, 1e308)


def test_a_question_of_any_shape_costs_the_others_nothing(destination):
    """Payloads that no check let through: each line has its answer, and the adapter goes on."""
    slug = destination.definition.slug
    (action, *_) = destination.definition.actions
    for odd in ODD:
        payload = {field.key: odd for field in action.fields}
        for kind in ("member", "wire"):
            question = {
                "id": 1,
                "kind": kind,
                "destination": slug,
                "payload": payload,
                "settings": payload,
                "events": [payload],
            }
            assert json.loads(answer_line(json.dumps(question).encode()))["id"] == 1
        for member in ("email", "user_email"):  # A name, so that the rest is looked at, too.
            named = {"id": 2, "kind": "member", "destination": slug, "payload": {**payload, member: "a@example.org"}}
            assert json.loads(answer_line(json.dumps(named).encode()))["id"] == 2


def test_conformance_answers_for_a_member(destination, corrections):
    """What the platform gets for one person is told where the destination can tell it; nothing for nobody."""
    if not isinstance(destination, ShowsMembers):
        return
    (action, *_) = destination.definition.actions
    sample = SAMPLES[destination.definition.slug]
    transform = compile_mapping({**defaults_of(action.fields), **sample["fields"]})
    payload = compile_check(action.fields).check(transform.apply(canary_event()), batched=True)
    chosen = {one.name: one.name in corrections for one in destination.definition.corrections}
    case = MemberCase(destination=destination.definition.slug, payload=payload, corrections=chosen)
    assert member_result(case) == destination.member(action.slug, payload, corrections)
    assert msgspec.json.encode(member_result(case))
    assert member_result(msgspec.structs.replace(case, payload={})) is None


def test_every_fake_partner_is_in_the_sandbox(destination):
    """With the eight classic faults to show, and a page to be seen on."""
    partner_of, _, _ = fake_of(destination)
    (fake,) = [one for one in shipped_partners() if one.name == partner_of().name]
    kinds = {kind.__struct_config__.tag for kind in fake.fault_kinds}
    assert kinds >= {"latency", "bandwidth", "slow_close", "timeout", "reset", "slices", "truncate", "down", "status"}
    assert fake.fault_targets
    assert fake.page()["endpoint"].startswith(f"/{fake.name}")


@pytest.mark.anyio
async def test_the_fake_partner_takes_what_is_sent_and_a_repeat_changes_nothing(destination, batches):
    """Over real sockets, to the fake that enforces the partner's rules; it has no complaint about our way of asking."""
    partner_of, given, audience_of = fake_of(destination)
    partner, http = partner_of(), PartnerHttp(version="0")
    external_id = audience_of(partner) if audience_of else "4711"
    async with SandboxServer([partner], port=0, upload_port=0) as server, contextlib.aclosing(http):
        settings = {key: value.replace("{url}", server.url) for key, value in given.items()}
        context = Context(http=http.lane(allow_private=True), notes=FreshNotes(), now_us=NOW_US)
        assert [one for one in await destination.test(settings, context) if not one.startswith("warning:")] == []
        for batch in batches:
            owed = tuple(msgspec.structs.replace(one, external_id=external_id) for one in batch.owed)
            ready = msgspec.structs.replace(batch, settings=settings, owed=owed)
            looked = msgspec.structs.replace(context, snapshot=snapshot_of(batch))
            sizes = []
            for _ in range(2):
                performed = await destination.perform(ready, looked)
                assert {type(outcome) for outcome in performed.outcomes} == {Delivered}
                sizes.append(partner.list_sizes())
            assert sizes[0] == sizes[1] != []
    allowed = {"token_at_upload"} if not batches[0].corrections else set()
    assert {one.rule for one in getattr(partner, "violations", ())} <= allowed
