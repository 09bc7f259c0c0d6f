"""The root fields of the fake StackAdapt: each checks its own input and answers user errors or accepts a change."""

from collections.abc import Callable

import msgspec
from graphql import GraphQLResolveInfo

from gateway.sandbox.stackadapt.configuration import AccessToken, StackAdaptConfiguration
from gateway.sandbox.stackadapt.document import raw_literal
from gateway.sandbox.stackadapt.lists import (
    Change,
    DeleteProfiles,
    Lists,
    MappingEntry,
    SetAudienceMapping,
    SetProfileMapping,
    UpsertProfiles,
)
from gateway.sandbox.stackadapt.token_info import token_info

PROVIDER = "segment_io"

Json = dict[str, object]
FlatProfile = dict[str, str | int | float | bool | None]


class UserError(msgspec.Struct, frozen=True, kw_only=True):
    """Why one root field was refused, and where in its input."""

    message: str
    path: tuple[str, ...] | None = None


class ProfileMappingInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The parts of the schema's input of this name that matter here."""

    advertiser_id: str | None = None
    mapping_schema_v2: tuple[MappingEntry, ...] | None = msgspec.field(default=None, name="mappingSchemaV2")
    is_opted_in: bool | None = None
    mappable_type: str | None = None


class ExternalAudienceMappingInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As above."""

    advertiser_id: str | None = None
    mapping_schema: tuple[MappingEntry, ...] | None = None
    mappable_type: str | None = None


class UpsertProfilesInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As above; profiles are JSON text or a literal list."""

    advertiser_id: str
    external_provider: str
    profiles: object
    sync_id: str | None = None


class DeleteProfilesInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As above."""

    external_ids: tuple[str | None, ...]
    external_provider: str
    sync_id: str | None = None
    advertiser_ids: tuple[str, ...] | None = None


CheckedInput = ProfileMappingInput | ExternalAudienceMappingInput | UpsertProfilesInput | DeleteProfilesInput


class FieldCall(msgspec.Struct, frozen=True, kw_only=True):
    """One root field as it was executed, for the contract's checks and the log.

    literal: the raw text between the quotes of `profiles`, None where it was no string literal.
    profiles: decoded, None where they were not acceptable or not wanted.
    """

    name: str
    given: CheckedInput
    literal: str | None = None
    profiles: tuple[FlatProfile, ...] | None = None


class DocumentCall:
    """One document being executed: the resolvers of its root fields, and what they leave behind.

    refused: user errors to answer for a field instead of executing it (an injected fault).
    """

    def __init__(
        self,
        *,
        token: AccessToken,
        configuration: StackAdaptConfiguration,
        lists: Lists,
        is_replay: Callable[[tuple[str, str, str]], bool],
        refused: dict[str, tuple[UserError, ...]],
    ) -> None:
        self._token = token
        self._configuration = configuration
        self._lists = lists
        self._is_replay = is_replay
        self._refused = refused
        self.calls: list[FieldCall] = []
        self.changes: list[Change] = []
        self.user_errors: list[UserError] = []
        self.replays = 0
        self.profiles = 0

    def root_value(self) -> Json:
        """The resolvers by root field, as the library's default resolver calls them."""
        return {
            "tokenInfo": lambda _info: token_info(self._token, self._configuration),
            "upsertProfileMapping": self._upsert_profile_mapping,
            "upsertProfiles": self._upsert_profiles,
            "upsertExternalAudienceMapping": self._upsert_external_audience_mapping,
            "deleteProfilesWithExternalIds": self._delete_profiles,
        }

    def _upsert_profile_mapping(self, info: GraphQLResolveInfo[None], input: Json) -> Json:  # noqa: A002 - the schema's name
        given = msgspec.convert(input, ProfileMappingInput)
        self.calls.append(FieldCall(name=info.field_name, given=given))
        entries = given.mapping_schema_v2 or ()
        errors = [
            *self._who_and_whose(given.advertiser_id, "mappableType", given.mappable_type),
            *_repeated_keys(entries),
        ]
        if answer := self._refusal(info, errors):
            return answer
        advertiser_id, kind = given.advertiser_id or "", given.mappable_type or ""
        change = SetProfileMapping(
            advertiser_id=advertiser_id, mappable_type=kind, entries=entries, is_opted_in=given.is_opted_in
        )
        self.changes.append(change)
        return {"userErrors": [], "profileMapping": _mapping(advertiser_id, kind, entries)}

    def _upsert_external_audience_mapping(self, info: GraphQLResolveInfo[None], input: Json) -> Json:  # noqa: A002 - as above
        given = msgspec.convert(input, ExternalAudienceMappingInput)
        self.calls.append(FieldCall(name=info.field_name, given=given))
        if answer := self._refusal(info, self._who_and_whose(given.advertiser_id, "mappableType", given.mappable_type)):
            return answer
        advertiser_id, kind = given.advertiser_id or "", given.mappable_type or ""
        entries = given.mapping_schema or ()
        self.changes.append(SetAudienceMapping(advertiser_id=advertiser_id, mappable_type=kind, entries=entries))
        return {"userErrors": [], "externalAudienceMapping": _mapping(advertiser_id, kind, entries)}

    def _upsert_profiles(self, info: GraphQLResolveInfo[None], input: Json) -> Json:  # noqa: A002 - as above
        given = msgspec.convert(input, UpsertProfilesInput)
        profiles, problem = read_profiles(given.profiles)
        literal = raw_literal(info.field_nodes[0], "profiles")
        self.calls.append(FieldCall(name=info.field_name, given=given, literal=literal, profiles=profiles))
        errors = self._who_and_whose(given.advertiser_id, "externalProvider", given.external_provider)
        if problem is not None:
            errors.append(UserError(message=problem, path=("input", "profiles")))
        elif not self._lists.is_room_for(profiles or (), given.advertiser_id, given.external_provider):
            full = f"The sandbox keeps at most {self._lists.profiles_max} profiles."
            errors.append(UserError(message=full, path=("input", "profiles")))
        if answer := self._refusal(info, errors):
            return answer
        assert profiles is not None
        self.profiles += len(profiles)
        if not self._repeats(given):
            self.changes.append(
                UpsertProfiles(advertiser_id=given.advertiser_id, provider=given.external_provider, profiles=profiles)
            )
        return {"userErrors": []}

    def _delete_profiles(self, info: GraphQLResolveInfo[None], input: Json) -> Json:  # noqa: A002 - as above
        given = msgspec.convert(input, DeleteProfilesInput)
        self.calls.append(FieldCall(name=info.field_name, given=given))
        advertiser_ids = given.advertiser_ids or ()
        errors = [error for advertiser_id in advertiser_ids for error in self._who(advertiser_id, "advertiserIds")]
        errors += _whose("externalProvider", given.external_provider)
        if answer := self._refusal(info, errors):
            return answer
        self.changes.append(
            DeleteProfiles(
                advertiser_ids=advertiser_ids,
                provider=given.external_provider,
                external_ids=frozenset(text for text in given.external_ids if text is not None),
            )
        )
        return {"userErrors": []}

    def _repeats(self, given: UpsertProfilesInput) -> bool:
        """Whether these profiles are a replay that the switches say to ignore; counts replays either way."""
        if given.sync_id is None or not self._is_replay((given.advertiser_id, given.external_provider, given.sync_id)):
            return False
        self.replays += 1
        return self._configuration.ignore_replays

    def _refusal(self, info: GraphQLResolveInfo[None], errors: list[UserError]) -> Json | None:
        errors = [*self._refused.get(info.field_name, ()), *errors]
        if not errors:
            return None
        self.user_errors += errors
        return {"userErrors": [{"message": error.message, "path": error.path} for error in errors]}

    def _who_and_whose(self, advertiser_id: str | None, key: str, provider: str | None) -> list[UserError]:
        return [*self._who(advertiser_id, "advertiserId"), *_whose(key, provider)]

    def _who(self, advertiser_id: str | None, key: str) -> list[UserError]:
        if advertiser_id is not None and self._configuration.is_writable(advertiser_id, self._token):
            return []
        message = f"Advertiser {advertiser_id} is unknown or this token may not write to it."
        return [UserError(message=message, path=("input", key))]


def read_profiles(value: object) -> tuple[tuple[FlatProfile, ...] | None, str | None]:
    """The list of flat objects in `profiles` (JSON text, or a list already), or the sentence that says what is wrong."""
    try:
        listed = msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, RecursionError):
        return None, "Profiles are not valid JSON."
    if not isinstance(listed, list):
        return None, "Profiles must be a list."
    for place, profile in enumerate(listed):
        if not isinstance(profile, dict):
            return None, f"Profile {place} is not an object."
        for item in profile.values():
            if isinstance(item, dict | list):
                return None, f"Profile {place} has a nested value."
    return tuple(listed), None


def _whose(key: str, provider: str | None) -> list[UserError]:
    if provider == PROVIDER:
        return []
    return [UserError(message=f"{key} must be {PROVIDER}.", path=("input", key))]


def _repeated_keys(entries: tuple[MappingEntry, ...]) -> list[UserError]:
    keys = [entry.incoming_key for entry in entries]
    repeated = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    return [
        UserError(message=f"The incoming key {key} is mapped more than once.", path=("input", "mappingSchemaV2"))
        for key in repeated
    ]


def _mapping(advertiser_id: str, mappable_type: str, entries: tuple[MappingEntry, ...]) -> Json:
    return {
        "id": f"{advertiser_id}-{mappable_type}",
        "mappingSchema": msgspec.to_builtins(entries),
        "mappableType": mappable_type,
    }
