"""The fake StackAdapt's memory: mappings, profiles and audiences, and the rules by which accepted changes alter them.

Pure bookkeeping: whether a change is acceptable was decided in `mutations.py`, when it takes effect in `ingestion.py`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from gateway.sandbox.stackadapt.configuration import PROFILES_MAX_DEFAULT

AUDIENCES_MAX = 10_000
MAPPINGS_MAX = 10_000

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = re.compile(rf"{_LOCAL}(?:\.{_LOCAL})*@{_LABEL}(?:\.{_LABEL})+")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

ProfileKey = tuple[str, str, str]  # advertiser id, provider, email


class MappingEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of a mapping schema, as it was sent."""

    incoming_key: str
    destination_key: str
    label: str
    type: str
    is_pii: bool


class SetProfileMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the profile mapping of (advertiser, mappable type), whole."""

    advertiser_id: str
    mappable_type: str
    entries: tuple[MappingEntry, ...]
    is_opted_in: bool | None


class SetAudienceMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the external audience mapping of (advertiser, mappable type), whole."""

    advertiser_id: str
    mappable_type: str
    entries: tuple[MappingEntry, ...]


class UpsertProfiles(msgspec.Struct, frozen=True, kw_only=True):
    """Merge flat profiles, in order, into those of (advertiser, provider)."""

    advertiser_id: str
    provider: str
    profiles: tuple[Mapping[str, object], ...]


class DeleteProfiles(msgspec.Struct, frozen=True, kw_only=True):
    """Remove the profiles of these external ids from these advertisers and from every audience."""

    advertiser_ids: tuple[str, ...]
    provider: str
    external_ids: frozenset[str]


Change = SetProfileMapping | SetAudienceMapping | UpsertProfiles | DeleteProfiles


class Profile:
    """A person at one advertiser: mapped values, the external id for deletion, the consent of the last mapping."""

    __slots__ = ("external_id", "is_opted_in", "values")

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.external_id: str | None = None
        self.is_opted_in: bool | None = None


class Audience:
    """A named set: for each profile that was ever mentioned with it, whether it is in."""

    __slots__ = ("members", "name")

    def __init__(self) -> None:
        self.name: str | None = None
        self.members: dict[ProfileKey, bool] = {}


class Lists:
    """Everything the partner knows of people and audiences."""

    def __init__(self, *, profiles_max: int = PROFILES_MAX_DEFAULT) -> None:
        self.profiles_max = profiles_max
        self.profile_mappings: dict[tuple[str, str], SetProfileMapping] = {}
        self.audience_mappings: dict[tuple[str, str], SetAudienceMapping] = {}
        self.profiles: dict[ProfileKey, Profile] = {}
        self.audiences: dict[str, Audience] = {}
        self.dropped = 0
        self.deleted = 0

    def members(self, audience_id: str, *, advertiser_id: str | None = None) -> frozenset[str]:
        """The emails that are in the audience now, at one advertiser or at all."""
        audience = self.audiences.get(audience_id)
        if audience is None:
            return frozenset()
        return frozenset(
            email
            for (advertiser, _, email), is_in in audience.members.items()
            if is_in and advertiser_id in (None, advertiser)
        )

    def apply(self, change: Change) -> None:
        """Let one accepted change take effect."""
        match change:
            case SetProfileMapping():
                _put(self.profile_mappings, (change.advertiser_id, change.mappable_type), change)
            case SetAudienceMapping():
                _put(self.audience_mappings, (change.advertiser_id, change.mappable_type), change)
            case UpsertProfiles():
                self._upsert(change)
            case DeleteProfiles():
                self._delete(change)

    def is_room_for(self, profiles: Iterable[Mapping[str, object]], advertiser_id: str, provider: str) -> bool:
        """Whether profiles_max allows the ones among these that are new."""
        wanted = {(advertiser_id, provider, str(profile.get("email"))) for profile in profiles}
        if len(self.profiles) + len(wanted) <= self.profiles_max:
            return True
        return len(self.profiles) + len(wanted - self.profiles.keys()) <= self.profiles_max

    def _upsert(self, change: UpsertProfiles) -> None:
        mapping = self.profile_mappings.get((change.advertiser_id, change.provider))
        kept_as = {entry.incoming_key: entry.destination_key for entry in mapping.entries} if mapping else {}
        for sent in change.profiles:
            email = sent.get("email")
            if not isinstance(email, str) or _EMAIL.fullmatch(email) is None:
                self.dropped += 1
                continue
            key = (change.advertiser_id, change.provider, email)
            profile = self.profiles.get(key)
            if profile is None:
                if len(self.profiles) >= self.profiles_max:
                    self.dropped += 1
                    continue
                profile = self.profiles[key] = Profile()
            for name, value in sent.items():
                if name in kept_as:
                    profile.values[kept_as[name]] = value
            if mapping is not None:
                profile.is_opted_in = mapping.is_opted_in
            user_id = sent.get("userId")
            if user_id is not None:
                profile.external_id = str(user_id)
            self._enter_or_exit(sent, key)

    def _enter_or_exit(self, sent: Mapping[str, object], key: ProfileKey) -> None:
        audience_id = sent.get("audienceId")
        if audience_id is None:
            return
        audience = self.audiences.get(str(audience_id))
        if audience is None:
            if len(self.audiences) >= AUDIENCES_MAX:
                return
            audience = self.audiences[str(audience_id)] = Audience()
        if sent.get("audienceName") is not None:
            audience.name = str(sent["audienceName"])
        action = sent.get("action")
        if action in {"enter", "exit"}:
            audience.members[key] = action == "enter"

    def _delete(self, change: DeleteProfiles) -> None:
        gone = [
            key
            for key, profile in self.profiles.items()
            if key[0] in change.advertiser_ids
            and key[1] == change.provider
            and profile.external_id in change.external_ids
        ]
        for key in gone:
            del self.profiles[key]
            for audience in self.audiences.values():
                audience.members.pop(key, None)
        self.deleted += len(gone)


def _put(table: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if key in table or len(table) < MAPPINGS_MAX:
        table[key] = value
