"""Taboola against the fake one: tokens, audiences, batches, faults; every scenario of the contract."""

import asyncio
import gc

import pytest

from gateway.core.identifiers import sha256_hex
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.base import AudienceFound, AudienceWanted, Batch
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.taboola import session
from gateway.destinations.taboola.perform import TABOOLA
from gateway.sandbox.faults import Down, Latency, Reset, Status
from gateway.sandbox.taboola import Refusal

pytestmark = pytest.mark.anyio
MARIA = ("EMAIL_ID", sha256_hex("maria@example.org"))
OK = Delivered(status=200)


def kinds(performed):
    return [type(outcome) for outcome in performed.outcomes]


# people -------------------------------------------------------------------------------------------------------------


async def test_a_person_is_added_and_removed(desk, make_owed):
    """One token for both; the list follows."""
    added = await desk.send(make_owed(device="AND-1"))
    assert added.outcomes == (OK,)
    assert desk.partner.audiences[1001].members == {MARIA, ("DEVICE_ID", "AND-1")}
    await desk.send(make_owed(device="AND-1", flag=False))
    assert desk.partner.audiences[1001].members == frozenset()
    assert desk.names() == ["token", "users", "users"]
    assert (added.request, added.answer, added.requests) == ("ADD 1 person audience 1001", "200 ok", 2)


async def test_a_batch_is_split_by_operation_and_audience_and_goes_out_in_order(desk, make_owed):
    """Each delivery has the outcome of its request, also those that were never sent."""
    performed = await desk.send(
        make_owed("a@example.org", audience="1001"),
        make_owed("b@example.org", False, audience="1002"),
        make_owed(None),
        make_owed("c@example.org", audience="1002"),
        make_owed("a@example.org", False, audience="1001"),
        make_owed("d@example.org", audience="99"),
    )
    assert kinds(performed) == [Delivered, Delivered, Refused, Delivered, Delivered, Refused]
    sent = [(one["operation"], one["audience_id"], len(one["identities"])) for one in desk.calls("users")]
    assert sent == [("REMOVE", 1002, 1), ("REMOVE", 1001, 1), ("ADD", 1002, 1), ("ADD", 99, 1)]
    assert performed.request == (
        "REMOVE 1 person audience 1002; REMOVE 1 person audience 1001; ADD 1 person audience 1002; ADD 1 person audience 99"
    )


async def test_nothing_is_sent_where_nothing_can_be(desk, make_owed):
    """No token either."""
    performed = await desk.send(make_owed(None), make_owed(audience="abc"))
    assert (kinds(performed), performed.requests, desk.names()) == ([Refused, Refused], 0, [])


async def test_a_failing_removal_does_not_fail_those_who_were_added(desk, make_owed):
    """Each request is read by itself."""
    desk.partner.faults.add(Status(status=500, target="users"))
    performed = await desk.send(make_owed("a@example.org", False), make_owed("b@example.org"))
    assert kinds(performed) == [Unreachable, Delivered]
    assert [one["operation"] for one in desk.calls("users")] == ["REMOVE", "ADD"]
    assert (await desk.send(make_owed("a@example.org", False))).outcomes == (OK,)
    assert len(desk.partner.audiences[1001].members) == 1


async def test_batches_of_one_audience_are_never_in_flight_together(desk, make_owed):
    """Others are."""
    desk.partner.faults.add(Latency(delay_s=0.1, target="users", times=None))
    await asyncio.gather(
        desk.send(make_owed("a@example.org")),
        desk.send(make_owed("b@example.org")),
        desk.send(make_owed(audience="1002")),
    )
    order = [body["audience_id"] for body in desk.calls("users")]
    assert (sorted(order[:2]), order[2]) == ([1001, 1002], 1001)
    assert {key for key in TABOOLA._locks if "1001" in key} == set()  # and the locks are gone


async def test_two_accounts_of_a_batch_are_kept_apart(desk, make_owed):
    """The first event's account does not decide for the others, as it does upstream."""
    desk.partner.create("harbour-books", "readers")
    performed = await desk.send(make_owed(), make_owed(audience="1003", account="harbour-books"))
    assert performed.outcomes == (OK, OK)
    assert desk.partner.audiences[1003].members == {MARIA}


# the token ----------------------------------------------------------------------------------------------------------


async def test_an_expired_token_costs_one_login_and_one_repeat(desk, make_owed):
    """And the members are right."""
    await desk.send(make_owed("a@example.org"))
    desk.partner.expire_tokens()
    performed = await desk.send(make_owed("b@example.org"))
    assert (performed.outcomes, performed.requests) == ((OK,), 3)
    assert desk.names() == ["token", "users", "users", "token", "users"]
    assert len(desk.partner.audiences[1001].members) == 2


async def test_two_batches_and_an_expired_token_cost_one_login(desk, make_owed):
    """The second finds the new token there."""
    await desk.send(make_owed("a@example.org"))
    desk.partner.expire_tokens()
    first, second = await asyncio.gather(desk.send(make_owed("b@example.org")), desk.send(make_owed(audience="1002")))
    assert (first.outcomes, second.outcomes) == ((OK,), (OK,))
    assert desk.partner.tokens_issued == 2


async def test_two_batches_without_a_token_log_in_once(desk, make_owed):
    """The second waits for the first's."""
    await asyncio.gather(desk.send(make_owed("b@example.org")), desk.send(make_owed(audience="1002")))
    assert desk.partner.tokens_issued == 1


@pytest.mark.parametrize(("passed_s", "logins"), [(43_200 - 301, 1), (43_200 - 299, 2)])
async def test_a_token_is_renewed_before_it_ends(desk, make_owed, passed_s, logins):
    """When less than five minutes are left."""
    await desk.send(make_owed("a@example.org"))
    desk.clock.now_s += passed_s
    await desk.send(make_owed("b@example.org"))
    assert desk.partner.tokens_issued == logins
    assert 401 not in [one.status for one in desk.partner.log]


async def test_a_second_401_holds_the_lane_and_asks_no_more(desk, make_owed):
    """One refresh; what stood behind it in the batch is not tried."""
    desk.partner.faults.add(Status(status=401, target="users", times=None))
    performed = await desk.send(make_owed(), make_owed(audience="1002"))
    assert kinds(performed) == [Unauthorized, Unauthorized]
    assert desk.names() == ["token", "users", "token", "users"]


async def test_a_403_is_no_reason_for_a_new_token(desk, make_owed):
    """These credentials may not use that account."""
    desk.partner.faults.add(Status(status=403, target="users"))
    assert kinds(await desk.send(make_owed())) == [Unauthorized]
    assert desk.partner.tokens_issued == 1


async def test_a_wrong_secret_holds_the_lane_and_a_changed_one_frees_it(desk, make_owed):
    """The refusal is XML; no call goes out without a token. A token of another login is not used."""
    performed = await desk.send(make_owed(), client_secret="wrong-secret")
    (outcome,) = performed.outcomes
    assert isinstance(outcome, Unauthorized)
    assert "wrong-secret" not in f"{performed}"
    assert desk.names() == ["token"]
    assert "authorization" not in dict(next(iter(desk.partner.log)).headers)
    assert (await desk.send(make_owed())).outcomes == (OK,)
    assert kinds(await desk.send(make_owed(), client_secret="wrong-secret")) == [Unauthorized]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(status=429, target="token"), Deferred),
        (Status(status=503, target="token"), Unreachable),
        (Status(status=200, target="token"), Refused),
        (Reset(target="token"), Unreachable),
    ],
)
async def test_a_login_that_fails_is_the_outcome(desk, make_owed, fault, kind):
    """And nothing is sent without a token."""
    desk.partner.faults.add(fault)
    assert kinds(await desk.send(make_owed(), make_owed("b@example.org", False))) == [kind, kind]
    assert "users" not in desk.names()
    assert (await desk.send(make_owed())).outcomes == (OK,)


async def test_a_token_is_kept_in_memory_only_and_goes_with_its_lane(desk, make_owed):
    """Nothing of it is noted; a rehearsal, which brings its own notes, never meets it."""
    await desk.send(make_owed())
    assert desk.notes._values == {}
    assert desk.notes in session._tokens
    before = len(session._tokens)
    desk.notes = FreshNotes()
    gc.collect()
    assert len(session._tokens) < before


# answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(status=429, retry_after=7, target="users"), Deferred),
        (Status(status=500, target="users"), Unreachable),
        (Status(status=404, body="html", target="users"), Refused),
        (Refusal(status=400, offending_field="audience_id", target="users"), Refused),
        (Reset(target="users"), Unreachable),
        (Reset(target="users", carried_out=True), Unreachable),
        (Status(status=500, carried_out=True, target="users"), Unreachable),
    ],
)
async def test_a_repeat_after_trouble_doubles_nothing(desk, make_owed, fault, kind):
    """Also where the partner had done it and nobody was told."""
    desk.partner.faults.add(fault)
    assert kinds(await desk.send(make_owed())) == [kind]
    assert (await desk.send(make_owed())).outcomes == (OK,)
    assert desk.partner.audiences[1001].members == {MARIA}


async def test_after_a_wait_or_silence_the_rest_of_the_batch_is_not_tried(desk, make_owed):
    """It is not the partner's time."""
    desk.partner.faults.add(Status(status=429, retry_after=7, target="users"))
    performed = await desk.send(make_owed(), make_owed(audience="1002"))
    assert [outcome.wait_s for outcome in performed.outcomes] == [7.0, 7.0]
    desk.partner.faults.add(Down())
    performed = await desk.send(make_owed(), make_owed(audience="1002"))
    assert [outcome.sent for outcome in performed.outcomes] == [True, False]
    assert desk.names().count("users") == 1


# audiences ----------------------------------------------------------------------------------------------------------


def create_owed(make_owed, email="maria@example.org", key="vip", **settings):
    """A delivery of an audience that is to be created."""
    one = make_owed(
        email, audience_key=key, audience_settings={"account_id": "demo-advertiser", "create": True, **settings}
    )
    del one.payload["external_audience_id"]
    return one


async def test_an_audience_is_created_when_first_needed_and_remembered(desk, make_owed):
    """Across batches and restarts: the number is a note."""
    performed = await desk.send(create_owed(make_owed), create_owed(make_owed, "b@example.org"))
    assert performed.outcomes == (OK, OK)
    assert desk.names() == ["token", "create", "users"]
    assert desk.calls("create") == [{"audience_name": "vip", "integration_source": "segment.com"}]
    assert performed.answer == "audience 1003; 200 ok"
    await desk.send(create_owed(make_owed, "c@example.org"))
    assert desk.names().count("create") == 1
    assert len(desk.partner.audiences[1003].members) == 3


async def test_two_batches_that_need_the_same_audience_create_it_once(desk, make_owed):
    """The second waits for the first's number."""
    await asyncio.gather(desk.send(create_owed(make_owed)), desk.send(create_owed(make_owed, "b@example.org")))
    assert desk.names().count("create") == 1


async def test_what_was_made_comes_before_the_events_number_and_after_the_operators(desk, make_owed):
    """And an event's number is used where nothing was made."""
    with_id = make_owed(audience_key="vip", audience_settings={"account_id": "demo-advertiser", "create": True})
    await desk.send(with_id)
    assert desk.calls("users")[-1]["audience_id"] == 1001
    await desk.send(create_owed(make_owed))
    await desk.send(with_id)
    assert desk.calls("users")[-1]["audience_id"] == 1003
    await desk.send(make_owed(audience_key="vip", audience_settings=with_id.audience_settings, external_id="1002"))
    assert desk.calls("users")[-1]["audience_id"] == 1002


async def create(desk, **entry):
    """By hand, an audience whose name is its own and not its key."""
    settings = {**desk.settings, "audience_identifier": "audience_name"}
    wanted = AudienceWanted(settings=settings, entry={"account_id": "demo-advertiser", **entry}, key="vip")
    return await TABOOLA.keep_audience("create", wanted, desk.context)


async def test_creating_twice_under_one_name_gives_one_number(desk):
    """Remembered, nobody is asked again; forgotten, other settings of the one that is there are told."""
    first = await create(desk, name="Very Important", ttl_in_hours="48")
    again = await create(desk, name="Very Important", ttl_in_hours=24)
    assert (first, again) == (
        AudienceFound(external_id="1003", origin="created"),
        AudienceFound(external_id="1003", origin="kept"),
    )
    assert desk.names() == ["token", "create"]
    desk.notes = FreshNotes()
    anew = await create(desk, name="Very Important", ttl_in_hours=24)
    assert anew.external_id == "1003"
    assert "another ttl_in_hours" in anew.warnings[0]
    assert desk.partner.audiences[1003].name == "Very Important"
    assert desk.partner.audiences[1003].ttl_in_hours == 48
    refused = await create(desk, name="")
    assert isinstance(refused, Refused)
    assert "MISSING_REQUIRED_FIELD" in refused.reason


async def test_a_creation_that_fails_is_the_outcome_of_who_needed_it(desk, make_owed):
    """The others of the batch go on."""
    desk.partner.faults.add(Refusal(status=400, offending_field="audience_name", target="create"))
    performed = await desk.send(create_owed(make_owed), make_owed())
    assert kinds(performed) == [Refused, Delivered]
    assert "AUDIENCE_CREATION_FAILED" in performed.outcomes[0].reason
    assert not performed.outcomes[0].splittable
    desk.partner.faults.add(Status(status=500, target="create"))
    assert kinds(await desk.send(create_owed(make_owed))) == [Unreachable]
    assert kinds(await desk.send(create_owed(make_owed, account_id="nobodys"))) == [Refused]
    assert kinds(await desk.send(create_owed(make_owed, ttl_in_hours="soon"))) == [Refused]


async def test_half_a_surrogate_pair_in_a_name_or_secret_is_the_partners_to_refuse(desk, make_owed):
    """Questions to the conformance adapter may hold one; nothing of ours breaks at it."""
    assert kinds(await desk.send(create_owed(make_owed, key="\ud800"))) == [Refused]
    assert kinds(await desk.send(create_owed(make_owed, account_id="\ud800"))) == [Refused]
    settings = {**desk.settings, "client_secret": "\ud800"}
    assert "400" in (await TABOOLA.test(settings, desk.context))[0]


async def test_without_a_token_nothing_is_created(desk, make_owed):
    """The reference goes on with the word `undefined`."""
    desk.partner.faults.add(Status(status=200, target="token"))
    assert kinds(await desk.send(create_owed(make_owed))) == [Refused]
    desk.partner.faults.add(Status(status=200, target="token"))
    assert isinstance(await create(desk, name="vip"), Refused)
    assert desk.names() == ["token", "token"]
    assert len(desk.partner.audiences) == 2


async def test_a_new_audience_is_waited_for_two_hours_long(desk, make_owed):
    """Others of the batch do not wait; afterwards the same answer is final."""
    await desk.send(create_owed(make_owed))
    desk.partner.audience_not_ready(1003, until_s=desk.clock() + 4 * 3600)
    performed = await desk.send(create_owed(make_owed), make_owed())
    assert kinds(performed) == [Deferred, Delivered]
    assert performed.outcomes[0].wait_s == 600
    by_number = make_owed(external_id="1003")
    assert kinds(await desk.send(by_number)) == [Deferred]
    desk.clock.now_s += 2 * 3600
    assert kinds(await desk.send(create_owed(make_owed))) == [Refused]


# batches ------------------------------------------------------------------------------------------------------------


async def test_group_tells_audiences_apart(desk, make_owed):
    """What a payload can tell; the rest is kept apart when it is sent."""
    groups = {TABOOLA.group("syncAudience", make_owed(audience=one).payload, desk.settings) for one in ("1", "1", "2")}
    assert len(groups) == 2


async def test_a_large_batch_goes_out_whole(desk, make_owed):
    """A thousand and one people, one request."""
    performed = await desk.send(*[make_owed(f"p{number}@example.org") for number in range(1001)])
    assert set(performed.outcomes) == {OK}
    assert len(desk.partner.audiences[1001].members) == 1001


# the credentials test -----------------------------------------------------------------------------------------------


async def test_the_credentials_test_asks_for_a_token(desk):
    """And tells the status when there is none."""
    assert await TABOOLA.test(desk.settings, desk.context) == []
    problems = await TABOOLA.test({**desk.settings, "client_secret": "wrong-secret"}, desk.context)
    assert "400" in problems[0]
    assert "wrong-secret" not in problems[0]
    assert len(await TABOOLA.test({}, desk.context)) == 2


def test_settings_are_checked():
    """Blank credentials, an address that is none."""
    assert len(TABOOLA.check_settings({"client_id": " ", "client_secret": ""}, frozenset())) == 2
    assert len(TABOOLA.check_settings({"backstage_base_url": "ftp://x"}, frozenset())) == 1


async def test_perform_never_raises_for_a_payload_of_any_shape(desk, make_owed):
    """Values that no check lets through are refused or sent, and every delivery has an outcome."""
    for value in (None, 5, [], {}, True, "", "\ud800", "x" * 100_000):
        payload = dict.fromkeys(("external_audience_id", "segment_computation_key", "user_email", "device_id"), value)
        owed = make_owed(payload={**payload, "traits_or_props": value})
        for corrections in (frozenset(), frozenset(one.name for one in TABOOLA.definition.corrections)):
            batch = Batch(action="syncAudience", settings=desk.settings, owed=(owed,), corrections=corrections)
            assert len((await TABOOLA.perform(batch, desk.context)).outcomes) == 1
