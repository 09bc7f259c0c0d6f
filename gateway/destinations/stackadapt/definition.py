"""StackAdapt as data: settings, the one action with its fields and default mappings, and the corrections."""

from __future__ import annotations

from typing import Final

from gateway.core.definitions import Action, Choice, Correction, Definition, Field, first_of
from gateway.core.sync_options import Capabilities

API_URL: Final = "https://api.stackadapt.com/graphql"

ESCAPE_TEXT: Final = "escape_text"
CHECK_ADVERTISER_ID: Final = "check_advertiser_id"
OBJECTS_AS_TEXT: Final = "objects_as_text"
READ_ANSWERS: Final = "read_answers"
DELETE_NEEDS_ID: Final = "delete_needs_id"


def _choices(*values: str, **labels: str) -> tuple[Choice, ...]:
    return tuple(Choice(value=value, label=labels.get(value, value)) for value in values)


# Profile key → where the default mapping looks in `traits`, else `properties`. The order is the order in the profile.
TRAIT_SOURCES: Final = {
    "first_name": "first_name",
    "last_name": "last_name",
    "phone": "phone",
    "address": "street",
    "city": "city",
    "country": "country",
    "state": "state",
    "postal_code": "postal_code",
    "timezone": "timezone",
    "birth_date": "birthday",
}

STANDARD_TRAITS: Final = (
    Field(key="first_name", label="First Name", type="string"),
    Field(key="last_name", label="Last Name", type="string"),
    Field(key="phone", label="Phone", type="string", identifier="phone"),
    Field(key="address", label="Address", type="string"),
    Field(key="city", label="City", type="string"),
    Field(key="country", label="Country", type="string"),
    Field(key="state", label="State", type="string"),
    Field(key="timezone", label="Time Zone", type="string"),
    Field(key="postal_code", label="Postal Code", type="string"),
    Field(
        key="birth_date", label="Birth Date", type="string", format="date", description="`YYYY-MM-DD`, nothing more."
    ),
)

CUSTOM_USER_PROPERTY: Final = (
    Field(key="name", label="Name", type="string", required=True, literal_only=True),
    Field(
        key="type",
        label="Type",
        type="string",
        required=True,
        literal_only=True,
        choices=_choices("STRING", "NUMBER", "BOOLEAN", "DATE"),
    ),
    Field(key="value", label="Value", type="string"),
)

FIELDS: Final = (
    Field(
        key="standard_traits",
        label="Standard User Properties",
        type="object",
        description="What StackAdapt knows about every profile by name.",
        properties=STANDARD_TRAITS,
        default={key: first_of(f"$.traits.{at}", f"$.properties.{at}") for key, at in TRAIT_SOURCES.items()},
    ),
    Field(
        key="custom_properties_mode",
        label="Custom Properties Mode",
        type="string",
        description="Which of the two kinds of custom properties is sent. Left out of a mapping it means `v1`.",
        choices=_choices("v1", "v2", v1="Legacy (Key-Value)", v2="Custom User Properties"),
        literal_only=True,
        default="v2",
    ),
    Field(
        key="custom_traits",
        label="Custom User Properties (Legacy)",
        type="object",
        description="Used in mode `v1`: any members; each one's type is inferred from its values.",
    ),
    Field(
        key="custom_user_properties",
        label="Custom User Properties",
        type="object",
        multiple=True,
        description="Used in mode `v2`: a list of properties with declared types.",
        properties=CUSTOM_USER_PROPERTY,
    ),
    Field(
        key="user_id",
        label="Segment User ID",
        type="string",
        description="The id by which the profile can be deleted later.",
        identifier="external",
        default=first_of("$.userId", "$.anonymousId"),
    ),
    Field(
        key="event_type",
        label="Event Type",
        type="string",
        required=True,
        description="Checked for presence and not sent.",
        default={"@path": "$.type"},
    ),
    Field(
        key="marketing_status",
        label="Marketing Status",
        type="string",
        required=True,
        description="Whether these people have agreed to marketing. There is no default: you have to say it.",
        choices=_choices("Opted-in", "Indeterminate"),
        literal_only=True,
    ),
    Field(
        key="advertiser_id",
        label="Advertiser ID",
        type="string",
        description="Files this mapping's profiles under another advertiser than the destination's setting.",
        literal_only=True,
    ),
    Field(
        key="enable_batching",
        label="Batch Profiles",
        type="boolean",
        required=True,
        hidden=True,
        description="`false` sends every event in a request of its own.",
        default=True,
    ),
    Field(
        key="traits_or_props",
        label="Event Properties",
        type="object",
        required=True,
        hidden=True,
        description="Where the audience's flag is looked up, under the audience key.",
        default=first_of("$.properties", "$.traits"),
    ),
    Field(
        key="segment_computation_class",
        label="Segment Computation Class",
        type="string",
        required=True,
        hidden=True,
        choices=_choices("audience", "journey_step"),
        default={"@path": "$.context.personas.computation_class"},
    ),
    Field(
        key="segment_computation_id",
        label="Segment Computation ID",
        type="string",
        required=True,
        hidden=True,
        description="Sent as the external audience id.",
        default={"@path": "$.context.personas.computation_id"},
    ),
    Field(
        key="segment_computation_key",
        label="Segment Computation Key",
        type="string",
        required=True,
        hidden=True,
        description="Sent as the external audience name; it names the flag, too.",
        default={"@path": "$.context.personas.computation_key"},
    ),
    Field(
        key="email",
        label="Email",
        type="string",
        required=True,
        format="email",
        description="Sent as it is: neither hashed nor put in lower case. Without one the event is refused.",
        identifier="email",
        default=first_of("$.traits.email", "$.properties.email"),
    ),
)

SETTINGS: Final = (
    Field(
        key="apiKey",
        label="GraphQL Token",
        type="password",
        required=True,
        secret=True,
        in_header=True,
        description="StackAdapt issues it; it needs write access and is not the REST key.",
    ),
    Field(
        key="advertiser_id",
        label="Advertiser ID",
        type="string",
        required=True,
        description="The advertiser every profile is filed under; `advertiser=` in the address of StackAdapt's own pages.",
    ),
    Field(
        key="api_url",
        label="API address",
        type="string",
        format="uri",
        description="Another endpoint, for instance the sandbox's; one given here may be on a private network.",
        default=API_URL,
    ),
)

CORRECTIONS: Final = (
    Correction(
        name=ESCAPE_TEXT,
        reason="A quotation mark, backslash or line break in a value broke the whole batch's document, and a user id could "
        "carry GraphQL into a deletion. Every text is escaped; StackAdapt reads exactly what the mapping gave.",
    ),
    Correction(
        name=CHECK_ADVERTISER_ID,
        reason="The advertiser id is written into the document without quotes, so any text got in, and a deletion "
        "went to the number it began with, or to `NaN`. Only digits are accepted; anything else is an error before any request.",
    ),
    Correction(
        name=OBJECTS_AS_TEXT,
        reason="Objects and lists among the legacy custom properties were declared with a type that StackAdapt does not have, "
        "which refused the batch. They are sent as JSON text of type `STRING`.",
    ),
    Correction(
        name=READ_ANSWERS,
        reason="StackAdapt reports refusals inside a 200 answer, which counted as delivered. The answer is read: errors are "
        "final and shown, an answer that is not JSON is tried again.",
    ),
    Correction(
        name=DELETE_NEEDS_ID,
        reason="A deletion without user id asked StackAdapt to delete the person called `undefined`. It is refused.",
    ),
)

DEFINITION: Final = Definition(
    slug="stackadapt-audience",
    title="StackAdapt Audience",
    names=("actions-stackadapt-audiences", "stackadapt-audiences", "stackadapt"),
    description="Sends every change of an audience to StackAdapt as profiles, through its GraphQL API.",
    settings=SETTINGS,
    actions=(
        Action(
            slug="forwardAudienceEvent",
            title="Sync Audience",
            names=("Forward Audience Event", "syncAudience"),
            description="Each event becomes one profile with its audience's id and key, entering or leaving.",
            fields=FIELDS,
            trigger='type = "identify" or type = "track"',
            batch_events_max=1000,
            batch_bytes_max=4_000_000,
            capabilities=Capabilities(update=True),
        ),
    ),
    corrections=CORRECTIONS,
    docs_page="docs/destinations/stackadapt.md",
    api_version="GraphQL, generation of mid-2026 (profile mapping before profiles, provider segment_io)",
    checked_on="2026-11-22",
)
