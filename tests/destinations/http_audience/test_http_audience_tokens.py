"""OAuth tokens when several batches of one lane go out at the same time: one call for all of them, and one more after a refusal."""

import asyncio

import pytest
from http_audience_cases import NOW_US, SMALL, Scripted, changed, loaded, owed_of, performed, said

from gateway.core.outcomes import Delivered, Unreachable
from gateway.destinations.base import Batch, Context
from gateway.destinations.rehearsal import FreshNotes

OAUTH = {
    "type": "oauth2_client_credentials", "token_url": "/token", "client_id": {"$secret": "ID"}, "client_secret": {"$secret": "S"},
}  # fmt: skip
BATCHES = 8


class Partner:
    """Gives a token a call, in turn, and takes only the latest one; every answer comes a few turns of the loop later."""

    def __init__(self) -> None:
        self.tokens = 0
        self.refused = 0
        self.life_s = 3600

    async def send(self, request):
        for _ in range(5):
            await asyncio.sleep(0)
        if request.url.endswith("/token"):
            self.tokens += 1
            return said(200, {"access_token": f"t{self.tokens}", "expires_in": self.life_s})
        if request.headers["Authorization"] != f"Bearer t{self.tokens}":
            self.refused += 1
            return said(401)
        return said(200)


@pytest.fixture
def destination():
    return loaded(changed(SMALL, auth=OAUTH), ID="i", S="s")


async def at_once(destination, partner, notes, *, now_us=NOW_US):
    """So many batches together; their outcomes."""
    context = Context(http=partner, notes=notes, now_us=now_us)
    batch = Batch(action="syncAudience", settings={}, owed=owed_of([{"email": "a"}]), corrections=frozenset())
    done = await asyncio.gather(*(destination.perform(batch, context) for _ in range(BATCHES)))
    return [one.outcomes[0] for one in done]


def test_batches_that_go_out_together_share_one_call_for_a_token(destination):
    """Whoever comes first asks."""
    partner = Partner()
    outcomes = asyncio.run(at_once(destination, partner, FreshNotes()))
    assert {type(one) for one in outcomes} == {Delivered}
    assert (partner.tokens, partner.refused) == (1, 0)


def test_a_token_that_all_of_them_were_refused_is_fetched_once_more(destination):
    """The later refusals find the new one there, and leave it."""
    partner = Partner()

    async def both():
        notes = FreshNotes()
        await at_once(destination, partner, notes)
        partner.tokens += 1  # The partner has forgotten the first.
        return await at_once(destination, partner, notes)

    outcomes = asyncio.run(both())
    assert {type(one) for one in outcomes} == {Delivered}
    assert (partner.tokens, partner.refused) == (3, BATCHES)


def test_a_token_counts_as_expired_a_minute_early(destination):
    """Used to the last second of what remains, asked for anew after that."""
    partner, notes = Partner(), FreshNotes()
    asyncio.run(at_once(destination, partner, notes))
    asyncio.run(at_once(destination, partner, notes, now_us=NOW_US + (3600 - 61) * 1_000_000))
    assert partner.tokens == 1
    asyncio.run(at_once(destination, partner, notes, now_us=NOW_US + (3600 - 60) * 1_000_000))
    assert partner.tokens == 2


@pytest.mark.parametrize(("steps", "may_have_worked"), [(1, False), (2, True)])
def test_a_token_that_is_missing_in_the_middle_leaves_open_what_came_before(steps, may_have_worked):
    """The first step was answered: where a change must not be asked for twice, that is no reason to ask again."""
    step = {"method": "POST", "path": "/people", "body": {"n": 1}}
    file = changed(SMALL, auth=OAUTH, actions={"add": {"steps": [step] * steps}})
    destination = loaded(file, ID="i", S="s")
    answers = [said(200, {"access_token": "t", "expires_in": 3600}), said(200), said(401), said(503)]
    if steps == 1:
        answers = [said(503)]
    (outcome,) = performed(destination, owed_of([{"email": "a"}]), Scripted(*answers)).outcomes
    assert isinstance(outcome, Unreachable)
    assert outcome.may_have_worked == may_have_worked
