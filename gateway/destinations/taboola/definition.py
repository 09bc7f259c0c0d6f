"""Taboola as data: settings, audience settings, the one action with its fields and default mapping, the corrections."""

from __future__ import annotations

from typing import Final

from gateway.core.definitions import Action, Choice, Correction, Definition, Field, first_of
from gateway.destinations.taboola.clusters import DROP_ZERO_DEVICE_ID, LOWER_TRIM_EMAIL, identifiers_of

BASE_URL: Final = "https://backstage.taboola.com/backstage"
INTEGRATION_SOURCE: Final = "segment.com"
BATCH_SIZE: Final = 1000  # the reference's
BATCH_SIZE_MAX: Final = 100_000  # users a call, as Taboola recommends

LAST_OPERATION_WINS: Final = "last_operation_wins"
CHECK_AUDIENCE_ID: Final = "check_audience_id"


SETTINGS: Final = (
    Field(
        key="client_id",
        label="Client ID",
        type="string",
        required=True,
        description="From Taboola's account manager or its API keys page.",
    ),
    Field(
        key="client_secret",
        label="Client Secret",
        type="password",
        required=True,
        secret=True,
        description="Comes with the client id.",
    ),
    Field(
        key="audience_identifier",
        label="Audience Identifier",
        type="string",
        description="The name under which audiences are created.",
        choices=(
            Choice(value="computation_key", label="Audience Computation Key"),
            Choice(value="audience_name", label="Audience Name"),
        ),
        default="computation_key",
    ),
    Field(
        key="backstage_base_url",
        label="Backstage address",
        type="string",
        format="uri",
        description="Another place, for instance the sandbox's; one given here may be on a private network.",
        default=BASE_URL,
    ),
    Field(
        key="integration_source",
        label="Integration source",
        type="string",
        description="Sent with every call; Taboola wants one value for the life of an audience.",
        default=INTEGRATION_SOURCE,
    ),
)

# What Taboola knows of an audience, sent when it is created. All may come with the event instead, so none is required here.
CREATION_SETTINGS: Final = (
    Field(
        key="account_id",
        label="Account ID",
        type="string",
        description="The alphabetic account id, such as `demo-advertiser`.",
    ),
    Field(
        key="ttl_in_hours",
        label="TTL in Hours",
        type="number",
        description="How long a person stays without being added again; cannot be changed later. Taboola's own: 8760.",
    ),
    Field(
        key="exclude_from_campaigns",
        label="Exclude from Campaigns",
        type="boolean",
        description="Suppresses these people in all campaigns; cannot be changed later. Taboola's own: false.",
    ),
)

AUDIENCE_SETTINGS: Final = (
    *CREATION_SETTINGS,
    Field(key="external_id", label="Audience ID", type="string", description="The audience's number at Taboola."),
    Field(
        key="name",
        label="Audience Name",
        type="string",
        description="The name for `audience_identifier` audience_name.",
    ),
    Field(
        key="create",
        label="Create",
        type="boolean",
        description="Create the audience when it is first needed and no id is known.",
    ),
)

FIELDS: Final = (
    Field(
        key="external_audience_id",
        label="External Audience ID",
        type="string",
        hidden=True,
        description="The audience's number at Taboola. The id given or made for the audience here comes before it; "
        "without either the event is refused.",
        default={"@path": "$.context.personas.external_audience_id"},
    ),
    Field(
        key="segment_computation_key",
        label="Audience Key",
        type="string",
        required=True,
        hidden=True,
        description="Names the flag, and the audience where it is created.",
        default={"@path": "$.context.personas.computation_key"},
    ),
    Field(
        key="segment_computation_action",
        label="Segment Computation Action",
        type="string",
        required=True,
        hidden=True,
        choices=(
            Choice(value="audience", label="audience"),
            Choice(value="journey_step", label="journey_step"),
        ),
        default={"@path": "$.context.personas.computation_class"},
    ),
    Field(
        key="user_email",
        label="Email address",
        type="string",
        description="Hashed with SHA-256 before it leaves; 64 hexadecimal digits are taken for a finished hash.",
        identifier="email",
        hash="sha256",
        default=first_of("$.traits.email", "$.context.traits.email"),
    ),
    Field(
        key="traits_or_props",
        label="Traits or properties object",
        type="object",
        required=True,
        hidden=True,
        description="Where the audience's flag is looked up, under the audience key.",
        default=first_of("$.properties", "$.traits"),
    ),
    Field(
        key="enable_batching",
        label="Batch events",
        type="boolean",
        required=True,
        description="`false` sends every event in a request of its own.",
        default=True,
    ),
    Field(
        key="device_id",
        label="Mobile Device ID",
        type="string",
        description="Sent as it is, never hashed.",
        identifier="mobile_id",
        default=first_of("$.properties.ios_id", "$.properties.android_id"),
    ),
    Field(
        key="batch_size",
        label="Batch Size",
        type="integer",
        required=True,
        hidden=True,
        description=f"Most events in a request, 1 to {BATCH_SIZE_MAX}.",
        minimum=1,
        maximum=BATCH_SIZE_MAX,
        literal_only=True,
        default=BATCH_SIZE,
    ),
    Field(
        key="action",
        label="Action",
        type="string",
        hidden=True,
        description="Ignored: the flag decides.",
        choices=(Choice(value="ADD", label="Add"), Choice(value="REMOVE", label="Remove")),
    ),
)

CORRECTIONS: Final = (
    Correction(
        name=LOWER_TRIM_EMAIL,
        reason="E-mail addresses were hashed as written, so `Maria@Example.org` never matched: Taboola wants lower case "
        "before hashing. Blanks at the ends are cut off and letters made small first. Removals find what was added by "
        "another spelling only after it was added again.",
    ),
    Correction(
        name=LAST_OPERATION_WINS,
        reason="A person who entered and left within one batch was added and removed by two requests at once, in any order. "
        "Only the last operation of each person is sent.",
    ),
    Correction(
        name=CHECK_AUDIENCE_ID,
        reason="An audience id that is no whole number was sent as `null`, `0` or a fraction, with everybody in the batch. "
        "Such an event is refused before any request.",
    ),
    Correction(
        name=DROP_ZERO_DEVICE_ID,
        reason="Phones of people who opted out of tracking report a device id of zeros; sent as one, it puts all of them "
        "into the audience as a single device. It counts as no device id.",
    ),
)


class SyncAudience(Action, frozen=True, kw_only=True):
    """The one action. Taboola knows people by an e-mail hash or a device id."""

    def names_somebody(self, payload: dict[str, object], corrections: frozenset[str]) -> bool:
        """One of the two is there."""
        return bool(identifiers_of(payload, corrections))


DEFINITION: Final = Definition(
    slug="taboola",
    title="Taboola (Actions)",
    names=("actions-taboola-actions", "taboola-actions"),
    description="Adds people to and removes them from Taboola first party audiences, by hashed e-mail and mobile device id.",
    settings=SETTINGS,
    actions=(
        SyncAudience(
            slug="syncAudience",
            title="Sync Audience",
            description="Each event adds or removes one person's identifiers in one audience.",
            fields=FIELDS,
            trigger='type = "track"',
            batch_events_max=BATCH_SIZE_MAX,
            batch_bytes_max=4_000_000,
            list_shaped=True,
            audience_settings=AUDIENCE_SETTINGS,
            needs_audience_id=True,
        ),
    ),
    corrections=CORRECTIONS,
    docs_page="docs/destinations/taboola.md",
    api_version="Backstage API 1.0, audience onboarding",
    checked_on="2026-11-22",
)
