"""GraphQL documents as a client of StackAdapt would write them, with a knob for each thing a test wants wrong."""

import hashlib
import json

GRAPHQL = "/stackadapt/graphql"

STANDARD_ENTRIES = [
    ("email", "email", "Email", "STRING", True),
    ("first_name", "first_name", "First Name", "STRING", True),
    ("last_name", "last_name", "Last Name", "STRING", True),
    ("phone", "phone", "Phone", "STRING", True),
    ("address", "address", "Address", "STRING", True),
    ("city", "city", "City", "STRING", False),
    ("state", "state", "State", "STRING", False),
    ("country", "country", "Country", "STRING", False),
    ("postal_code", "postal_code", "Postal Code", "STRING", False),
    ("timezone", "timezone", "Timezone", "STRING", False),
    ("birth_date", "birth_date", "Birth Date", "DATE", True),
]
AUDIENCE_ENTRIES = [
    ("audienceId", "external_id", "External Audience ID", "STRING", False),
    ("audienceName", "name", "External Audience Name", "STRING", False),
]
PLAN = ("plan", "plan", "Plan", "STRING", False)
CLEAN = {
    "upsertProfileMapping": {"userErrors": []},
    "upsertProfiles": {"userErrors": []},
    "upsertExternalAudienceMapping": {"userErrors": []},
}


def profile(
    email="mei@shop.example", action="enter", *, user_id="u-204", audience="aud_7Hx", name="cart_rescue", **values
):
    return {
        "userId": user_id,
        "email": email,
        **values,
        "audienceId": audience,
        "audienceName": name,
        "action": action,
    }


def text_literal(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def schema(entries):
    lines = (
        f'{{incomingKey: "{a}", destinationKey: "{b}", label: "{c}", type: {kind}, isPii: {str(pii).lower()}}}'
        for a, b, c, kind, pii in entries
    )
    return f"[{', '.join(lines)}]"


def mapping_field(*, advertiser=12345, entries=(), opted_in="true", kind="segment_io", select="userErrors { message }"):
    return (
        f"upsertProfileMapping(input: {{advertiserId: {advertiser}, "
        f"mappingSchemaV2: {schema([*STANDARD_ENTRIES, *entries])}, isOptedIn: {opted_in}, "
        f'mappableType: "{kind}"}}) {{ {select} }}'
    )


def profiles_field(
    profiles=(),
    *,
    advertiser=12345,
    provider="segment_io",
    sync_id=None,
    literal=None,
    raw=None,
    select="userErrors { message }",
):
    """profiles: a list to send as JSON text; literal: that text, escaped; raw: the whole GraphQL value instead."""
    if literal is None:
        literal = text_literal(json.dumps(list(profiles), separators=(",", ":"), ensure_ascii=False))
    return (
        f'upsertProfiles(input: {{advertiserId: {advertiser}, externalProvider: "{provider}", '
        f'syncId: "{sync_id or sha256(literal)}", profiles: {raw or chr(34) + literal + chr(34)}}}) {{ {select} }}'
    )


def audience_field(*, advertiser=12345, entries=None, kind="segment_io", select="userErrors { message }"):
    return (
        f"upsertExternalAudienceMapping(input: {{advertiserId: {advertiser}, "
        f"mappingSchema: {schema(AUDIENCE_ENTRIES if entries is None else entries)}, "
        f'mappableType: "{kind}"}}) {{ {select} }}'
    )


def delete_field(
    *user_ids, advertisers="12345", provider="segment_io", sync_id=None, select="userErrors { message path }"
):
    return (
        f"deleteProfilesWithExternalIds(input: {{externalIds: {json.dumps(user_ids)}, "
        f'externalProvider: "{provider}", syncId: "{sync_id or sha256(user_ids[0])}", '
        f"advertiserIds: [{advertisers}]}}) {{ {select} }}"
    )


def mutation(*fields):
    return f"mutation {{ {' '.join(fields)} }}"


def upsert(*profiles, entries=(), advertiser=12345, opted_in="true"):
    """The whole document of one delivery."""
    return mutation(
        mapping_field(entries=entries, advertiser=advertiser, opted_in=opted_in),
        profiles_field(profiles, advertiser=advertiser),
        audience_field(advertiser=advertiser),
    )
