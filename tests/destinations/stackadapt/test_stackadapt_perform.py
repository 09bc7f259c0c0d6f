"""Batches over a real socket to the fake StackAdapt, and each answer it can give, to outcomes."""

import asyncio

import pytest
from stackadapt_cases import ON, event, payload

from gateway.core.http_messages import Answer, NoAnswerError
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.stackadapt.definition import CHECK_ADVERTISER_ID, DELETE_NEEDS_ID, READ_ANSWERS
from gateway.destinations.stackadapt.perform import STACKADAPT
from gateway.sandbox.faults import Down, Status
from gateway.sandbox.stackadapt import AccessToken, Errors, StackAdaptConfiguration, UserErrors

SETTINGS = {"apiKey": "tok_demo", "advertiser_id": "31337"}
CLEAN = (
    b'{"data":{"upsertProfileMapping":{"userErrors":[]},"upsertProfiles":{"userErrors":[]},'
    b'"upsertExternalAudienceMapping":{"userErrors":[]}}}'
)


class Scripted:
    """A client that gives prepared answers, the last one for ever; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def batch(*owed, settings=SETTINGS, corrections=ON):
    return Batch(action="forwardAudienceEvent", settings=settings, owed=owed, corrections=corrections)


def send(number=0, given=None, **fields):
    return Owed(id=number, operation="send", payload=payload(given, **fields))


def delete(number=0, **ids):
    return Owed(id=number, operation="delete", payload=ids)


def perform(http, *owed, corrections=ON, settings=SETTINGS):
    context = Context(http=http, notes=FreshNotes(), now_us=1_795_338_000_000_000)
    return asyncio.run(STACKADAPT.perform(batch(*owed, settings=settings, corrections=corrections), context))


def answered(status, body=b"", **headers):
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)


# --- With the fake partner ---


@pytest.mark.anyio
async def test_a_batch_is_one_request_and_the_audience_changes(partner, settings, context):
    """Mixed audiences in one request, an exit after an enter, and no contract violation."""
    other = event(traits={"cart_rescue": False, "email": "tomas@shop.example"}, userId="u-205")
    vip = event(key="vip")
    vip["context"]["personas"]["computation_id"] = "aud_V"
    done = await STACKADAPT.perform(batch(send(1), send(2, other), send(3, vip), settings=settings), context)
    assert done.outcomes == (Delivered(), Delivered(), Delivered())
    assert (done.requests, done.request, done.answer) == (1, "POST /graphql 3 profiles 2 audiences", "200 ok")
    assert partner.members("aud_7Hx") == {"mei@shop.example"}
    assert partner.members("aud_V") == {"mei@shop.example"}
    assert partner.violations == ()
    gone = await STACKADAPT.perform(batch(send(4, event(flag=False)), settings=settings), context)
    assert (gone.outcomes, partner.members("aud_7Hx")) == ((Delivered(),), frozenset())


@pytest.mark.anyio
async def test_nasty_texts_arrive_unharmed(partner, settings, context):
    """Quotation marks, backslashes and line breaks, in names and values alike."""
    nasty = 'a"b\\c\nd'
    done = await STACKADAPT.perform(
        batch(send(custom_properties_mode="v1", custom_traits={nasty: nasty, "o": {"a": 1}}), settings=settings),
        context,
    )
    assert done.outcomes == (Delivered(),)
    assert partner.violations == ()
    assert partner.members("aud_7Hx") == {"mei@shop.example"}


@pytest.mark.anyio
async def test_a_deletion_takes_the_profile_out(partner, settings, context):
    """One request for each deletion, in its place among the profiles."""
    done = await STACKADAPT.perform(
        batch(send(1), delete(2, userId="u-204"), delete(3, userId=8080), settings=settings), context
    )
    assert done.outcomes == (Delivered(), Delivered(), Delivered())
    assert (done.requests, done.request) == (
        3,
        "POST /graphql 1 profile audience cart_rescue; 2 x POST /graphql 1 deletion",
    )
    assert (partner.members("aud_7Hx"), partner.violations) == (frozenset(), ())


@pytest.mark.anyio
async def test_what_the_partner_refuses_inside_a_200_is_final(partner, settings, context):
    """D4 over the wire: user errors, top-level errors; then, with the correction off, a delivery all the same."""
    partner.faults.add(UserErrors(target="upsertProfiles", message="Locked"))
    (refused,) = (await STACKADAPT.perform(batch(send(), settings=settings), context)).outcomes
    assert isinstance(refused, Refused)
    assert ("upsertProfiles: Locked" in refused.reason, refused.splittable) == (True, False)
    partner.faults.add(Errors(message="Boom"))
    (refused,) = (await STACKADAPT.perform(batch(send(), settings=settings), context)).outcomes
    assert isinstance(refused, Refused)
    partner.faults.add(Errors(message="Boom"))
    off = batch(send(), settings=settings, corrections=ON - {READ_ANSWERS})
    assert (await STACKADAPT.perform(off, context)).outcomes == (Delivered(),)


@pytest.mark.anyio
async def test_faults_on_the_way_are_tried_again(partner, settings, context):
    """A dropped connection, a 503 with a wait, a wrong token."""
    partner.faults.add(Down())
    (outcome,) = (await STACKADAPT.perform(batch(send(), settings=settings), context)).outcomes
    assert isinstance(outcome, Unreachable)
    partner.faults.add(Status(status=503, retry_after=7))
    (outcome,) = (await STACKADAPT.perform(batch(send(), settings=settings), context)).outcomes
    assert isinstance(outcome, Deferred)
    assert outcome.wait_s == 7.0
    wrong = {**settings, "apiKey": "wrong"}
    (outcome,) = (await STACKADAPT.perform(batch(send(), settings=wrong), context)).outcomes
    assert outcome == Unauthorized(reason="StackAdapt answered 401 Unauthorized.", status=401)


# --- The credentials test ---


@pytest.mark.anyio
async def test_a_token_that_may_write_passes(partner, settings, context):
    """Fact 1; the headers are those of every request."""
    assert await STACKADAPT.test(settings, context) == []
    (request,) = partner.log
    headers = dict(request.headers)
    assert (headers["authorization"], headers["content-type"]) == ("Bearer sandbox-token", "application/json")


@pytest.mark.anyio
async def test_another_advertiser_than_the_configured_one_is_a_warning(settings, context):
    """D7: the verdict stays the reference's."""
    (warning,) = await STACKADAPT.test({**settings, "advertiser_id": "20202"}, context)
    assert warning.startswith("warning:")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "configuration",
    [StackAdaptConfiguration(tokens=(AccessToken(token="sandbox-token", scopes={"20202": ("READ",)}),))],
)
async def test_a_token_that_may_only_read_does_not_pass(settings, context):
    """The user is told whom to ask."""
    (problem,) = await STACKADAPT.test(settings, context)
    assert "write access" in problem


TEST_ANSWERS = [
    (answered(403), "403Forbidden"),
    (answered(201, b'{"data":{"tokenInfo":{"scopesByAdvertiser":{"nodes":[]}}}}'), "201Created"),
    (answered(500), "500Internal Server Error"),
    (answered(200, b"<html>"), "names no advertisers"),
    (answered(200, b""), "names no advertisers"),
    (answered(200, b'{"data":null}'), "names no advertisers"),
    (answered(200, b'{"data":{"tokenInfo":null}}'), "names no advertisers"),
    (answered(200, b'{"data":{"tokenInfo":{"scopesByAdvertiser":null}}}'), "names no advertisers"),
    (answered(200, b'{"data":{"tokenInfo":{"scopesByAdvertiser":{"nodes":null}}}}'), "may not write"),
    (answered(200, b'{"data":{"tokenInfo":{"scopesByAdvertiser":{"nodes":[]}}}}'), "may not write"),
    (answered(200, b'{"data":{"tokenInfo":{"scopesByAdvertiser":{"nodes":[5,{"scopes":"WRITE"}]}}}}'), "may not write"),
    (NoAnswerError("no answer within 10 s", sent=True), "no answer within 10 s"),
]


@pytest.mark.parametrize(("answer", "problem"), TEST_ANSWERS)
def test_anything_else_does_not_pass(answer, problem):
    """Fact 2 among them: the status number, directly followed by its phrase."""
    context = Context(http=Scripted(answer), notes=FreshNotes(), now_us=0)
    (told,) = asyncio.run(STACKADAPT.test(SETTINGS, context))
    assert problem in told


@pytest.mark.parametrize("missing", ["apiKey", "advertiser_id"])
def test_without_a_setting_no_request_is_sent(missing):
    """It says which one."""
    http = Scripted(answered(500))
    context = Context(http=http, notes=FreshNotes(), now_us=0)
    (told,) = asyncio.run(STACKADAPT.test({**SETTINGS, missing: ""}, context))
    assert (missing in told, http.requests) == (True, [])


def page(*nodes, after=None):
    import json

    nodes = [{"advertiser": {"id": one, "name": name}, "scopes": scopes} for one, name, scopes in nodes]
    info = {"hasNextPage": after is not None, "endCursor": after}
    return answered(
        200, json.dumps({"data": {"tokenInfo": {"scopesByAdvertiser": {"nodes": nodes, "pageInfo": info}}}}).encode()
    )


def test_the_look_up_follows_the_pages_and_sorts_by_label():
    """Writable advertisers only, case of the label ignored; a page that repeats its cursor ends it."""
    http = Scripted(
        page(("1", "beta", ["READ", "WRITE"]), ("2", "gamma", ["READ"]), after='c"1'),
        page(("3", "Alpha", ["WRITE"]), after="c2"),
        page(("4", "Zeta", ["WRITE"]), after="c2"),
    )
    found = asyncio.run(STACKADAPT.advertisers(SETTINGS, Context(http=http, notes=FreshNotes(), now_us=0)))
    assert [(choice.value, choice.label) for choice in found.choices] == [("3", "Alpha"), ("1", "beta"), ("4", "Zeta")]
    assert len(http.requests) == 3
    failed = asyncio.run(
        STACKADAPT.advertisers(SETTINGS, Context(http=Scripted(answered(403)), notes=FreshNotes(), now_us=0))
    )
    assert (failed.choices, failed.message, failed.code) == ((), "403Forbidden", "403")


# --- Every answer ---

ANSWERS = [
    (answered(200, CLEAN), Delivered, None),
    (
        answered(200, b'{"data":{"upsertProfiles":{"userErrors":[{"message":"no","path":["x"]}]}}}'),
        Refused,
        "upsertProfiles: no",
    ),
    (
        answered(200, CLEAN.replace(b'"upsertProfileMapping":{"userErrors":[]},', b"")),
        Refused,
        "upsertProfileMapping: no result",
    ),
    (
        answered(200, CLEAN.replace(b'"upsertProfiles":{"userErrors":[]}', b'"upsertProfiles":null')),
        Refused,
        "no result",
    ),
    (answered(200, b'{"data":null,"errors":[{"message":"bad"}]}'), Refused, "error: bad"),
    (answered(200, CLEAN[:-1] + b',"errors":[{"message":"bad"}]}'), Refused, "error: bad"),
    (answered(200, b'{"data":null}'), Refused, "no data"),
    (answered(200, b"{}"), Refused, "no data"),
    (answered(200, b"[]"), Refused, "no JSON object"),
    (answered(200, b"<!doctype html>"), Unreachable, "not JSON"),
    (answered(200, CLEAN[:50]), Unreachable, "not JSON"),
    (answered(200, b""), Unreachable, "not JSON"),
    (answered(200, b"[" * 100_000), Unreachable, "not JSON"),
    (answered(204), Unreachable, "not JSON"),
    (answered(302), Refused, "302 Found"),
    (answered(400, b'{"errors":[]}'), Refused, "400 Bad Request"),
    (answered(401), Unauthorized, "401"),
    (answered(403), Unauthorized, "403"),
    (answered(404, b"<html>"), Refused, "404"),
    (answered(408), Unreachable, "408"),
    (answered(409), Refused, "409"),
    (answered(413), Refused, "413"),
    (answered(422), Refused, "422"),
    (answered(423), Unreachable, "423"),
    (answered(429), Unreachable, "429"),
    (answered(429, retry_after="20"), Deferred, "429"),
    (answered(429, retry_after="soon"), Unreachable, "429"),
    (answered(500), Unreachable, "500"),
    (answered(501), Refused, "501"),
    (answered(503, retry_after="Sun, 22 Nov 2026 09:00:30 GMT"), Deferred, "503"),
    (NoAnswerError("the name does not resolve", sent=False), Unreachable, "does not resolve"),
]


@pytest.mark.parametrize(("answer", "kind", "told"), ANSWERS)
def test_every_answer_gives_one_outcome_for_the_whole_batch(answer, kind, told):
    """Only a whole batch refused by its status can be halved."""
    done = perform(Scripted(answer), send(1), send(2))
    assert {type(outcome) for outcome in done.outcomes} == {kind}
    assert len(done.outcomes) == 2
    if told is not None:
        assert told in done.outcomes[0].reason
    if kind is Refused:
        assert done.outcomes[0].splittable is (answer.status in {400, 413, 422})


def test_a_request_that_never_left_is_told_apart():
    """So that a crash is not counted as a possible repeat."""
    (outcome,) = perform(Scripted(NoAnswerError("refused", sent=False)), send()).outcomes
    assert outcome == Unreachable(reason="StackAdapt gave no answer: refused", sent=False)


def test_a_refusal_does_not_repeat_what_was_sent():
    """The partner quotes the person's name as a plain word; the reason leaves it out."""
    body = (
        b'{"data":{"upsertProfiles":{"userErrors":[{"message":"Mei of 9 Quay St with mei@shop.example is locked"}]}}}'
    )
    (outcome,) = perform(Scripted(answered(200, body)), send()).outcomes
    for word in ("Mei", "Quay", "mei@", "shop"):
        assert word not in outcome.reason
    assert "is locked" in outcome.reason


def test_nothing_overtakes_what_must_be_repeated():
    """After a 503 neither the deletion nor the profile behind it goes out."""
    http = Scripted(answered(503), answered(200, CLEAN))
    done = perform(http, send(1), delete(2, userId="u-204"), send(3))
    assert [type(outcome) for outcome in done.outcomes] == [Unreachable] * 3
    assert ([outcome.sent for outcome in done.outcomes], len(http.requests)) == ([True, False, False], 1)


def test_a_mapping_may_name_another_advertiser():
    """D6: it wins over the setting, and a batch holds one advertiser."""
    assert STACKADAPT.group("forwardAudienceEvent", payload(), SETTINGS) == "31337"
    assert STACKADAPT.group("forwardAudienceEvent", payload(advertiser_id="12345"), SETTINGS) == "12345"
    http = Scripted(answered(200, CLEAN))
    perform(http, send(1), send(2, advertiser_id="12345"))
    assert [b"advertiserId: 12345" in request.body for request in http.requests] == [False, True]


def test_a_bad_advertiser_sends_nothing():
    """D2; the settings say so before any delivery, too."""
    http = Scripted(answered(200, CLEAN))
    done = perform(http, send(), settings={**SETTINGS, "advertiser_id": "12a"})
    assert (type(done.outcomes[0]), http.requests, done.requests) == (Refused, [], 0)
    assert STACKADAPT.check_settings({"advertiser_id": "12a"}, ON) != []
    assert STACKADAPT.check_settings({"advertiser_id": "12a"}, ON - {CHECK_ADVERTISER_ID}) == []
    assert STACKADAPT.check_settings({"advertiser_id": " 12 "}, ON) == []


@pytest.mark.parametrize("ids", [{}, {"userId": ""}, {"userId": None}, {"anonymousId": "anon-1"}])
def test_a_deletion_without_user_id_is_refused(ids):
    """D5; without the correction the person called `undefined` is deleted."""
    http = Scripted(answered(200, b'{"data":{"deleteProfilesWithExternalIds":{"userErrors":[]}}}'))
    assert (type(perform(http, delete(**ids)).outcomes[0]), http.requests) == (Refused, [])
    assert type(perform(http, delete(**ids), corrections=ON - {DELETE_NEEDS_ID}).outcomes[0]) is Delivered
    if "userId" not in ids:
        assert b"undefined" in http.requests[0].body


DELETIONS = [
    (b'{"data":{"deleteProfilesWithExternalIds":{"userErrors":[]}}}', Delivered),
    (b'{"data":{"deleteProfilesWithExternalIds":{"userErrors":[{"message":"Locked"}]}}}', Refused),
    (b'{"data":null}', Refused),
    (b"<html>", Unreachable),
]


@pytest.mark.parametrize(("body", "kind"), DELETIONS)
def test_a_deletions_answer_is_always_read(body, kind):
    """Facts 3 and 4, with the correction on and off; `data: null` is a failure, not a crash."""
    for corrections in (ON, ON - {READ_ANSWERS}):
        (outcome,) = perform(Scripted(answered(200, body)), delete(userId="8080"), corrections=corrections).outcomes
        assert type(outcome) is kind
        assert kind is not Refused or (outcome.reason.startswith("DELETE_FAILED: "), outcome.status) == (True, 400)
        if b"Locked" in body:
            assert outcome.reason.rstrip(".").endswith("Locked")
