"""The rules by which the fake StackAdapt's mappings, profiles and audiences follow what it accepts."""

import msgspec
import pytest
from sandbox_documents import PLAN, delete_field, mapping_field, mutation, profile, profiles_field, upsert

from gateway.sandbox.stackadapt import StackAdaptConfiguration

pytestmark = pytest.mark.anyio
KEY = ("12345", "segment_io", "mei@shop.example")
SHELF = ("shelf", "shelf", "Shelf", "STRING", False)


def configured(**changed):
    return pytest.mark.parametrize("configuration", [StackAdaptConfiguration(**changed)])


async def test_a_mapping_replaces_the_one_before_whole(post, partner):
    """The second mapping has no `plan`, so the third delivery's plan is dropped and the stored one stays."""
    await post(upsert(profile(plan="pro"), entries=[PLAN]))
    await post(upsert(profile(plan="free", shelf="top"), entries=[SHELF]))
    assert [entry.incoming_key for entry in partner.lists.profile_mappings["12345", "segment_io"].entries][
        -1
    ] == "shelf"
    assert partner.lists.profiles[KEY].values == {"email": "mei@shop.example", "plan": "pro", "shelf": "top"}


async def test_mappings_are_kept_apart_by_advertiser(post, partner):
    """Another advertiser's mapping changes nothing here."""
    await post(upsert(profile(plan="pro"), entries=[PLAN]))
    await post(upsert(profile(plan="free"), advertiser=31337))
    assert partner.lists.profiles[KEY].values["plan"] == "pro"
    assert "plan" not in partner.lists.profiles["31337", *KEY[1:]].values
    assert len(partner.lists.audience_mappings) == 2


async def test_values_are_merged_by_email_and_unmapped_keys_are_dropped_silently(post, partner):
    """What a later profile does not say stays; what no mapping names is not kept; no error says so."""
    await post(upsert(profile(first_name="Mei", city="Łódź", hobby="chess")))
    answer = await post(upsert(profile(city="Gdańsk")))
    assert partner.lists.profiles[KEY].values == {"email": KEY[2], "first_name": "Mei", "city": "Gdańsk"}
    assert answer.json()["data"]["upsertProfiles"] == {"userErrors": []}
    assert partner.counts()["dropped"] == 0


async def test_profiles_before_any_mapping_keep_identity_and_membership_only(post, partner):
    """Four keys are understood without an entry."""
    await post(mutation(profiles_field([profile(first_name="Mei")])))
    assert partner.lists.profiles[KEY].values == {}
    assert partner.lists.profiles[KEY].external_id == "u-204"
    assert partner.members("aud_7Hx") == {"mei@shop.example"}


async def test_a_value_is_stored_under_its_destination_key(post, partner):
    """A mapping may rename."""
    await post(upsert(profile(plan="pro"), entries=[("plan", "tier", "Tier", "STRING", False)]))
    assert partner.lists.profiles[KEY].values["tier"] == "pro"


async def test_enter_adds_and_exit_removes_and_both_may_repeat(post, partner):
    """Membership is a set, and the page can still show who left."""
    seen = []
    for action in ("exit", "enter", "enter", "exit", "exit", "enter"):
        await post(upsert(profile(action=action), profile("tomas@shop.example", "enter", user_id="u-205")))
        seen.append(partner.members("aud_7Hx"))
    both, one = {"mei@shop.example", "tomas@shop.example"}, {"tomas@shop.example"}
    assert seen == [one, both, both, one, one, both]


async def test_a_batch_is_applied_in_its_order(post, partner):
    """The same person twice in one request: the later word wins."""
    await post(upsert(profile(action="enter"), profile(action="exit")))
    assert partner.members("aud_7Hx") == frozenset()


async def test_an_audience_exists_from_its_first_mention_under_its_latest_name(post, partner):
    """Even when everybody only leaves it."""
    await post(upsert(profile(action="exit")))
    assert partner.lists.audiences["aud_7Hx"].name == "cart_rescue"
    await post(upsert(profile(name="cart_rescue_2")))
    assert partner.lists.audiences["aud_7Hx"].name == "cart_rescue_2"
    assert partner.members("never_mentioned") == frozenset()


async def test_audiences_of_one_batch_stay_apart(post, partner):
    """Each profile carries its own."""
    await post(upsert(profile(), profile("kit@shop.example", audience="aud_Q", name="q_fans")))
    assert (partner.members("aud_7Hx"), partner.members("aud_Q")) == ({"mei@shop.example"}, {"kit@shop.example"})


@pytest.mark.parametrize(
    "email", ["kit@host", "", "kit", "kit@my_host.io", " kit@shop.example", "ł@shop.example", None, 7]
)
async def test_a_profile_without_a_valid_email_is_dropped_and_counted_not_refused(post, partner, email):
    """The others of the batch are kept."""
    answer = await post(upsert(profile(email), profile("ok@shop.example")))
    assert answer.json()["data"]["upsertProfiles"] == {"userErrors": []}
    assert partner.members("aud_7Hx") == {"ok@shop.example"}
    assert partner.counts()["dropped"] == 1


@pytest.mark.parametrize("email", ["kit@host.x", "kit@8.9", "K.i+t@Shop.EXAMPLE"])
async def test_an_odd_email_that_fits_the_format_is_kept_as_it_is(post, partner, email):
    """Neither lower-cased nor trimmed."""
    await post(upsert(profile(email)))
    assert partner.members("aud_7Hx") == {email}


async def test_consent_is_stamped_on_the_profiles_ingested_under_it(post, partner):
    """A later mapping does not reach back to profiles it does not come with."""
    await post(upsert(profile(), opted_in="true"))
    await post(upsert(profile("kit@shop.example"), opted_in="false"))
    stamps = {key[2]: stored.is_opted_in for key, stored in partner.lists.profiles.items()}
    assert stamps == {"mei@shop.example": True, "kit@shop.example": False}


async def test_a_repeated_request_is_accepted_and_counted_as_replay_and_changes_nothing(post, partner):
    """A retry after a lost answer is harmless."""
    for _ in range(3):
        answer = await post(upsert(profile()))
        assert answer.json()["data"]["upsertProfiles"] == {"userErrors": []}
    assert partner.counts() | {"replays": 2, "requests": 3} == partner.counts()
    assert partner.members("aud_7Hx") == {"mei@shop.example"}


async def test_the_same_sync_id_at_another_advertiser_is_no_replay(post, partner):
    """Replays are counted per advertiser and provider."""
    await post(upsert(profile()))
    await post(upsert(profile(), advertiser=31337))
    assert partner.counts()["replays"] == 0


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [(StackAdaptConfiguration(), {"mei@shop.example"}), (StackAdaptConfiguration(ignore_replays=True), set())],
)
async def test_a_return_with_the_very_same_profile_is_applied_unless_replays_are_ignored(post, partner, expected):
    """Enter, exit, the same enter: its syncId is an old one, and nobody knows what the real service makes of it."""
    for action in ("enter", "exit", "enter"):
        await post(upsert(profile(action=action)))
    assert partner.members("aud_7Hx") == expected


async def test_deletion_removes_from_the_named_advertisers_and_every_membership(post, partner):
    """The other advertiser's profile of the same person stays; an unknown id is no error."""
    for advertiser in (12345, 31337):
        await post(upsert(profile(), profile(audience="aud_Q", name="q_fans"), advertiser=advertiser))
    for user_id in ("u-204", "u-unknown"):
        answer = await post(mutation(delete_field(user_id)))
        assert answer.json() == {"data": {"deleteProfilesWithExternalIds": {"userErrors": []}}}
    assert list(partner.lists.profiles) == [("31337", *KEY[1:])]
    assert partner.members("aud_7Hx", advertiser_id="12345") == frozenset()
    assert partner.members("aud_7Hx") == partner.members("aud_Q") == {"mei@shop.example"}
    assert partner.counts()["deleted"] == 1


async def test_a_numeric_user_id_is_the_external_id_as_text(post, partner):
    """So that deletion finds it."""
    await post(upsert(profile(user_id=8080)))
    await post(mutation(delete_field("8080")))
    assert partner.lists.profiles == {}


@configured(profiles_first=True)
async def test_profiles_that_overtake_their_mapping_lose_what_the_mapping_before_did_not_name(post, partner):
    """The switch shows what a sparse schema costs when the service ingests in the other order."""
    await post(upsert(profile(plan="pro"), entries=[PLAN]))
    assert "plan" not in partner.lists.profiles[KEY].values
    await post(upsert(profile(plan="free")))
    assert partner.lists.profiles[KEY].values["plan"] == "free"


@configured(ingestion_delay_s=None)
async def test_held_ingestion_takes_effect_when_told(post, client, partner):
    """The client is answered at once; the lists follow on command, in order."""
    await post(upsert(profile(action="enter")))
    await post(upsert(profile(action="exit")))
    assert (partner.pending_documents, partner.lists.profiles) == (2, {})
    assert (await client.post("/sandbox/stackadapt/ingest")).status_code == 200
    assert partner.pending_documents == 0
    assert list(partner.lists.profiles) == [KEY]
    assert partner.members("aud_7Hx") == frozenset()


@configured(ingestion_delay_s=0.02)
async def test_delayed_ingestion_takes_effect_by_itself(post, partner):
    """A change of state, so that a waiter hears of it."""
    await post(upsert(profile()))
    assert partner.lists.profiles == {}
    await partner.wait_for(lambda: partner.members("aud_7Hx") == {"mei@shop.example"})


async def test_reset_forgets_the_lists_and_keeps_the_version_rising(post, client, partner):
    """A poller that waits for the next version is not left behind."""
    await post(upsert(profile()))
    partner.configure(msgspec.json.encode({"profiles_first": True}))
    version = partner.changes.version
    await client.post("/sandbox/stackadapt/reset")
    assert (partner.lists.profiles, len(partner.log), partner.counts()["requests"]) == ({}, 0, 0)
    assert partner.configuration == StackAdaptConfiguration()
    assert partner.changes.version > version


async def test_a_refused_field_leaves_its_sync_id_unknown(post, partner):
    """The repaired request is the first one."""
    await post(mutation(profiles_field([profile()], provider="segmentio")))
    await post(mutation(mapping_field(), profiles_field([profile()])))
    assert partner.counts()["replays"] == 0
