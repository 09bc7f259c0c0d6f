"""Every shipped definition against its fake in the sandbox, over a socket: lists follow audiences, whatever goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from catalogue_entries import ENTRIES, hold, keys, kinds, list_of, payloads

from gateway.core.outcomes import Deferred, Refused, Unreachable
from gateway.destinations.http_audience.catalog import catalog
from gateway.sandbox.faults import Bandwidth as Trickle
from gateway.sandbox.faults import Down, Fault, Latency, Reset, Slices, SlowClose, Status, Timeout, Truncate
from gateway.sandbox.server import shipped_partners

SLUGS = list(ENTRIES)
CANARY = "quetzalbird@canarymail.example.com"


@pytest.mark.parametrize("slug", catalog())
def test_every_shipped_definition_has_a_fake(slug: str) -> None:
    """Nothing ships that was not tried."""
    assert slug in ENTRIES, f"{slug} has no fake to meet: give it an entry of ENTRIES in catalogue_entries.py."
    assert ENTRIES[slug].partner in {one.name for one in shipped_partners()}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_list_follows_the_audience(slug: str, meet: Any) -> None:
    """People enter, some leave, all of them leave or change; a repeat changes nothing, and nobody is refused."""
    meeting, partner = meet(slug)
    for numbers in ((0, 1, 2, 3), (0, 1, 2, 3, 4, 5), (1, 4), (1, 2, 4)):
        hold(slug, meeting, partner, *numbers)
        assert list_of(partner, slug) == keys(slug, *numbers)
    assert kinds(meeting.put(payloads(slug, 1, 2, 4))) == {"Delivered"}
    assert list_of(partner, slug) == keys(slug, 1, 2, 4)
    if "update" in meeting.destination.file.actions:
        assert kinds(meeting.put(payloads(slug, 1, 2), "update")) == {"Delivered"}
        assert list_of(partner, slug) == keys(slug, 1, 2, 4)
    if not meeting.played.replaces:
        assert kinds(meeting.put(payloads(slug, 0, 1, 2, 4), "exit")) == {"Delivered"}  # Nobody has to be there.
        assert list_of(partner, slug) == frozenset()
    assert partner.counts()["refused"] == 0


# What one person the platform does not take does to a request for three.
PARTIAL = {
    "facebook-custom-audience": ["Delivered"] * 3,  # counted as invalid, and never named
    "google-ads-customer-match": ["Refused"] * 3,  # nobody was taken; halved by the lane
    "hubspot-list": ["Delivered", "Refused", "Delivered"],
    "salesforce-campaign": ["Delivered", "Refused", "Delivered"],
    "braze-user-attribute": ["Delivered", "Refused", "Delivered"],
    "mailchimp-audience-tag": ["Delivered", "Refused", "Delivered"],
    "webhook-audience": ["Delivered", "Refused", "Delivered"],
}


@pytest.mark.parametrize("slug", PARTIAL)
def test_one_person_that_is_not_taken_costs_the_others_nothing(slug: str, meet: Any) -> None:
    """As far as the platform says who it was; the reason never does."""
    bad = ENTRIES[slug].people[1][1]
    meeting, partner = meet(slug, {"refused_people": [bad]})
    done = meeting.put(payloads(slug, 0, 1, 2))
    assert [type(one).__name__ for one in done.outcomes] == PARTIAL[slug]
    assert bad not in repr(done)
    if slug == "google-ads-customer-match":
        assert all(isinstance(one, Refused) and one.splittable for one in done.outcomes)
        assert kinds(meeting.put(payloads(slug, 0))) == kinds(meeting.put(payloads(slug, 2))) == {"Delivered"}
        assert kinds(meeting.put(payloads(slug, 1))) == {"Refused"}
    assert list_of(partner, slug) == keys(slug, 0, 2)


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug != "signed-webhook"])  # where nobody can be wrong
def test_a_request_of_nobody_but_bad_people_is_refused(slug: str, meet: Any) -> None:
    """Each by itself, where nothing is left to halve."""
    meeting, partner = meet(slug, {"refused_people": [ENTRIES[slug].people[0][1]]})
    assert kinds(meeting.put(payloads(slug, 0))) == {"Refused"}
    assert list_of(partner, slug) == frozenset()


@pytest.mark.parametrize("slug", ["google-ads-customer-match", "salesforce-campaign"])
def test_a_token_that_expired_is_asked_for_once_more(slug: str, meet: Any) -> None:
    """The request that met it is sent again, and nobody notices."""
    meeting, partner = meet(slug)
    hold(slug, meeting, partner, 0, 1)
    partner.expire_tokens()
    hold(slug, meeting, partner, 0, 1, 2)
    assert list_of(partner, slug) == keys(slug, 0, 1, 2)
    assert partner.counts()["tokens"] == 2


def test_a_token_is_not_used_beyond_its_life(meet: Any) -> None:
    """The platform says how long it lasts; within a minute of that a new one is asked for, without a refusal."""
    meeting, partner = meet("google-ads-customer-match", {"token_life_s": 30})
    hold("google-ads-customer-match", meeting, partner, 0)
    hold("google-ads-customer-match", meeting, partner, 0, 1)
    assert (partner.counts()["tokens"], partner.counts()["refused"]) == (2, 0)


@pytest.mark.parametrize("slug", SLUGS)
def test_credentials_that_are_wrong_hold_the_lane(slug: str, meet: Any) -> None:
    """Nobody is refused for them."""
    meeting, partner = meet(slug, **ENTRIES[slug].wrong)
    assert kinds(meeting.put(payloads(slug, 0, 1))) == {"Unauthorized"}
    assert list_of(partner, slug) == frozenset()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_busy_platform_is_asked_again(slug: str, meet: Any) -> None:
    """Its own way of saying so, whatever the status; and 503, with a wait where it names one."""
    meeting, partner = meet(slug)
    if slug in {"google-ads-customer-match", "salesforce-campaign"}:  # A token is there already.
        hold(slug, meeting, partner, 5)
        hold(slug, meeting, partner)
    (refusal,) = [kind for kind in partner.fault_kinds if kind.__struct_config__.tag == "refusal"]
    for fault, kind in (
        (refusal(case=ENTRIES[slug].busy), {"Unreachable", "Deferred"}),
        (Status(status=503), {"Unreachable"}),
        (Status(status=503, retry_after=7), {"Deferred"}),
        (Status(status=500, body="html"), {"Unreachable"}),
    ):
        partner.faults.add(fault)
        done = meeting.put(payloads(slug, 0))
        assert kinds(done) <= kind, fault
        assert not isinstance(done.outcomes[0], Deferred) or done.outcomes[0].wait_s in (1, 7)
    assert list_of(partner, slug) == frozenset()
    hold(slug, meeting, partner, 0)
    assert list_of(partner, slug) == keys(slug, 0)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_platforms_pace_is_kept_by_waiting(slug: str, meet: Any) -> None:
    """A call too many is refused as the platform does it, and nobody is lost."""
    meeting, partner = meet(slug, {"calls_max": 0})
    assert kinds(meeting.put(payloads(slug, 0))) <= {"Unreachable", "Deferred"}
    partner.configure(b'{"calls_max": 1000}')
    hold(slug, meeting, partner, 0)
    assert list_of(partner, slug) == keys(slug, 0)


@pytest.mark.parametrize(
    "slug", [one for one in SLUGS if one not in {"braze-user-attribute", "signed-webhook"}]
)  # which make lists as they go
def test_a_list_that_is_not_there_refuses_everybody(slug: str, meet: Any) -> None:
    """And says so at once; no other list is touched."""
    meeting, partner = meet(slug)
    entry = {**ENTRIES[slug].audience, "external_id": ENTRIES[slug].list_id[:-1] + "9"}
    done = meeting.put(payloads(slug, 0, 1), **entry)
    assert kinds(done) == {"Refused"}
    if slug != "salesforce-campaign":
        assert not any(isinstance(one, Refused) and one.splittable for one in done.outcomes)
    assert list_of(partner, slug) == frozenset()


@pytest.mark.parametrize("slug", [slug for slug, one in ENTRIES.items() if one.made is not None])
def test_a_list_is_made_at_first_need_and_once(slug: str, meet: Any) -> None:
    """Its id is noted; where the platform can be asked, another gateway finds the list by its name."""
    meeting, partner = meet(slug)
    before = set(partner.lists)
    entry = ENTRIES[slug].made
    for _ in range(2):
        assert kinds(meeting.put(payloads(slug, 0, 1), **entry)) == {"Delivered"}
    (made,) = set(partner.lists) - before
    assert (partner.lists[made].name, partner.members(made)) == ("Big spenders", keys(slug, 0, 1))
    if meeting.destination.file.lists.get is not None:
        meeting.notes._values.clear()
        assert kinds(meeting.put(payloads(slug, 2), **entry)) == {"Delivered"}
        assert set(partner.lists) - before == {made}


FAULTS: list[Fault] = [
    Latency(delay_s=0.02, jitter_s=0.01), Trickle(bytes_per_s=100_000), SlowClose(delay_s=0.01), Timeout(hold_s=0.02),
    Timeout(hold_s=0.02, carried_out=True), Reset(), Reset(carried_out=True), Reset(when="during"),
    Slices(slice_bytes=3, delay_s=0), Truncate(), Down(times=1),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{number}-{one.kind}" for number, one in enumerate(FAULTS)])
@pytest.mark.parametrize("slug", SLUGS)
def test_after_a_fault_of_the_network_the_list_comes_right(slug: str, fault: Fault, meet: Any) -> None:
    """The eight classic ones: nobody is refused, and the next try of what is left makes the list equal."""
    meeting, partner = meet(slug)
    partner.faults.add(fault)
    first = meeting.put(payloads(slug, 0, 1, 2))
    assert kinds(first) <= {"Delivered", "Unreachable"}
    left = [
        at
        for at, one in enumerate(first.outcomes * (3 if meeting.played.replaces else 1))
        if isinstance(one, Unreachable)
    ]
    if left:
        again = payloads(slug, 0, 1, 2) if meeting.played.replaces else payloads(slug, *left)
        assert kinds(meeting.put(again)) == {"Delivered"}
    assert list_of(partner, slug) == keys(slug, 0, 1, 2)
