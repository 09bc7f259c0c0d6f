"""Taboola's answers, row by row: which outcome each status and body means for people, creations and tokens."""

import json

import pytest

from gateway.core.http_messages import Answer
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.taboola.answers import (
    Created,
    Token,
    blames_audience,
    read_created,
    read_token,
    read_users,
)

NOW_US = 1_795_338_000_000_000
NOBODY: frozenset[str] = frozenset()


def answer(status, body=b"", **headers):
    whole = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}, body=whole)


STATUSES = [
    (200, {}, Delivered), (201, {}, Delivered), (204, {}, Delivered),
    (401, {}, Unauthorized), (403, {}, Unauthorized),
    (400, {}, Refused), (404, {}, Refused), (405, {}, Refused), (409, {}, Refused), (413, {}, Refused), (422, {}, Refused),
    (501, {}, Refused), (302, {}, Refused),
    (408, {}, Unreachable), (423, {}, Unreachable), (500, {}, Unreachable), (502, {}, Unreachable), (503, {}, Unreachable),
    (429, {}, Deferred), (429, {"retry_after": "20"}, Deferred), (503, {"retry_after": "20"}, Deferred),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "kind"), STATUSES)
def test_12_people_and_creations_by_status(status, headers, kind):
    """A creation needs an id beside its 2xx."""
    given = answer(status, {"audience_id": 49}, **headers)
    assert type(read_users(given, now_us=NOW_US, known=NOBODY)) is kind
    created = read_created(given, asked={}, now_us=NOW_US, known=NOBODY)
    assert type(created) is (Created if kind is Delivered else kind)
    assert isinstance(created, Created) or created.reason.startswith("AUDIENCE_CREATION_FAILED: ")


@pytest.mark.parametrize(
    ("headers", "wait_s"), [({}, 30.0), ({"retry_after": "5"}, 5.0), ({"retry_after": "soon"}, 30.0)]
)
def test_12_too_many_requests_wait(headers, wait_s):
    """As long as is asked, else half a minute."""
    outcome = read_users(answer(429, **headers), now_us=NOW_US, known=NOBODY)
    assert outcome == Deferred(wait_s=wait_s, reason="Taboola answered 429 Too Many Requests.", status=429)


@pytest.mark.parametrize(
    ("body", "splits"),
    [
        (b"", True),
        (b"<html>", True),
        ({"http_status": 400, "message": "x"}, True),
        ({"offending_field": "identities"}, True),
        ({"offending_field": "identities[3]"}, True),
        ({"offending_field": "user_id"}, True),
        ({"offending_field": "audience_id"}, False),
        ({"offending_field": "operation"}, False),
        ({"offending_field": 5}, True),
    ],
)
def test_12_a_refusal_of_the_whole_request_is_not_halved(body, splits):
    """Only where one record may be at fault."""
    outcome = read_users(answer(400, body), now_us=NOW_US, known=NOBODY)
    assert isinstance(outcome, Refused)
    assert outcome.splittable is splits


def test_12_the_operator_reads_field_and_code_and_nothing_of_the_message():
    """Words of the person are hidden even where they stand in a code."""
    body = {"message": "Maria of 7 Plumage Row", "offending_field": "audience_id", "message_code": "api.invalid.value"}
    outcome = read_users(answer(400, body), now_us=NOW_US, known=NOBODY)
    assert outcome.reason == "Taboola answered 400 Bad Request: field audience_id, code api.invalid.value."
    spoken = {"offending_field": "maria@example.org", "message_code": "quetzal.row"}
    outcome = read_users(answer(400, spoken), now_us=NOW_US, known=frozenset({"quetzal"}))
    assert "maria" not in outcome.reason
    assert "quetzal" not in outcome.reason


def test_12_a_new_audience_is_waited_for():
    """Exactly a 400 that names the audience's id, and only while the audience is new."""
    unknown = answer(400, {"offending_field": "audience_id"})
    assert blames_audience(unknown)
    waiting = read_users(unknown, now_us=NOW_US, known=NOBODY, is_new=True)
    assert isinstance(waiting, Deferred)
    assert waiting.wait_s == 600.0
    assert isinstance(read_users(unknown, now_us=NOW_US, known=NOBODY), Refused)
    assert isinstance(read_users(answer(400), now_us=NOW_US, known=NOBODY, is_new=True), Refused)
    assert not blames_audience(answer(404, {"offending_field": "audience_id"}))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"access_token": "A1", "expires_in": 43_200}, Token),
        (200, {"access_token": ""}, Refused),
        (200, {"access_token": None}, Refused),
        (200, {"access_token": 7}, Refused),
        (200, {"access_token": "a\r\nb"}, Refused),
        (200, {"access_token": "é"}, Refused),
        (200, {}, Refused),
        (200, [], Refused),
        (200, b"<html>", Refused),
        (204, b"", Refused),
        (400, b"<BadClientCredentialsException><error>invalid_client</error>", Unauthorized),
        (401, b"", Unauthorized),
        (403, b"<html>", Unauthorized),
        (404, b"", Unauthorized),
        (302, b"", Unauthorized),
        (501, b"", Unauthorized),
        (408, b"", Unreachable),
        (429, b"", Deferred),
        (500, b"", Unreachable),
        (503, b"", Unreachable),
    ],
)
def test_12_tokens_by_status(status, body, kind):
    """Failures are told by status; whatever refuses the login holds the lane, and kills nothing."""
    read = read_token(answer(status, body), now_us=NOW_US)
    assert type(read) is kind
    assert not isinstance(read, Refused) or not read.splittable


@pytest.mark.parametrize(
    ("life", "life_s"),
    [(60, 60.0), (0.5, 0.5), (None, 43_200.0), ("9", 43_200.0), (True, 43_200.0), (-1, 43_200.0), (1e300, 43_200.0)],
)
def test_8_2_a_token_without_a_life_lasts_twelve_hours(life, life_s):
    """A nonsensical one too."""
    assert read_token(answer(200, {"access_token": "A", "expires_in": life}), now_us=NOW_US) == Token(
        text="A", life_s=life_s
    )


@pytest.mark.parametrize(
    ("given", "external_id"),
    [(49, "49"), ("49", "49"), (49.0, "49"), (2**60, str(2**60)), (0, ""), ("0", ""), (None, ""), (True, ""), ("x", ""),
     (-4, ""), (4.5, ""), ([], ""), ("9" * 50, "")],
)  # fmt: skip
def test_9_1_a_creation_gives_an_id_as_text(given, external_id):
    """Missing, null or zero is a failure, and never one person's."""
    created = read_created(answer(200, {"audience_id": given}), asked={}, now_us=NOW_US, known=NOBODY)
    if external_id:
        assert created == Created(external_id=external_id)
    else:
        assert isinstance(created, Refused)
        assert not created.splittable


def test_9_1_settings_that_differ_are_told():
    """An audience that was there keeps its own."""
    body = {"audience_id": 49, "ttl_in_hours": 8760, "exclude_from_campaigns": False}
    asked = {"ttl_in_hours": 48, "exclude_from_campaigns": False}
    created = read_created(answer(200, body), asked=asked, now_us=NOW_US, known=NOBODY)
    assert created == Created(external_id="49", differs=("ttl_in_hours",))
    assert read_created(answer(200, body), asked={}, now_us=NOW_US, known=NOBODY) == Created(external_id="49")


def test_an_address_that_gives_no_tokens_is_told_as_such():
    """404 is no matter of the credentials."""
    for status, words in ((404, "Check `backstage_base_url`"), (401, "Check client_id and client_secret")):
        read = read_token(answer(status, b""), now_us=NOW_US)
        assert isinstance(read, Unauthorized)
        assert words in read.reason
