"""Check 8: what each root field refuses with user errors, while the others still take effect."""

import pytest
from sandbox_documents import (
    AUDIENCE_ENTRIES,
    PLAN,
    audience_field,
    delete_field,
    mapping_field,
    mutation,
    profile,
    profiles_field,
    upsert,
)

from gateway.sandbox.stackadapt import StackAdaptConfiguration

pytestmark = pytest.mark.anyio
PATHS = "userErrors { message path }"


def paths(answer):
    return {
        field: [error["path"] for error in payload["userErrors"]] for field, payload in answer.json()["data"].items()
    }


@pytest.mark.parametrize("advertiser", [999, 20202, '"12345x"', '""'])
async def test_an_advertiser_the_token_may_not_write_to_is_refused_in_each_field(post, partner, advertiser):
    """Unknown or only readable: it is the same to the client, three times."""
    answer = await post(
        mutation(
            mapping_field(advertiser=advertiser, select=PATHS),
            profiles_field([profile()], advertiser=advertiser, select=PATHS),
            audience_field(advertiser=advertiser, select=PATHS),
        )
    )
    assert answer.status_code == 200
    assert paths(answer) == {
        "upsertProfileMapping": [["input", "advertiserId"]],
        "upsertProfiles": [["input", "advertiserId"]],
        "upsertExternalAudienceMapping": [["input", "advertiserId"]],
    }
    assert partner.lists.profiles == {}
    assert partner.lists.profile_mappings == {}


REFUSED = [
    (mapping_field(kind="segmentio", select=PATHS), ["input", "mappableType"]),
    (audience_field(kind="SEGMENT_IO", select=PATHS), ["input", "mappableType"]),
    (profiles_field([profile()], provider="segmentio", select=PATHS), ["input", "externalProvider"]),
    (profiles_field(literal="[{", select=PATHS), ["input", "profiles"]),
    (profiles_field(literal="", select=PATHS), ["input", "profiles"]),
    (profiles_field(literal='{\\"a\\":1}', select=PATHS), ["input", "profiles"]),
    (profiles_field(literal="null", select=PATHS), ["input", "profiles"]),
    (profiles_field(literal="[1]", select=PATHS), ["input", "profiles"]),
    (profiles_field(literal="[NaN]", select=PATHS), ["input", "profiles"]),
    (profiles_field(literal='[{\\"a\\":{}}]', select=PATHS), ["input", "profiles"]),
    (profiles_field(literal='[{\\"a\\":[]}]', select=PATHS), ["input", "profiles"]),
    (profiles_field(literal="[" * 5000, select=PATHS), ["input", "profiles"]),
    (profiles_field(raw='{email: "a@b.example"}', select=PATHS), ["input", "profiles"]),
    (profiles_field(raw="[{a: {b: 1}}]", select=PATHS), ["input", "profiles"]),
    (profiles_field(raw="17", select=PATHS), ["input", "profiles"]),
    (mapping_field(entries=[PLAN, PLAN], select=PATHS), ["input", "mappingSchemaV2"]),
    (mapping_field(entries=[("email", "mail", "Mail", "STRING", True)], select=PATHS), ["input", "mappingSchemaV2"]),
    (delete_field("u-1", advertisers="12345, 999"), ["input", "advertiserIds"]),
    (delete_field("u-1", advertisers="20202"), ["input", "advertiserIds"]),
    (delete_field("u-1", provider="segment"), ["input", "externalProvider"]),
]


@pytest.mark.parametrize(("field", "path"), REFUSED)
async def test_a_bad_input_is_a_user_error_of_its_field_alone(post, partner, field, path):
    """The answer is a 200, and the healthy field beside the bad one takes effect."""
    name = field.split("(")[0]
    healthy = audience_field(advertiser=31337) if "upsertExternal" not in name else mapping_field(advertiser=31337)
    answer = await post(mutation(field, healthy))
    assert answer.status_code == 200
    found = paths(answer) if "path" in field else None
    assert found is None or found[name] == [path]
    assert len(partner.lists.profile_mappings) + len(partner.lists.audience_mappings) == 1
    assert partner.lists.profiles == {}
    assert partner.counts()["user_errors"] == 1


async def test_several_problems_of_one_field_come_together(post):
    """The client learns all of them at once."""
    answer = await post(mutation(profiles_field(advertiser=999, provider="x", literal="{", select=PATHS)))
    assert paths(answer)["upsertProfiles"] == [
        ["input", "advertiserId"],
        ["input", "externalProvider"],
        ["input", "profiles"],
    ]


async def test_a_mapping_payload_shows_the_stored_mapping(post):
    """The two mapping payloads hold more than user errors, for clients that select it."""
    answer = await post(
        mutation(audience_field(select="externalAudienceMapping { id mappableType mappingSchema } clientMutationId"))
    )
    payload = answer.json()["data"]["upsertExternalAudienceMapping"]
    assert payload["clientMutationId"] is None
    assert payload["externalAudienceMapping"]["mappableType"] == "segment_io"
    assert [entry["destinationKey"] for entry in payload["externalAudienceMapping"]["mappingSchema"]] == [
        entry[1] for entry in AUDIENCE_ENTRIES
    ]


async def test_a_literal_list_of_profiles_is_taken_like_json_text(post, partner):
    """A JSON scalar may be written either way."""
    listed = '[{email: "kit@shop.example", audienceId: "aud_Q", audienceName: "q_fans", action: "enter"}]'
    answer = await post(mutation(mapping_field(), profiles_field(raw=listed)))
    assert answer.json()["data"]["upsertProfiles"] == {"userErrors": []}
    assert partner.members("aud_Q") == {"kit@shop.example"}


@pytest.mark.parametrize("configuration", [StackAdaptConfiguration(profiles_max=2)])
async def test_profiles_beyond_the_bound_are_refused_and_known_ones_still_taken(post, partner):
    """The sandbox's memory is bounded by a setting, not by luck."""
    assert "userErrors" in (await post(upsert(profile("a@shop.example"), profile("b@shop.example")))).text
    answer = await post(mutation(profiles_field([profile("c@shop.example")], select=PATHS)))
    assert paths(answer)["upsertProfiles"] == [["input", "profiles"]]
    await post(mutation(profiles_field([profile("a@shop.example", "exit")])))
    assert partner.members("aud_7Hx") == {"b@shop.example"}
