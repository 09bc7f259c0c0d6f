"""What the service lets pass although a careful client would not send it: violations that tests can assert on."""

import hashlib
import re
from collections.abc import Sequence

from graphql import DocumentNode, FieldNode, OperationDefinitionNode, OperationType

from gateway.sandbox.request_log import Violation
from gateway.sandbox.stackadapt.document import root_fields
from gateway.sandbox.stackadapt.lists import MappingEntry
from gateway.sandbox.stackadapt.mutations import (
    DeleteProfilesInput,
    ExternalAudienceMappingInput,
    FieldCall,
    FlatProfile,
    ProfileMappingInput,
    UpsertProfilesInput,
)

PROFILES_PER_REQUEST_MAX = 1000  # The platform around the reference hands over no larger batches.

EVENT_FIELDS = ("upsertProfileMapping", "upsertProfiles", "upsertExternalAudienceMapping")
DELETION_FIELDS = ("deleteProfilesWithExternalIds",)

_SHA256_HEX = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


def _entry(key: str, label: str, *, kind: str = "STRING", is_pii: bool, to: str | None = None) -> MappingEntry:
    return MappingEntry(incoming_key=key, destination_key=to or key, label=label, type=kind, is_pii=is_pii)


STANDARD_ENTRIES = (
    _entry("email", "Email", is_pii=True),
    _entry("first_name", "First Name", is_pii=True),
    _entry("last_name", "Last Name", is_pii=True),
    _entry("phone", "Phone", is_pii=True),
    _entry("address", "Address", is_pii=True),
    _entry("city", "City", is_pii=False),
    _entry("state", "State", is_pii=False),
    _entry("country", "Country", is_pii=False),
    _entry("postal_code", "Postal Code", is_pii=False),
    _entry("timezone", "Timezone", is_pii=False),
    _entry("birth_date", "Birth Date", kind="DATE", is_pii=True),
)
AUDIENCE_ENTRIES = (
    _entry("audienceId", "External Audience ID", is_pii=False, to="external_id"),
    _entry("audienceName", "External Audience Name", is_pii=False, to="name"),
)


def body_violations(keys: Sequence[str]) -> list[Violation]:
    """What is wrong with the keys of the JSON body: `query` and nothing else."""
    extra = [key for key in keys if key != "query"]
    found = []
    if extra:
        found.append(Violation(rule="body_keys", message=f"The body has more than `query`: {', '.join(extra)}."))
    if "operationName" in extra:
        found.append(Violation(rule="operation_name", message="The body names an operation."))
    if "variables" in extra:
        found.append(Violation(rule="variables", message="The body carries variables."))
    return found


def document_violations(document: DocumentNode, calls: Sequence[FieldCall]) -> list[Violation]:
    """What is wrong with a document that fits the schema, and with the input of its executed root fields."""
    found: list[Violation] = []
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        if definition.name is not None:
            found.append(Violation(rule="operation_name", message=f"The operation is named {definition.name.value}."))
        if definition.variable_definitions:
            found.append(Violation(rule="variables", message="The operation declares variables."))
        if definition.operation is OperationType.MUTATION:
            found += _mutation_violations(document)
    for call in calls:
        found += _input_violations(call)
    return found


def _mutation_violations(document: DocumentNode) -> list[Violation]:
    fields = root_fields(document)
    names = tuple(field.alias.value if field.alias else field.name.value for field in fields)
    found = []
    if names not in (EVENT_FIELDS, DELETION_FIELDS):
        found.append(
            Violation(rule="root_fields", message=f"The root fields are {', '.join(names) or 'in fragments'}.")
        )
    for field in fields:
        wanted = ("message", "path") if field.name.value in DELETION_FIELDS else ("message",)
        if not _selects(field, wanted):
            message = f"{field.name.value} does not select userErrors {{ {' '.join(wanted)} }}."
            found.append(Violation(rule="selection", message=message))
    return found


def _selects(field: FieldNode, wanted: tuple[str, ...]) -> bool:
    selected = field.selection_set.selections if field.selection_set else ()
    if len(selected) != 1 or not isinstance(selected[0], FieldNode) or selected[0].name.value != "userErrors":
        return False
    inner = selected[0].selection_set.selections if selected[0].selection_set else ()
    return (
        tuple(node.name.value for node in inner if isinstance(node, FieldNode)) == wanted and selected[0].alias is None
    )


def _input_violations(call: FieldCall) -> list[Violation]:
    match call.given:
        case ProfileMappingInput(mapping_schema_v2=entries):
            if (entries or ())[: len(STANDARD_ENTRIES)] != STANDARD_ENTRIES:
                message = "The eleven standard entries are not all there, first and in order."
                return [Violation(rule="standard_entries", message=message)]
        case ExternalAudienceMappingInput(mapping_schema=entries):
            if entries != AUDIENCE_ENTRIES:
                message = "The audience mapping is not the constant one."
                return [Violation(rule="audience_mapping", message=message)]
        case UpsertProfilesInput(sync_id=sync_id):
            return [*_sync_id_violations(sync_id, call.literal), *_profile_violations(call.profiles or ())]
        case DeleteProfilesInput(sync_id=sync_id, external_ids=external_ids):
            only = external_ids[0] if len(external_ids) == 1 else None
            return _sync_id_violations(sync_id, only)
    return []


def _sync_id_violations(sync_id: str | None, hashed: str | None) -> list[Violation]:
    """The sync id is the SHA-256 of the literal as received, or of the one external id of a deletion."""
    if sync_id is None or _SHA256_HEX.fullmatch(sync_id) is None:
        return [Violation(rule="sync_id", message="syncId is not 64 hexadecimal digits.")]
    if hashed is None or hashlib.sha256(hashed.encode()).hexdigest() != sync_id:
        return [Violation(rule="sync_id", message="syncId is not the SHA-256 of what it should identify.")]
    return []


def _profile_violations(profiles: Sequence[FlatProfile]) -> list[Violation]:
    found = []
    if len(profiles) > PROFILES_PER_REQUEST_MAX:
        found.append(Violation(rule="profiles_too_many", message=f"{len(profiles)} profiles in one request."))
    lacking = [place for place, profile in enumerate(profiles) if not _says_audience_and_action(profile)]
    if lacking:
        message = f"{len(lacking)} profiles lack audienceId, audienceName or a valid action, the first at {lacking[0]}."
        found.append(Violation(rule="profile_members", message=message))
    return found


def _says_audience_and_action(profile: FlatProfile) -> bool:
    return bool(
        profile.get("audienceId") and profile.get("audienceName") and profile.get("action") in ("enter", "exit")
    )
