"""Lists found or made at first need: one for an audience at a host and a place, whoever asks, however many at once."""

import asyncio

import pytest
from http_audience_cases import NOW_US, SMALL, Scripted, changed, loaded, owed_of, performed, said

from gateway.core.outcomes import Delivered, Unreachable
from gateway.destinations.base import Batch, Context
from gateway.destinations.http_audience.list_verbs import ListWanted, keep_list
from gateway.destinations.rehearsal import FreshNotes

SAVE = {"audience_id": "body.id"}
LISTS = changed(
    SMALL,
    target={"account": {"label": "Account", "default": "one"}, "audience_id": {"label": "Id", "required": True}},
    actions__add__path="/l/{{connection.audience_id}}",
    audience={
        "get": {"method": "GET", "path": "/{{connection.account}}/lists", "save": SAVE},
        "create": {"method": "POST", "path": "/{{connection.account}}/lists", "body": {}, "save": SAVE},
        "delete": {"method": "DELETE", "path": "/lists/{{connection.audience_id}}"},
    },
)
ENTRY: dict[str, object] = {"create": True}


class Partner:
    """Knows no list until it made one, and makes one each time it is asked; every answer comes a few turns of the loop later."""

    def __init__(self):
        self.made = 0
        self.added = []

    async def send(self, request):
        for _ in range(5):
            await asyncio.sleep(0)
        if not request.url.endswith("/lists"):
            self.added.append(request.url.rpartition("/")[2])
            return said(200)
        if request.method == "GET":
            return said(404)
        self.made += 1
        return said(201, {"id": self.made})


def batch_of(entry=None, settings=None):
    owed = owed_of([{"email": "a"}], audience_key="vip", audience_settings={**ENTRY, **(entry or {})})
    return Batch(action="syncAudience", settings=settings or {}, owed=owed, corrections=frozenset())


def test_batches_at_the_same_time_make_one_list():
    """And so does the operator who asks meanwhile: a second list would get half of the people."""
    partner, notes, destination = Partner(), FreshNotes(), loaded(LISTS)
    context = Context(http=partner, notes=notes, now_us=NOW_US)

    async def together():
        wanted = ListWanted(settings={}, entry=dict(ENTRY), audience_key="vip")
        performing = [destination.perform(batch_of(), context) for _ in range(4)]
        *done, shown = await asyncio.gather(*performing, keep_list(destination, "create", wanted, context))
        assert [one.outcomes for one in done] == [(Delivered(),)] * 4
        assert (shown.audience_id, shown.origin) == ("1", "kept")

    asyncio.run(together())
    assert (partner.made, partner.added) == (1, ["1"] * 4)


@pytest.mark.parametrize(
    ("entry", "settings"), [({"account": "two"}, {}), ({}, {"base_url": "https://api.other.example/v1"})]
)
def test_another_account_or_host_has_another_list(entry, settings):
    """The id of the sandbox's list must not be taken for the real one's."""
    partner, notes, destination = Partner(), FreshNotes(), loaded(LISTS)
    context = Context(http=partner, notes=notes, now_us=NOW_US)
    for one in (batch_of(), batch_of(entry, settings), batch_of()):
        asyncio.run(destination.perform(one, context))
    assert partner.added == ["1", "2", "1"]


def test_another_version_of_the_api_has_the_same_list():
    """An upgrade of the definition makes no second one."""
    partner, notes = Partner(), FreshNotes()
    context = Context(http=partner, notes=notes, now_us=NOW_US)
    for version in ("v1", "v2"):
        destination = loaded(changed(LISTS, base_url=f"https://api.small.example/{version}"))
        asyncio.run(destination.perform(batch_of(), context))
    assert partner.added == ["1", "1"]


def test_an_answer_that_is_no_json_is_not_taken_for_no_list():
    """A page of maintenance with status 200: asked again later, and no second list is made."""
    partner = Scripted(said(200, None))
    owed = owed_of([{"email": "a"}], audience_key="vip", audience_settings=dict(ENTRY))
    (outcome,) = performed(loaded(LISTS), owed, partner).outcomes
    assert isinstance(outcome, Unreachable)
    assert outcome.reason.startswith("response_unreadable: Small API answered about its list")
    assert [request.method for request in partner.requests] == ["GET"]
