"""What the fake StackAdapt lets pass and writes down all the same."""

import msgspec
import pytest
from sandbox_documents import (
    AUDIENCE_ENTRIES,
    GRAPHQL,
    STANDARD_ENTRIES,
    audience_field,
    delete_field,
    mapping_field,
    mutation,
    profile,
    profiles_field,
    schema,
    sha256,
    upsert,
)

pytestmark = pytest.mark.anyio

WORKED_PROFILES = (
    '[{"userId":"u-204","email":"mei@shop.example","first_name":"Mei","address":"9 Quay St","plan":"pro",'
    '"audienceId":"aud_7Hx","audienceName":"cart_rescue","action":"enter"}]'
)
VECTORS = [
    (WORKED_PROFILES, "fdd39514a3471a759b8e41935753d6881c93e3bc51926e552e56d172522dff2e"),
    (
        (
            '[{"userId":"u-204","email":"mei@shop.example","audienceId":"aud_7Hx","audienceName":"cart_rescue",'
            '"action":"enter"},{"userId":"u-205","email":"tomas@shop.example","audienceId":"aud_7Hx",'
            '"audienceName":"cart_rescue","action":"exit"}]'
        ),
        "d6233e20c1f13cc49b415789713b451cf04536f84a53f2c47ab4f7d72eed430c",
    ),
    (
        (
            '[{"userId":"u-9","email":"kit@shop.example","city":"Łódź","audienceId":"aud_Q","audienceName":"q_fans",'
            '"action":"exit"}]'
        ),
        "3a7433c185adf2ff94a46a417a1ff555fb09d559b6f87d7fa9e9401cbf934d77",
    ),
    (
        (
            '[{"userId":"u-9","email":"kit@shop.example","first_name":"Kit \\"K\\" O","audienceId":"aud_Q",'
            '"audienceName":"q_fans","action":"enter"}]'
        ),
        "c0f2e296b7f88853f088b0299f1cf8317f97a9ce2b68900c31608b3d8f92b65e",
    ),
]


def fields(profiles=None, mapping=None, audience=None):
    return mutation(mapping or mapping_field(), profiles or profiles_field([profile()]), audience or audience_field())


@pytest.mark.parametrize(("text", "sync_id"), VECTORS)
async def test_the_sync_id_is_the_hash_of_the_literal_as_received(post, partner, text, sync_id):
    """Escapes included: known pairs pass, and the decoded profiles are the intended ones."""
    literal = text.replace("\\", "\\\\").replace('"', '\\"')
    await post(fields(profiles_field(literal=literal, sync_id=sync_id)))
    assert partner.violations == ()
    (logged,) = partner.log
    decoded = partner.describe(logged)["fields"][1]["arguments"]["input"]["profiles"]
    assert decoded == msgspec.json.decode(text)


ELEVEN = schema(STANDARD_ENTRIES)
VIOLATIONS = [
    ("sync_id", fields(profiles_field([profile()], sync_id="0" * 64))),
    ("sync_id", fields(profiles_field([profile()], sync_id="abc"))),
    ("sync_id", fields(profiles_field([profile()], sync_id=sha256("x").upper()))),
    ("sync_id", fields(profiles_field(raw="[]"))),
    ("sync_id", mutation(delete_field("u-204", sync_id=sha256("u-205")))),
    ("sync_id", mutation(delete_field("u-204", "u-205"))),
    ("operation_name", fields().replace("mutation", "mutation Send", 1)),
    (
        "variables",
        fields()
        .replace("mutation", "mutation ($n: Boolean = true)", 1)
        .replace("message", "message @include(if: $n)", 1),
    ),
    ("root_fields", mutation(profiles_field([profile()]), mapping_field(), audience_field())),
    ("root_fields", mutation(mapping_field(), profiles_field([profile()]))),
    ("root_fields", mutation(mapping_field(), profiles_field([profile()]), audience_field(), delete_field("u-1"))),
    ("root_fields", mutation(mapping_field(), f"p: {profiles_field([profile()])}", audience_field())),
    ("root_fields", f"mutation {{ ...Send }} fragment Send on Mutation {{ {delete_field('u-1')} }}"),
    ("selection", fields(profiles_field([profile()], select="userErrors { message path }"))),
    ("selection", fields(audience=audience_field(select="clientMutationId userErrors { message }"))),
    ("selection", fields(mapping=mapping_field(select="clientMutationId"))),
    ("selection", mutation(delete_field("u-1", select="userErrors { message }"))),
    ("standard_entries", fields(mapping=mapping_field().replace(ELEVEN, schema(STANDARD_ENTRIES[1:])))),
    ("standard_entries", fields(mapping=mapping_field().replace(ELEVEN, schema(STANDARD_ENTRIES[::-1])))),
    ("standard_entries", fields(mapping=mapping_field().replace(f"mappingSchemaV2: {ELEVEN},", ""))),
    ("standard_entries", fields(mapping=mapping_field().replace('"Timezone"', '"Time Zone"'))),
    ("audience_mapping", fields(audience=audience_field(entries=AUDIENCE_ENTRIES[::-1]))),
    ("audience_mapping", fields(audience=audience_field(entries=AUDIENCE_ENTRIES[:1]))),
    ("audience_mapping", fields(audience=audience_field(entries=[*AUDIENCE_ENTRIES, STANDARD_ENTRIES[0]]))),
    ("profile_members", fields(profiles_field([profile(audience=None)]))),
    ("profile_members", fields(profiles_field([profile(name="")]))),
    ("profile_members", fields(profiles_field([profile(action="Enter")]))),
    ("profile_members", fields(profiles_field([{"email": "mei@shop.example"}]))),
    ("profiles_too_many", fields(profiles_field([profile(f"p{i}@shop.example") for i in range(1001)]))),
]


@pytest.mark.parametrize(("rule", "document"), VIOLATIONS)
async def test_a_violation_is_accepted_and_recorded(post, partner, rule, document):
    """The answer is clean; the log entry, the state and the counter hold the violation."""
    answer = await post(document)
    assert answer.status_code == 200
    assert "errors" not in answer.json()
    assert [violation.rule for violation in partner.violations] == [rule]
    (logged,) = partner.log
    assert logged.violations == partner.violations
    assert partner.counts()["violations"] == len(partner.violations)


@pytest.mark.parametrize(
    ("extra", "rules"),
    [
        ({"variables": {}}, ["body_keys", "variables"]),
        ({"operationName": None}, ["body_keys", "operation_name"]),
        ({"surprise": 1}, ["body_keys"]),
    ],
)
async def test_more_than_one_body_key_is_a_violation(client, partner, extra, rules):
    """Whether or not the service refuses the request for it."""
    await client.post(GRAPHQL, json={"query": fields(), **extra})
    assert [violation.rule for violation in partner.violations] == rules


@pytest.mark.parametrize(
    "document",
    [
        fields(),
        upsert(
            *[profile(f"p{i}@shop.example") for i in range(1000)], entries=[("plan", "plan", "Plan", "STRING", False)]
        ),
        mutation(delete_field("u-204")),
        "query { tokenInfo { scopesByAdvertiser { nodes { advertiser { name } scopes } } } }",
        fields(profiles_field([], literal="[]")),
    ],
)
async def test_what_a_careful_client_sends_is_no_violation(post, partner, document):
    """Deliveries up to a thousand, deletions, and the queries of the settings form."""
    await post(document)
    assert partner.violations == ()


async def test_an_action_that_is_neither_moves_nobody(post, partner):
    """The profile is kept, the audience unchanged."""
    await post(fields(profiles_field([profile(action="stay")])))
    assert (len(partner.lists.profiles), partner.members("aud_7Hx")) == (1, frozenset())
