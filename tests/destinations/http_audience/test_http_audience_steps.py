"""A batch of several requests that ends in the middle: what is known of its records, and what may be tried again."""

from __future__ import annotations

from typing import Any

import pytest
from http_audience_cases import (
    SMALL,
    Scripted,
    changed,
    loaded,
    owed_of,
    performed,
    said,
)

from gateway.core.http_messages import NoAnswerError
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable

PEOPLE = [{"email": "a@example.com"}, {"email": "b@example.com"}, {"email": "c@example.com"}]
EMAILS = {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}
CREATE = {"method": "POST", "path": "/contacts", "body": {"emails": EMAILS}}
LOOK = {"method": "GET", "path": "/state"}
JOIN = {"method": "POST", "path": "/members", "body": {"emails": EMAILS}}
OAUTH = {
    "type": "oauth2_client_credentials", "token_url": "/token", "client_id": {"$secret": "I"}, "client_secret": {"$secret": "S"},
}  # fmt: skip


def outcomes_of(first: dict[str, Any], *answers: object, **more: Any) -> tuple[Outcome, ...]:
    """What two steps come to, with these answers in turn."""
    steps = changed(SMALL, actions__add={"batch": {"max_records": 10}, "steps": [first, JOIN]}, **more)
    found: tuple[Outcome, ...] = performed(loaded(steps, I="i", S="s"), owed_of(PEOPLE), Scripted(*answers)).outcomes
    return found


LATER_FAILURES = [
    (said(503), Unreachable, Unreachable),
    (said(429, retry_after="7"), Deferred, Unreachable),
    (said(403), Unauthorized, Unreachable),
    (said(422), Refused, Refused),
    (said(404), Refused, Refused),
    (NoAnswerError("no connection", sent=False), Unreachable, Unreachable),
    (NoAnswerError("late", sent=True), Unreachable, Unreachable),
]


@pytest.mark.parametrize(("answer", "repeatable", "unrepeatable"), LATER_FAILURES)
def test_a_step_that_worked_is_not_forgotten_when_a_later_one_fails(answer, repeatable, unrepeatable):
    """The records are not told to be as before; where a change may not be repeated, nothing leads to another try."""
    for is_idempotent, kind in ((True, repeatable), (False, unrepeatable)):
        found = outcomes_of(CREATE, said(200), answer, capabilities={"idempotent": is_idempotent})
        assert [type(one) for one in found] == [kind] * 3
        for one in found:
            if isinstance(one, Unreachable):
                assert one.may_have_worked
            if isinstance(one, Refused):
                assert one.splittable is (is_idempotent and one.status == 422)


def test_a_later_step_that_is_not_let_in_is_told_of_the_lane():
    """Else every batch behind it would do its first step, too, and end as unknown."""
    for answer, kind in ((said(403), Unauthorized), (said(429, retry_after="7"), Deferred)):
        steps = {"batch": {"max_records": 10}, "steps": [CREATE, JOIN]}
        made = loaded(changed(SMALL, actions__add=steps, capabilities={"idempotent": False}))
        done = performed(made, owed_of(PEOPLE), Scripted(said(200), answer))
        assert [type(one) for one in done.outcomes] == [Unreachable] * 3
        assert type(done.stops) is kind


@pytest.mark.parametrize(("answer", "kind", "_"), LATER_FAILURES)
def test_a_step_that_only_looked_leaves_nothing_behind(answer, kind, _):
    """A GET changes nothing, so a later step's failure means what it says, whatever may be repeated."""
    found = outcomes_of(LOOK, said(200), answer, capabilities={"idempotent": False})
    assert [type(one) for one in found] == [kind] * 3
    may_have_worked = isinstance(answer, NoAnswerError) and answer.sent
    assert all(one.may_have_worked is may_have_worked for one in found if isinstance(one, Unreachable))
    assert all(one.splittable is (one.status == 422) for one in found if isinstance(one, Refused))


@pytest.mark.parametrize("answer", [said(503), said(404), said(200), NoAnswerError("late", sent=True)])
def test_a_record_refused_by_a_step_stays_refused(answer):
    """A later step's failure is the others' only."""
    errors = {"response": {"record_errors": {"items": "body.errors", "index": "at"}}}
    first = {**CREATE, **errors}
    found = outcomes_of(first, said(200, {"errors": [{"at": 1}]}), answer)
    assert isinstance(found[1], Refused)
    assert "refused the record" in found[1].reason
    assert type(found[0]) is type(found[2])
    assert (type(found[0]) is Delivered) is (not isinstance(answer, NoAnswerError) and answer.status == 200)


def test_a_refused_login_is_no_effect():
    """The first request was answered 401, and there is no new token: nothing has happened."""
    token = said(200, {"access_token": "t", "expires_in": 3600})
    found = outcomes_of(CREATE, token, said(401), NoAnswerError("no connection", sent=False), auth=OAUTH)
    assert [type(one) for one in found] == [Unreachable] * 3
    assert not any(one.may_have_worked for one in found if isinstance(one, Unreachable))
