"""Batches that take long: many requests, jobs that run, tokens that end meanwhile, bodies kept for debugging."""

import asyncio
import json

import pytest
from http_audience_cases import NOW_US, SMALL, Scripted, changed, loaded, owed_of, performed, said

from gateway.core.outcomes import Deferred, Delivered, Unreachable
from gateway.destinations.base import Batch, Context
from gateway.destinations.http_audience import dispatching
from gateway.destinations.rehearsal import FreshNotes

ONE_BY_ONE = changed(SMALL, actions__add__batch={"max_records": 1})
JOB = {
    "async": {
        "job": "body.id",
        "poll": {"path": "/jobs/{{job}}", "every_s": 0.05, "until": "body.done", "failed": "body.bad", "timeout_s": 1},
    }
}
OAUTH = {
    "type": "oauth2_client_credentials", "token_url": "/token", "client_id": {"$secret": "ID"}, "client_secret": {"$secret": "KEY"}
}  # fmt: skip


def test_what_is_not_sent_in_time_waits_alone_and_uses_up_nothing(monkeypatch):
    """The lane would give the whole batch up; so the rest of it is due again, and its lane goes on."""
    monkeypatch.setattr(dispatching, "SENDING_S_MAX", -1.0)
    partner = Scripted(said(200))
    done = performed(loaded(ONE_BY_ONE), owed_of([{"email": "a"}, {"email": "b"}]), partner)
    assert partner.requests == []
    assert {(type(one), one.concerns, one.wait_s) for one in done.outcomes} == {(Deferred, "delivery", 1.0)}


def test_a_batch_that_is_stopped_makes_no_further_request():
    """Of four requests the second is on its way when the run or the lane is stopped: the rest waits and uses up nothing."""
    partner = Scripted(said(200))

    async def goes_on() -> bool:
        return len(partner.requests) < 2

    owed = owed_of([{"email": one} for one in "abcd"])
    batch = Batch(action="syncAudience", settings={}, owed=owed, corrections=frozenset())
    context = Context(http=partner, notes=FreshNotes(), now_us=NOW_US, goes_on=goes_on)
    done = asyncio.run(loaded(ONE_BY_ONE).perform(batch, context))
    assert len(partner.requests) == 2
    assert [type(one) for one in done.outcomes] == [Delivered, Delivered, Deferred, Deferred]
    assert {(one.concerns, one.reason) for one in done.outcomes[2:]} == {
        ("delivery", "Not sent: its run or its destination was stopped before.")
    }


class Jobs:
    """Takes batches as jobs; what it says when asked for one is given in turn. With a token call."""

    def __init__(self, *polls):
        self.paths = []
        self.tokens = []
        self._polls = list(polls)

    async def send(self, request):
        path = request.url.partition("/v1")[2]
        self.paths.append(path)
        if path == "/token":
            return said(200, {"access_token": f"t{len(self.paths)}", "expires_in": 3600})
        self.tokens.append(request.headers.get("Authorization"))
        if path == "/people":
            return said(202, {"id": "j1"})
        return self._polls.pop(0) if len(self._polls) > 1 else self._polls[0]


@pytest.mark.parametrize(
    ("polls", "kind", "words"),
    [
        ([said(200, {"done": False}), said(200, {"done": True})], Delivered, ""),
        ([said(503), said(200, {"done": True})], Delivered, ""),
        ([said(401), said(200, {"done": True})], Delivered, ""),
        ([said(401)], Unreachable, "answered 401 Unauthorized when asked what became of it"),
        ([said(404)], Unreachable, "answered 404 Not Found when asked what became of it"),
        ([said(200, {"done": False})], Unreachable, "did not finish it within 1 s"),
    ],
)
def test_a_job_is_asked_for_until_it_is_done(polls, kind, words):
    """A token that ends meanwhile is fetched once more; whatever stays open is unsure, since the batch was taken."""
    destination = loaded(changed(SMALL, response=JOB, auth=OAUTH), ID="i", KEY="k")
    partner = Jobs(*polls)
    (outcome,) = performed(destination, owed_of([{"email": "a"}]), partner).outcomes
    assert isinstance(outcome, kind)
    assert words in getattr(outcome, "reason", "")
    assert partner.paths.count("/people") == 1
    assert partner.paths.count("/token") == 1 + (polls[0].status == 401)
    assert isinstance(outcome, Delivered) or outcome.may_have_worked


def test_samples_count_batches_not_requests():
    """Two steps a batch; of two batches the first body each."""
    steps = [
        {"method": "POST", "path": "/open", "body": {"step": 1}, "save": {"box": "body.box"}},
        {"method": "POST", "path": "/fill", "body": {"box": {"@path": "$.steps.box"}, "n": {"@path": "$.batch.size"}}},
    ]
    file = changed(SMALL, limits={"debug_samples": 2}, actions={"add": {"batch": {"max_records": 1}, "steps": steps}})
    notes = FreshNotes()
    people = [{"email": one} for one in "abc"]
    performed(loaded(file), owed_of(people), Scripted(said(200, {"box": "b"})), notes=notes)
    kept = [asyncio.run(notes.get(f"debug/{number}")) for number in range(3)]
    assert [one and json.loads(one) for one in kept] == [{"step": 1}, {"step": 1}, None]
