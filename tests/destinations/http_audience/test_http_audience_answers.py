"""What a partner's answer makes of each record: statuses, record errors, listed ids, remembered values, jobs, steps."""

import base64
import hashlib
import hmac

import pytest
from http_audience_cases import NOW_US, SMALL, Scripted, changed, loaded, owed_of, performed, problems_of, said

from gateway.core.http_messages import Answer, NoAnswerError
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.rehearsal import FreshNotes

PEOPLE = [{"email": "a@example.com"}, {"email": "b@example.com"}, {"email": "c@example.com"}]


def outcomes(answer, *, people=PEOPLE, **change):
    done = performed(loaded(changed(SMALL, **change)), owed_of(people), Scripted(answer))
    return done.outcomes


def kinds(found):
    return [type(one) for one in found]


STATUSES = [
    (200, {}, Delivered, False), (201, {}, Delivered, False), (204, {}, Delivered, False), (301, {}, Refused, False),
    (304, {}, Refused, False), (400, {}, Refused, True), (401, {}, Unauthorized, False), (403, {}, Unauthorized, False),
    (404, {}, Refused, False), (408, {}, Unreachable, False), (409, {}, Refused, False), (413, {}, Refused, True),
    (422, {}, Refused, True), (423, {}, Unreachable, False), (425, {}, Unreachable, False), (429, {}, Unreachable, False),
    (429, {"retry_after": "9"}, Deferred, False), (500, {}, Unreachable, False), (501, {}, Refused, False),
    (503, {"retry_after": "9"}, Deferred, False), (520, {}, Unreachable, False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "kind", "splittable"), STATUSES)
def test_statuses(status, headers, kind, splittable):
    """One meaning for all records of the request; a refusal that may be halved is no more so for one record alone."""
    found = outcomes(said(status, {}, **headers))
    assert kinds(found) == [kind] * 3
    assert kind is not Refused or [one.splittable for one in found] == [splittable] * 3
    (alone,) = outcomes(said(status, {}, **headers), people=PEOPLE[:1])
    assert kind is not Refused or not alone.splittable


def test_a_definition_may_move_statuses():
    """Its own sets replace ours."""
    response = {"retry_statuses": [404], "auth_statuses": [419], "split_statuses": [409]}
    assert kinds(outcomes(said(404), response=response)) == [Unreachable] * 3
    assert kinds(outcomes(said(419), response=response)) == [Unauthorized] * 3
    assert all(one.splittable for one in outcomes(said(409), response=response))
    assert not any(one.splittable for one in outcomes(said(400), response=response))
    assert kinds(outcomes(said(403), response=response)) == [Refused] * 3


@pytest.mark.parametrize(("sent", "word"), [(True, "timeout"), (False, "destination_unavailable")])
def test_no_answer_remembers_whether_the_request_left(sent, word):
    """Sent without an answer is unsure; not sent is a failure."""
    found = outcomes(NoAnswerError("cut off", sent=sent))
    assert kinds(found) == [Unreachable] * 3
    assert found[0].sent is sent
    assert found[0].reason.startswith(word)


ERRORS = {"items": "body.errors", "code": "code", "message": "message", "retryable": "again"}


@pytest.mark.parametrize(
    ("pointing", "error", "blamed"),
    [
        ({"index": "at"}, {"at": 1}, 1), ({"index": "at"}, {"at": "1"}, 1), ({"index": "at", "index_base": 1}, {"at": 1}, 0),
        ({"match": {"field": "email", "value": "who"}}, {"who": "c@example.com"}, 2),
    ],
)  # fmt: skip
def test_record_errors_point_at_records(pointing, error, blamed):
    """By place from any base, or by what was sent; the others are delivered."""
    body = {"errors": [{**error, "code": "BAD", "message": "no such thing"}]}
    found = outcomes(said(200, body), response={"record_errors": {**ERRORS, **pointing}})
    assert kinds(found) == [Refused if place == blamed else Delivered for place in range(3)]
    assert "BAD: no such thing" in found[blamed].reason
    assert not found[blamed].splittable


def test_a_retryable_record_fails_and_the_rest_is_delivered():
    """It is tried again without being unsure."""
    body = {"errors": [{"at": 0, "again": True}]}
    found = outcomes(said(207, body), response={"record_errors": {**ERRORS, "index": "at"}})
    assert kinds(found) == [Unreachable, Delivered, Delivered]
    assert found[0].sent is False


@pytest.mark.parametrize(
    "error", [{}, {"at": None}, {"at": 3}, {"at": -1}, {"at": "x"}, {"at": 1.5}, {"at": True}, "text", 5, None]
)
def test_an_error_that_points_nowhere_puts_everybody_under_suspicion(error):
    """The batch is halved until it is clear, rather than counted as delivered."""
    found = outcomes(said(200, {"errors": [error]}), response={"record_errors": {**ERRORS, "index": "at"}})
    assert kinds(found) == [Refused] * 3
    assert all(one.splittable for one in found)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a"', b"\xff", b'{"x":' * 50_000, b"5", b'"t"'])
def test_a_success_that_cannot_be_read_is_unsure_where_it_should_name_records(body):
    """Elsewhere the status says enough."""
    answer = Answer(status=200, body=body)
    found = outcomes(answer, response={"record_errors": {**ERRORS, "index": "at"}})
    assert kinds(found) == [Unreachable] * 3
    assert found[0].sent is True
    assert kinds(outcomes(answer)) == [Delivered] * 3


def test_a_byte_order_mark_before_json_is_no_part_of_it():
    """As fetch reads it; the records that are named are refused."""
    answer = Answer(status=200, body=b'\xef\xbb\xbf{"errors":[{"at":1}]}')
    found = outcomes(answer, response={"record_errors": {**ERRORS, "index": "at"}})
    assert kinds(found) == [Delivered, Refused, Delivered]


@pytest.mark.parametrize("errors", ["text", 5, {"a": 1}, True])
def test_errors_of_a_wrong_kind_are_unsure(errors):
    """A list was promised."""
    found = outcomes(said(200, {"errors": errors}), response={"record_errors": {**ERRORS, "index": "at"}})
    assert kinds(found) == [Unreachable] * 3


def test_success_is_what_the_definition_says():
    """A 200 that says no is a refusal."""
    response = {"success": "body.status == 'ok'"}
    assert kinds(outcomes(said(200, {"status": "ok"}), response=response)) == [Delivered] * 3
    found = outcomes(said(200, {"status": "no"}), response=response)
    assert kinds(found) == [Refused] * 3
    assert found[0].reason.startswith("rejected_by_destination")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status": "ok"', b"\xff", b"5", b"null", b'"ok"'])
@pytest.mark.parametrize("success", ["body.status == 'ok'", "!(body.failed > `0`)", "body[0].ok == `true`"])
def test_a_success_that_looks_into_a_body_is_unsure_where_there_is_nothing_to_look_into(success, body):
    """A page of a proxy says neither that people were taken nor that they were refused."""
    found = outcomes(Answer(status=200, body=body), response={"success": success})
    assert kinds(found) == [Unreachable] * 3
    assert found[0].sent is True
    assert "response_unreadable" in found[0].reason


def test_a_success_may_be_a_text():
    """Where the expression takes the body as one."""
    for body, kind in ((b"OK", Delivered), (b"ERROR", Refused)):
        found = outcomes(Answer(status=200, body=body), response={"success": "body == 'OK'"})
        assert kinds(found) == [kind] * 3


def test_success_is_not_asked_of_a_status_that_counts_as_one():
    """Who is not there has left, whatever the page of a 404 says."""
    response = {"success": "body.status == 'ok'", "ok_statuses": {"add": [404]}}
    assert kinds(outcomes(said(404, {"status": "no"}), response=response)) == [Delivered] * 3
    assert kinds(outcomes(Answer(status=404, body=b"<html>"), response=response)) == [Delivered] * 3


def test_fewer_results_than_records_are_unsure():
    """Where they stand in order: nobody counts as taken for not being mentioned."""
    rule = {"items": "body", "in_order": True, "when": "ok == `false`"}
    found = outcomes(said(200, [{"ok": False}, {"ok": True}]), response={"record_errors": rule})
    assert kinds(found) == [Unreachable] * 3


def test_listed_ids_are_the_ones_taken():
    """The others are refused; by a field, or by any identifier."""
    for rule in ("body.ok", {"items": "body.ok", "field": "email"}):
        found = outcomes(said(200, {"ok": ["c@example.com", "zz"]}), response={"record_ids": rule})
        assert kinds(found) == [Refused, Refused, Delivered]


def test_values_are_remembered_for_single_records():
    """In step with the records; nothing where the answer gives nothing."""
    rule = {"items": "body.made", "match": {"field": "email", "value": "e"}, "values": {"pid": "id"}}
    destination = loaded(changed(SMALL, response={"remember": rule}))
    partner = Scripted(said(200, {"made": [{"e": "b@example.com", "id": 77}]}))
    assert performed(destination, owed_of(PEOPLE), partner).remembered == ({}, {"pid": 77}, {})


@pytest.mark.parametrize("text", ["\\ud800", "x\\uDC00", "\\ud83d", "\\uDe00\\ud83d"])
def test_half_a_character_in_an_answer_is_replaced(text):
    """JSON can escape one; kept or put into an address as it is, it would stop the lane at every try."""
    rule = {"remember": {"items": "body.items", "in_order": True, "values": {"id": "id"}}}
    answer = Answer(status=200, body=b'{"items":[{"id":"%s"}]}' % text.encode())
    (kept, *_) = performed(loaded(changed(SMALL, response=rule)), owed_of(PEOPLE), Scripted(answer)).remembered
    assert "\ufffd" in kept["id"]
    assert kept["id"].encode()


def test_what_the_partner_quotes_is_masked():
    """Nothing that was sent comes back in a reason, nor what looks like a person."""
    fields = {"email": {"identifier": True}, "note": {}}
    people = [{"email": "ana@example.com", "note": "Quetzalina"}]
    text = "Quetzalina <ana@example.com> +46 70 555 01 02 secretword"
    error = {"record_errors": {**ERRORS, "index": "at"}}
    for answer in (
        Answer(status=400, body=text.encode()), said(200, {"errors": [{"at": 0, "message": text, "code": text}]}),
        said(500, {"m": text}),
    ):  # fmt: skip
        destination = loaded(
            changed(SMALL, fields=fields, response=error, auth={"type": "bearer", "token": {"$secret": "K"}}),
            K="secretword",
        )
        done = performed(destination, owed_of(people), Scripted(answer))
        told = f"{done.request} {done.answer} {done.outcomes[0].reason}"
        for trace in ("Quetzalina", "ana@", "555", "secretword"):
            assert trace not in told


# --- Logins ---

OAUTH = {
    "type": "oauth2_client_credentials", "token_url": "/token", "client_id": {"$secret": "ID"},
    "client_secret": {"$secret": "S"}, "scope": "lists",
}  # fmt: skip


def test_logins_on_the_wire():
    """Basic in UTF-8, a key, a signature over the body's bytes."""
    cases = [
        ({"type": "basic", "username": {"$secret": "ID"}, "password": {"$secret": "S"}}, "Authorization",
         "Basic " + base64.b64encode("ana:é".encode()).decode()),
        ({"type": "api_key", "in": "header", "name": "X-Key", "value": {"$secret": "ID"}}, "X-Key", "ana"),
    ]  # fmt: skip
    for auth, name, value in cases:
        partner = Scripted(said(200))
        performed(loaded(changed(SMALL, auth=auth), ID="ana", S="é"), owed_of(PEOPLE), partner)
        assert partner.requests[0].headers[name] == value
    auth = {"type": "hmac", "header": "X-Sign", "secret": {"$secret": "S"}, "algorithm": "sha512", "prefix": "v1="}
    partner = Scripted(said(200))
    performed(loaded(changed(SMALL, auth=auth), S="k"), owed_of(PEOPLE), partner)
    (request,) = partner.requests
    assert request.headers["X-Sign"] == "v1=" + hmac.new(b"k", request.body, hashlib.sha512).hexdigest()


def token_partner(*answers):
    """Gives tokens in turn, and the answers to everything else."""
    given = iter(range(1, 100))
    rest = Scripted(*answers)

    def answer(request):
        if b"grant_type" in request.body:
            return said(200, {"access_token": f"t{next(given)}", "expires_in": 3600})
        rest.requests.append(request)
        return rest._answers.pop(0) if len(rest._answers) > 1 else rest._answers[0]

    return Scripted(answer), rest


def test_a_token_is_fetched_once_and_refreshed_once():
    """Kept in the notes for the next batch; a refusal fetches another and tries again; a second one holds the lane."""
    destination = loaded(changed(SMALL, auth=OAUTH), ID="i", S="s&e")
    notes = FreshNotes()
    partner, rest = token_partner(said(200))
    for _ in range(2):
        performed(destination, owed_of(PEOPLE), partner, notes=notes)
    assert [one.headers["Authorization"] for one in rest.requests] == ["Bearer t1", "Bearer t1"]
    assert b"client_secret=s%26e" in partner.requests[0].body
    assert partner.requests[0].url == "https://api.small.example/v1/token"
    partner, rest = token_partner(said(401), said(200))
    assert kinds(performed(destination, owed_of(PEOPLE), partner).outcomes) == [Delivered] * 3
    assert [one.headers["Authorization"] for one in rest.requests] == ["Bearer t1", "Bearer t2"]
    partner, rest = token_partner(said(401))
    found = performed(destination, owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Unauthorized] * 3
    assert len(rest.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(said(401), Unauthorized), (said(400, {}), Unauthorized), (said(200, {}), Unreachable), (said(500), Unreachable),
     (said(429, retry_after="3"), Deferred), (NoAnswerError("gone", sent=True), Unreachable),
     (said(200, {"access_token": "a\nb"}), Unreachable)],
)  # fmt: skip
def test_without_a_token_nothing_is_sent(answer, kind):
    """And nothing dies."""
    partner = Scripted(answer)
    found = performed(loaded(changed(SMALL, auth=OAUTH), ID="i", S="s"), owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [kind] * 3
    assert len(partner.requests) == 1
    assert not isinstance(found[0], Unreachable) or found[0].sent is False


def test_a_missing_secret_holds_the_lane():
    """A setting, else an environment variable; without either nothing is sent and nothing dies."""
    destination = loaded(changed(SMALL, auth={"type": "bearer", "token": {"$secret": "K"}}))
    partner = Scripted(said(200))
    found = performed(destination, owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Unauthorized] * 3
    assert found[0].reason.startswith("config_invalid")
    assert partner.requests == []
    performed(destination, owed_of(PEOPLE), partner, settings={"K": "mine"})
    assert partner.requests[0].headers["Authorization"] == "Bearer mine"
    assert (
        kinds(performed(destination, owed_of(PEOPLE), partner, settings={"K": "a\nb"}).outcomes) == [Unauthorized] * 3
    )


@pytest.mark.parametrize("auth", [
    {"type": "bearer", "token": "in clear"}, {"type": "bearer"}, {"type": "magic"},
    {}, "bearer", {"type": "bearer", "token": {"$secret": ""}},
    {"type": "bearer", "token": {"$secret": "K"}, "more": 1}, {"type": "api_key", "name": "Host", "value": {"$secret": "K"}},
    {**OAUTH, "token_url": "https://other.example/token"}, {**OAUTH, "token_url": "http://api.small.example/t"},
    {"type": "hmac", "header": "X", "secret": {"$secret": "K"}, "algorithm": "md5"},
])  # fmt: skip
def test_bad_logins_are_refused_at_load(auth):
    """Secrets in clear above all."""
    found = problems_of(changed(SMALL, auth=auth))
    assert found
    assert all(pointer.startswith("/auth") for pointer, _ in found)


# --- Steps, jobs ---


def steps(*entries, **more):
    return changed(SMALL, actions__add={"batch": {"max_records": 10}, "steps": list(entries)}, **more)


ASK = {
    "method": "POST",
    "path": "/uploads",
    "body": {"n": {"@path": "$.batch.size"}},
    "save": {"url": "body.url", "id": "body.id"},
}
UPLOAD = {"method": "PUT", "path": "{{steps.url}}", "format": "lines",
          "body": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}}  # fmt: skip
CLOSE = {"method": "POST", "path": "/uploads/{{steps.id}}/close", "body": {"id": {"@path": "$.steps.id"}}}
HOSTS = {"limits": {"allow_hosts": ["up.example.com"]}, "auth": {"type": "bearer", "token": {"$secret": "K"}}}


def test_steps_run_in_order_and_hand_values_on():
    """Ask for an address, upload there without the login, close."""
    partner = Scripted(said(200, {"url": "https://up.example.com/x?sig=1", "id": 7}), said(200), said(200))
    destination = loaded(steps(ASK, UPLOAD, CLOSE, **HOSTS), K="t")
    found = performed(destination, owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Delivered] * 3
    first, second, third = partner.requests
    assert second.url == "https://up.example.com/x?sig=1"
    assert second.body == b"a@example.com\nb@example.com\nc@example.com\n"
    assert "Authorization" in first.headers
    assert "Authorization" not in second.headers
    assert (third.url, third.body) == ("https://api.small.example/v1/uploads/7/close", b'{"id":7}')


@pytest.mark.parametrize("url", [
    "https://evil.example/x", "http://up.example.com/x", "https://up.example.com@evil.example/", "https://up.example.com.evil.example/",
    "https://u:p@up.example.com/", "//up.example.com/", "file:///etc/passwd", "https://up.example.com:8443/x", "", 5, None, ["x"],
    "https://up.example.com/\r\nX: y", "https://[::1]/", "https://127.0.0.1/", "https://evil.example\\@up.example.com/",
])  # fmt: skip
def test_an_address_from_an_answer_leads_only_to_listed_hosts(url):
    """Everything else is an unreadable answer, and nothing is uploaded."""
    partner = Scripted(said(200, {"url": url, "id": 7}))
    found = performed(loaded(steps(ASK, UPLOAD, **HOSTS), K="t"), owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Unreachable] * 3
    assert len(partner.requests) == 1


def test_a_step_that_fails_ends_the_batch():
    """Later steps are not tried."""
    partner = Scripted(said(200, {"url": "https://up.example.com/x", "id": 7}), said(422))
    found = performed(loaded(steps(ASK, UPLOAD, CLOSE, **HOSTS), K="t"), owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Refused] * 3
    assert all(one.splittable for one in found)
    assert len(partner.requests) == 2


JOB = {
    "job": "body.job",
    "poll": {"path": "/jobs/{{job}}", "every_s": 0.05, "until": "body.done", "failed": "body.broken", "timeout_s": 1},
}


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"done": True, "errors": []}, [Delivered] * 3), ({"broken": True}, [Refused] * 3),
        ({"done": True, "errors": [{"at": 2}]}, [Delivered, Delivered, Refused]),
    ],
)  # fmt: skip
def test_a_job_is_asked_for_until_it_is_done(last, expected):
    """Its last answer is read as the batch's."""
    response = {"async": JOB, "record_errors": {"items": "body.errors", "index": "at"}}
    partner = Scripted(
        said(202, {"job": "j/1"}), said(200, {}), said(503), NoAnswerError("x", sent=True), said(200, last)
    )
    found = performed(loaded(changed(SMALL, response=response)), owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == expected
    assert [one.method for one in partner.requests] == ["POST"] + ["GET"] * 4
    assert partner.requests[1].url == "https://api.small.example/v1/jobs/j%2F1"


def test_a_job_that_does_not_end_is_unsure():
    """As is one without an id."""
    for answer in (said(202, {"job": 1}), said(202, {})):
        partner = Scripted(answer, said(200, {}))
        found = performed(loaded(changed(SMALL, response={"async": JOB})), owed_of(PEOPLE), partner).outcomes
        assert kinds(found) == [Unreachable] * 3
        assert found[0].sent is True


@pytest.mark.parametrize("job", ["..", ".", "x" * 3000, ["j"], {"id": 1}, True, None, ""])
def test_a_jobs_id_that_cannot_be_asked_for_is_unsure(job):
    """Whatever a partner writes there, nothing is asked and nothing is raised."""
    partner = Scripted(said(202, {"job": job}))
    found = performed(loaded(changed(SMALL, response={"async": JOB})), owed_of(PEOPLE), partner).outcomes
    assert kinds(found) == [Unreachable] * 3
    assert all(one.may_have_worked for one in found)
    assert len(partner.requests) == 1


def test_a_job_is_asked_for_with_the_login():
    """A key in the query as one in a header, and below the base address also where the request went to another host."""
    key = {"type": "api_key", "name": "k", "in": "query", "value": {"$secret": "K"}}
    there = {
        "auth": key,
        "actions__add__path": "https://up.example.com/in",
        "limits": {"allow_hosts": ["up.example.com"]},
    }
    for change in ({"auth": key}, there):
        partner = Scripted(said(202, {"job": "a/b"}), said(200, {"done": True}))
        destination = loaded(changed(SMALL, response={"async": JOB}, **change), K="s")
        assert kinds(performed(destination, owed_of(PEOPLE), partner).outcomes) == [Delivered] * 3
        assert partner.requests[1].url == "https://api.small.example/v1/jobs/a%2Fb?k=s"
        assert ("k=s" in partner.requests[0].url) == (change is not there)


@pytest.mark.parametrize("response", [
    {"success": "a ="}, {"success": ""}, {"success": 5}, {"record_errors": {"items": "a"}}, {"record_errors": {"index": "a"}},
    {"record_errors": {"items": "a", "index": "b", "match": {"field": "x", "value": "y"}}}, {"retry_statuses": [99]},
    {"ok_statuses": {"insert": [404]}}, {"async": {"job": "a"}},
    {"async": {**JOB, "poll": {**JOB["poll"], "path": "https://x.example/"}}},
    {"record_ids": 5}, {"remember": {"items": "a"}}, {"unknown": 1}, {"auth_statuses": ["401"]}, {"split_statuses": [True]},
])  # fmt: skip
def test_bad_responses_are_refused_at_load(response):
    """With their place."""
    found = problems_of(changed(SMALL, response=response))
    assert found
    assert all(pointer.startswith("/response") for pointer, _ in found)


def test_the_clock_is_the_batches():
    """A token that has expired by then is not used."""
    destination = loaded(changed(SMALL, auth=OAUTH), ID="i", S="s")
    partner, rest = token_partner(said(200))
    notes = FreshNotes()
    performed(destination, owed_of(PEOPLE), partner, notes=notes)
    for key, value in list(notes._values.items()):
        notes._values[key] = value.replace(str(NOW_US + (3600 - 60) * 1_000_000).encode(), str(NOW_US).encode())
    performed(destination, owed_of(PEOPLE), partner, notes=notes)
    assert [one.headers["Authorization"] for one in rest.requests] == ["Bearer t1", "Bearer t2"]


def test_half_a_character_in_a_lists_id_refuses_its_records():
    """An event may bring it; it cannot stand in a path, and is no fault of the lane's."""
    named = changed(SMALL, target={"audience_id": {"required": True}}, actions__add__path="/{{connection.audience_id}}")
    found = performed(loaded(named), owed_of(PEOPLE, audience_settings={"external_id": "\ud800"}), Scripted(said(200)))
    assert kinds(found.outcomes) == [Refused] * 3
    assert found.requests == 0
