"""The Trade Desk CRM as data: settings, audience settings, the one action with its fields, the correction."""

from __future__ import annotations

from typing import Final

from gateway.core.definitions import Action, Choice, Correction, Definition, Field
from gateway.destinations.the_trade_desk.lines import EMAIL, HASHED, member_line

API_BASE_URL: Final = "https://api.thetradedesk.com/v3"
DATA_PROVIDER_ID: Final = "twilio"  # the reference's
BATCH_SIZE: Final = 100_000  # the reference's; carried only, one run is one list whatever its size

NO_TOKEN_AT_UPLOAD: Final = "no_token_at_upload"  # noqa: S105 - the name of a switch

PII_TYPES: Final = (EMAIL, HASHED)
REGIONS: Final = ("US", "EU", "APAC")

SETTINGS: Final = (
    Field(
        key="auth_token",
        label="Authentication Token",
        type="password",
        required=True,
        secret=True,
        description="A long-lived API token, made in The Trade Desk's developer portal.",
    ),
    Field(
        key="advertiser_id",
        label="Advertiser ID",
        type="string",
        required=True,
        description="The advertiser whose CRM data segments are filled.",
    ),
    Field(
        key="__segment_internal_engage_force_full_sync",
        label="Force Full Sync",
        type="boolean",
        hidden=True,
        description="Accepted so that a configuration exported from Segment loads; lists are always whole.",
        default=True,
    ),
    Field(
        key="__segment_internal_engage_batch_sync",
        label="Supports batch sync via ADS",
        type="boolean",
        hidden=True,
        description="Accepted so that a configuration exported from Segment loads.",
        default=True,
    ),
    Field(
        key="api_base_url",
        label="API address",
        type="string",
        format="uri",
        description="Another place, for instance the sandbox's; one given here may be on a private network.",
        default=API_BASE_URL,
    ),
    Field(
        key="data_provider_id",
        label="Data Provider ID",
        type="string",
        allow_null=True,
        description="Sent when a segment is created; `null` leaves it out. Segment's own is the default.",
        default=DATA_PROVIDER_ID,
    ),
    Field(
        key="sync_hour_utc",
        label="Hour of the daily run",
        type="integer",
        maximum=23,
        description="0 to 23, UTC: when the list is uploaded every day. Without it (and without a `schedule`) at 3.",
    ),
)

# Any of these may come with the event instead (`context.personas.audience_settings`), so none is required here.
AUDIENCE_SETTINGS: Final = (
    Field(
        key="region",
        label="Region",
        type="string",
        description="Where the personal data was collected. Needed when the gateway creates or adopts the segment.",
        choices=(
            Choice(value="US", label="US (United States and Canada)"),
            Choice(value="EU", label="EU (European Union and United Kingdom)"),
            Choice(value="APAC", label="APAC (Asia-Pacific)"),
        ),
    ),
    Field(
        key="external_id",
        label="External Audience ID",
        type="string",
        description="The segment's `CrmDataId`. It comes before whatever was created or whatever the event says.",
    ),
    Field(
        key="name",
        label="Audience name",
        type="string",
        description="The segment's name at The Trade Desk; without it the audience's key.",
    ),
    Field(
        key="create",
        label="Create the segment",
        type="boolean",
        description="With `true` and no external id the segment of that name is adopted, or else created.",
    ),
)

FIELDS: Final = (
    Field(
        key="external_id",
        label="External Audience ID",
        type="string",
        hidden=True,
        description="The segment's `CrmDataId`, where the mapping file does not name it.",
        default={"@path": "$.context.personas.external_audience_id"},
    ),
    Field(
        key="pii_type",
        label="PII Type",
        type="string",
        required=True,
        description="What a line of the file is: the address as given, or its UID2 hash. There is no default.",
        choices=(Choice(value=EMAIL, label="Email"), Choice(value=HASHED, label="Hashed Email")),
    ),
    Field(
        key="email",
        label="User Email",
        type="string",
        description="An address; with the hashed PII type a SHA-256 in hexadecimal or Base64 is taken as it is, too.",
        identifier="email",
        hash="sha256",
        hash_encodings=("hex", "base64"),
        default={"@path": "$.context.traits.email"},
    ),
    Field(
        key="enable_batching",
        label="Enable Batching",
        type="boolean",
        hidden=True,
        description="Carried, not used: a run is one list.",
        default=True,
    ),
    Field(
        key="event_name",
        label="Event Name",
        type="string",
        hidden=True,
        description="Carried, not used.",
        default={"@path": "$.event"},
    ),
    Field(
        key="batch_size",
        label="Batch Size",
        type="number",
        hidden=True,
        description="Carried, not used: it does not split a list.",
        default=BATCH_SIZE,
    ),
    Field(
        key="name",
        label="Audience name (old)",
        type="any",
        hidden=True,
        description="May stand in mappings from before audience settings; ignored.",
    ),
    Field(
        key="region",
        label="Region (old)",
        type="any",
        hidden=True,
        description="May stand in mappings from before audience settings; ignored.",
    ),
)

CORRECTIONS: Final = (
    Correction(
        name=NO_TOKEN_AT_UPLOAD,
        reason="The API token was also sent to the storage host that takes the file, which needs none and logs headers. "
        "It goes to The Trade Desk's API only.",
    ),
)


class SyncAudience(Action, frozen=True, kw_only=True):
    """The one action. The Trade Desk knows people by the lines of a file."""

    def names_somebody(self, payload: dict[str, object], corrections: frozenset[str]) -> bool:
        """The payload gives one."""
        return member_line(payload, corrections) is not None


DEFINITION: Final = Definition(
    slug="the-trade-desk-crm",
    title="The Trade Desk CRM",
    names=("actions-the-trade-desk-crm", "the-trade-desk"),
    description="Uploads the whole audience once a day as the content of one CRM data segment.",
    settings=SETTINGS,
    actions=(
        SyncAudience(
            slug="syncAudience",
            title="Sync Audience to CRM Data Segment",
            description="All members' e-mail addresses, or their UID2 hashes, replace the segment's content.",
            fields=FIELDS,
            trigger='event = "Audience Entered"',
            batch_events_max=BATCH_SIZE,
            batch_bytes_max=4_000_000,
            sync_only=True,
            audience_settings=AUDIENCE_SETTINGS,
            needs_audience_id=True,
        ),
    ),
    corrections=CORRECTIONS,
    docs_page="docs/destinations/the-trade-desk.md",
    api_version="API v3, CRM data segments and drops",
    checked_on="2026-11-22",
)
