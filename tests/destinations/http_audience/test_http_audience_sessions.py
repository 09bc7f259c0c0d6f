"""A whole list in several requests: numbered, the last one marked, bounded in memory, gone on with after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from catalogue_entries import ManyPeople, Meeting, kinds
from http_audience_cases import SMALL, Scripted, changed, loaded, previewed, problems_of, said

from gateway.core.identifiers import sha256_hex
from gateway.core.outcomes import Deferred, Refused
from gateway.destinations.base import Batch, Context, Owed, Performed
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.rehearsal import FreshNotes, HeldSnapshot
from gateway.sandbox.faults import Status
from gateway.sandbox.platforms import Meta
from gateway.sandbox.server import SandboxThread

NOW_US = 1_795_338_000_000_000
SLUG = "facebook-custom-audience-replace"
LIST = "23850000000001"

LISTS: dict[str, Any] = changed(
    SMALL,
    actions={
        "replace": {
            "method": "PUT",
            "path": "/people",
            "query": {"part": "{{session.seq}}"},
            "batch": {"max_records": 10},
            "session": {"life_s": 600},
            "body": {
                "upload": {
                    "id": {"@path": "$.session.id"},
                    "part": {"@path": "$.session.seq"},
                    "last": {"@path": "$.session.is_last"},
                    "all": {"@path": "$.session.size"},
                },
                "people": {"@each": {"in": "$.records", "do": {"e": {"@path": "$.record.email"}}}},
                "notes": {
                    "@each": {
                        "in": "$.records",
                        "do": {"n": {"@cast": {"to": "number", "value": {"@path": "$.record.n"}}}},
                    }
                },
                "note": {"@each": {"in": "$.records", "do": {"t": {"@path": "$.record.note"}}}},
            },
        }
    },
)


@pytest.fixture
def meta() -> Meta:
    return Meta()


@pytest.fixture
def url(meta: Meta) -> Iterator[str]:
    with SandboxThread([meta], port=0) as server:
        yield server.url


def people(*rows: dict[str, Any]) -> HeldSnapshot:
    """A list of these payloads."""
    return HeldSnapshot(people=tuple((f"user_id:{at}", one) for at, one in enumerate(rows)))


def many(count: int) -> HeldSnapshot:
    """A list of so many."""
    return people(*({"email": f"p{number}@example.com"} for number in range(count)))


def upload(
    definition: Any,
    partner: Any,
    snapshot: Any,
    *,
    notes: Any = None,
    now_us: int = NOW_US,
    delivery: int = 1,
    hashing: Any = "on",
    goes_on: Any = None,
) -> Performed:
    """One delivery of a whole list."""
    import asyncio

    destination = loaded(definition)
    owed = (Owed(id=delivery, operation="replace", payload={}, planned=True, audience_key="vip"),)
    batch = Batch(action="syncAudience", settings={}, corrections=frozenset(), owed=owed, hashing=hashing)
    context = Context(http=partner, notes=notes or FreshNotes(), now_us=now_us, snapshot=snapshot, goes_on=goes_on)
    return asyncio.run(destination.perform(batch, context))


def told(partner: Scripted) -> list[dict[str, Any]]:
    """What the requests said of their session."""
    return [json.loads(request.body)["upload"] for request in partner.requests]


# --- The format ---


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"actions__add__session": {}}, "/actions/add/session"),
        ({"actions__add__body": {"id": {"@path": "$.session.id"}}}, "/actions/add"),
        ({"actions__add__path": "/{{session.id}}"}, "/actions/add"),
        ({"actions__replace__body__x": {"@path": "$.session.total"}}, "/actions/replace"),
        ({"actions__replace__body__x": {"@path": "$.session"}}, "/actions/replace"),
        ({"actions__replace__query__q": "{{session.is_first}}"}, "/actions/replace"),
        ({"actions__replace__session": {"first": 2}}, "/actions/replace/session/first"),
        ({"actions__replace__session": {"life_s": 1}}, "/actions/replace/session/life_s"),
        ({"actions__replace__session": {"last": True}}, "/actions/replace/session/last"),
        ({"actions__replace__session": True}, "/actions/replace/session"),
        ({"actions__replace__session": None}, "/actions/replace"),
    ],
)
def test_a_session_belongs_to_a_replace_and_has_four_members(change: dict[str, Any], pointer: str) -> None:
    """Anything else is told when the file is read."""
    base = changed(LISTS, actions__add=SMALL["actions"]["add"])
    assert problems_of(base) == []
    assert pointer in [place for place, _ in problems_of(changed(base, **change))]


def test_a_preview_shows_the_list_as_one_request() -> None:
    """As if nobody else were on it."""
    shown = previewed(LISTS, [{"id": "m-1", "action": "replace", "fields": {"email": "a@example.com"}}])
    assert shown["requests"][0]["body"]["upload"] == {"id": 1, "part": 1, "last": True, "all": 1}
    assert shown["requests"][0]["url"].endswith("?part=1")


# --- Uploading ---


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (10, [10]), (11, [10, 1]), (35, [10, 10, 10, 5])])
def test_a_list_goes_in_numbered_requests_and_the_last_is_marked(count: int, sizes: list[int]) -> None:
    """One id for all of them; everybody in order, once."""
    partner = Scripted(said(200))
    done = upload(LISTS, partner, many(count))
    assert (kinds(done), done.requests) == ({"Delivered"}, len(sizes))
    assert [len(json.loads(one.body)["people"]) for one in partner.requests] == sizes
    parts = told(partner)
    assert [one["part"] for one in parts] == list(range(1, len(sizes) + 1))
    assert [one["last"] for one in parts] == [False] * (len(sizes) - 1) + [True]
    assert {one["all"] for one in parts} == {count}
    assert len({one["id"] for one in parts}) == 1
    assert 0 < parts[0]["id"] < 2**53
    assert [one.url.rpartition("=")[2] for one in partner.requests] == [str(one["part"]) for one in parts]
    sent = [one["e"] for request in partner.requests for one in json.loads(request.body)["people"]]
    assert sent == [f"p{number}@example.com" for number in range(count)]
    assert done.counts["lines"] == count
    assert "@example.com" not in repr(done)


def test_numbers_may_begin_at_zero() -> None:
    """`first` says so."""
    partner = Scripted(said(200))
    upload(changed(LISTS, actions__replace__session__first=0), partner, many(11))
    assert [one["part"] for one in told(partner)] == [0, 1]


def test_bytes_cut_a_session_too() -> None:
    """Each body stays below the limit, and nobody is left out."""
    partner = Scripted(said(200))
    upload(changed(LISTS, actions__replace__batch={"max_records": 100, "max_bytes": 500}), partner, many(40))
    assert all(len(one.body) <= 500 for one in partner.requests)
    assert [one["last"] for one in told(partner)].index(True) == len(partner.requests) - 1 > 1
    assert sum(len(json.loads(one.body)["people"]) for one in partner.requests) == 40


def test_who_cannot_be_sent_is_left_out_and_counted() -> None:
    """Also where that is everybody behind the last request, or everybody."""
    bad = {"email": "x@example.com", "n": "many"}
    partner = Scripted(said(200))
    done = upload(LISTS, partner, people(bad, *({"email": f"{at}@example.com"} for at in range(10)), bad, bad, {}))
    assert [one["last"] for one in told(partner)] == [False, True]
    assert (done.counts["lines"], done.counts["skipped"]) == (10, 4)
    partner = Scripted(said(200))
    done = upload(LISTS, partner, people(*({"email": f"{at}@example.com"} for at in range(10)), *[bad] * 15))
    assert [one["last"] for one in told(partner)] == [True]
    done = upload(LISTS, Scripted(said(200)), people(bad, {}))
    assert isinstance(done.outcomes[0], Refused)
    assert done.outcomes[0].reason.startswith("empty_record")
    assert kinds(upload(LISTS, Scripted(said(200)), people())) == {"Refused"}


def test_no_more_than_three_batches_are_in_memory() -> None:
    """Of 20,000 people, those read and not yet sent never exceed three requests and a page of the snapshot."""
    snapshot = ManyPeople(20_000)
    ahead: list[int] = []
    sent = 0

    def take(request: Any) -> Any:
        nonlocal sent
        ahead.append(snapshot.read - sent)
        sent += len(json.loads(request.body)["people"])
        return said(200)

    done = upload(changed(LISTS, actions__replace__batch__max_records=1_000), Scripted(take), snapshot)
    assert (kinds(done), sent, len(ahead)) == ({"Delivered"}, 20_000, 20)
    assert max(ahead) <= 4_000
    assert sum(len(repr(one)) for one in [done]) < 10_000


# --- Interruptions ---


def test_an_interrupted_upload_goes_on_in_its_session() -> None:
    """Behind the last request that was answered, with the same id; the one without an answer is sent again, byte for byte."""
    notes = FreshNotes()
    first = Scripted(said(200), said(200), said(503))
    assert kinds(upload(LISTS, first, many(35), notes=notes)) == {"Unreachable"}
    second = Scripted(said(200))
    assert kinds(upload(LISTS, second, many(35), notes=notes, now_us=NOW_US + 60_000_000)) == {"Delivered"}
    assert [one["part"] for one in told(second)] == [3, 4]
    assert first.requests[-1].body == second.requests[0].body


def test_an_upload_that_is_stopped_makes_no_further_request_and_goes_on_later() -> None:
    """The run or the lane is stopped while the second of four requests is on its way; nothing is lost and nothing used up."""
    notes, first, second = FreshNotes(), Scripted(said(200)), Scripted(said(200))

    async def goes_on() -> bool:
        return len(first.requests) < 2

    (outcome,) = upload(LISTS, first, many(35), notes=notes, goes_on=goes_on).outcomes
    assert isinstance(outcome, Deferred)
    assert (outcome.status, outcome.concerns, len(first.requests)) == (0, "delivery", 2)
    assert kinds(upload(LISTS, second, many(35), notes=notes, now_us=NOW_US + 60_000_000)) == {"Delivered"}
    assert [one["part"] for one in told(second)] == [3, 4]


@pytest.mark.parametrize(
    "more",
    [{"now_us": NOW_US + 601_000_000}, {"delivery": 2}, {"now_us": NOW_US - 1_000_000}],
    ids=["too old", "another run", "a clock put back"],
)
def test_a_session_that_is_not_this_uploads_is_begun_anew(more: dict[str, int]) -> None:
    """With another id, from the first request on."""
    notes = FreshNotes()
    first, second = Scripted(said(200), said(503)), Scripted(said(200))
    upload(LISTS, first, many(25), notes=notes)
    upload(LISTS, second, many(25), notes=notes, **{"now_us": NOW_US + 1_000, **more})
    assert [one["part"] for one in told(second)] == [1, 2, 3]
    assert told(first)[0]["id"] != told(second)[0]["id"]


@pytest.mark.parametrize("change", [{"actions__replace__batch__max_records": 5}, {"hashing": "off"}])
def test_a_session_whose_batches_were_made_otherwise_is_begun_anew(change: dict[str, Any]) -> None:
    """The definition was edited in between: going on behind the second request would leave people out."""
    notes = FreshNotes()
    first, second = Scripted(said(200), said(503)), Scripted(said(200))
    upload(LISTS, first, many(25), notes=notes)
    hashing = change.pop("hashing", "on")
    upload(changed(LISTS, **change), second, many(25), notes=notes, now_us=NOW_US + 1_000, hashing=hashing)
    assert told(second)[0]["part"] == 1
    assert told(first)[0]["id"] != told(second)[0]["id"]


def test_a_refused_session_is_not_gone_on_with() -> None:
    """The next try begins anew; a finished one is forgotten too."""
    for answer in (said(404), said(200)):
        notes = FreshNotes()
        upload(LISTS, Scripted(said(200), answer), many(15), notes=notes)
        again = Scripted(said(200))
        upload(LISTS, again, many(15), notes=notes, now_us=NOW_US + 1_000)
        assert [one["part"] for one in told(again)] == [1, 2]


def test_a_note_that_is_none_is_a_new_session() -> None:
    """Whatever stands there."""
    notes = FreshNotes()
    upload(LISTS, Scripted(said(200), said(503)), many(15), notes=notes)
    (key,) = notes._values
    notes._values[key] = b"{"
    partner = Scripted(said(200))
    upload(LISTS, partner, many(15), notes=notes)
    assert [one["part"] for one in told(partner)] == [1, 2]


# --- Without a session ---


def test_without_a_session_a_list_is_one_request_or_none() -> None:
    """Two would each erase the other's people."""
    alone = changed(
        LISTS, actions__replace__session=None, actions__replace__query=None, actions__replace__body__upload=None
    )
    partner = Scripted(said(200))
    assert kinds(upload(alone, partner, many(10))) == {"Delivered"}
    assert len(partner.requests) == 1
    for definition, count in ((alone, 11), (changed(alone, actions__replace__batch__max_bytes=200), 10)):
        partner = Scripted(said(200))
        done = upload(definition, partner, many(count))
        assert isinstance(done.outcomes[0], Refused)
        assert done.outcomes[0].reason.startswith("record_too_large")
        assert not done.outcomes[0].splittable
        assert partner.requests == []


# --- Meta ---


def test_meta_gets_a_list_of_25000_in_three_requests(meta: Meta, url: str) -> None:
    """In the place of whom it had; not before the last request."""
    meta.configure(b'{"record": "counts"}')
    meta.lists[LIST].put(["gone"], {})
    seen: list[tuple[int, bool]] = []
    meeting = Meeting(SLUG, url)

    def watch() -> bool:
        seen.append((sum(one.is_done for one in meta.log), "gone" in meta.lists[LIST].people))
        return False

    snapshot = ManyPeople(25_000)
    changes = meta._replace

    def noted(call: Any, list_id: str) -> Any:
        answer = changes(call, list_id)
        watch()
        return answer

    meta._replace = noted  # type: ignore[method-assign]
    done = meeting.replace(snapshot)
    assert (kinds(done), done.requests, snapshot.read) == ({"Delivered"}, 3, 25_000)
    assert meta.members(LIST) == {sha256_hex(f"person{number}@example.com") for number in range(25_000)}
    assert [had for _, had in seen] == [True, True, False]


def test_meta_goes_on_where_it_was_interrupted(meta: Meta, url: str) -> None:
    """The second of three requests meets a fault; the next try sends two. Other changes wait meanwhile."""
    meeting, other = Meeting(SLUG, url), Meeting("facebook-custom-audience", url)
    meta.configure(b'{"record": "counts"}')
    changes = meta._replace
    calls = 0

    def once(call: Any, list_id: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            meta.faults.add(Status(status=500, target="replace"))
        return changes(call, list_id)

    meta._replace = once  # type: ignore[method-assign]
    assert kinds(meeting.replace(ManyPeople(21_000))) == {"Unreachable"}
    assert kinds(other.put([{"email": "bo@example.org"}])) == {"Unreachable"}
    assert kinds(meeting.replace(ManyPeople(21_000))) == {"Delivered"}
    assert len(meta.members(LIST)) == 21_000
    assert [one.names for one in meta.log].count(("replace",)) == 4
    assert kinds(other.put([{"email": "bo@example.org"}])) == {"Delivered"}


def test_the_catalogue_says_that_meta_takes_whole_lists() -> None:
    """So that a sync runs it once a day, and no event is forwarded."""
    action = catalog()[SLUG].definition.actions[0]
    assert action.sync_only
    assert action.capabilities is not None
    assert action.capabilities.takes_whole_lists
