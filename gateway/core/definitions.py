"""What a destination offers, as data: settings, actions, fields, corrections. Checking a payload is `core/payloads.py`."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.identifiers import Algorithm, Encoding
from gateway.core.run_limits import RunBreaker, RunRetry
from gateway.core.sync_options import Capabilities

FieldType = Literal["string", "text", "password", "datetime", "number", "integer", "boolean", "object", "any"]
"""`any`: whatever the mapping gives, unchanged, null and empty text apart; the field's own rules stand elsewhere."""

IdentifierKind = Literal["email", "phone", "mobile_id", "external"]
"""external: an id of somebody's own, which may look like anything."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One clause of a conditional requirement. value: UNSET asks whether the other field is present at all."""

    field_key: str
    operator: Literal["is", "is_not"]
    value: object = msgspec.UNSET


class RequiredWhen(msgspec.Struct, frozen=True, kw_only=True):
    """A field is required when all (or any) conditions hold."""

    match: Literal["all", "any"] = "all"
    conditions: tuple[Condition, ...] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One allowed value and what a person reads for it."""

    value: str
    label: str


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input of an action, or one setting.

    required: always, never, or when conditions hold.
    default: mapping value (directives allowed) laid under a mapping that leaves the field out; UNSET for none.
    properties: members of an object field, by key; an object without them is free-form.
    additional_properties: keep members that `properties` does not list.
    minimum, maximum: length for strings, value for numbers; 0 is no bound, as in the reference.
    secret: never shown, never logged, given by reference only. in_header: sent in a header as it stands, so
      that it is looked at for what none can hold; unless the destination does that itself.
    literal_only: a mapping may give a plain value but no directive.
    identifier: the platform knows people by it, as what; `core/hash_linter.py` looks at its values. hash: what it is sent as
      (None: not hashed); hash_encodings: writings of a finished hash that pass as one.
    """

    key: str
    label: str
    type: FieldType
    description: str = ""
    required: bool | RequiredWhen = False
    multiple: bool = False
    choices: tuple[Choice, ...] = ()
    format: str | None = None
    default: object = msgspec.UNSET
    properties: tuple[Field, ...] = ()
    additional_properties: bool = False
    allow_null: bool = False
    minimum: float | None = None
    maximum: float | None = None
    hidden: bool = False
    secret: bool = False
    in_header: bool = False
    literal_only: bool = False
    identifier: IdentifierKind | None = None
    hash: Algorithm | None = None
    hash_encodings: tuple[Encoding, ...] = ("hex",)


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """One deliberate, switchable difference from the reference connector. name: the switch in a mapping file."""

    name: str
    reason: str


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a destination can do.

    names: other slugs and titles that mean the same in a mapping file.
    trigger: FQL used by a mapping that gives none.
    batch_events_max, batch_bytes_max: bounds of one batch (deliveries; sum of payload bytes as stored).
    list_shaped: a later delivery of one audience, member and identifiers replaces an unsent earlier one.
    sync_only: takes whole lists only; a mapping without a `sync` block gets the default one.
    audience_settings: fields of one entry of a mapping's `audiences`.
    capabilities: what a sync may plan; None follows from sync_only.
    needs_audience_id: events of an audience without an external id are skipped as audience_not_connected.
    request_records: people of one request by what a run does to them (add, update, remove), where that is fewer than a batch has.
    """

    slug: str
    title: str
    fields: tuple[Field, ...]
    trigger: str
    names: tuple[str, ...] = ()
    description: str = ""
    batch_events_max: int = 1000
    batch_bytes_max: int = 4_000_000
    list_shaped: bool = False
    sync_only: bool = False
    audience_settings: tuple[Field, ...] = ()
    needs_audience_id: bool = False
    capabilities: Capabilities | None = None
    request_records: dict[str, int] = {}

    @property
    def may_sync(self) -> bool:
        """A mapping may keep a list with it."""
        return self.list_shaped or self.sync_only or self.capabilities is not None

    def names_somebody(self, payload: dict[str, object], corrections: frozenset[str]) -> bool:  # noqa: ARG002
        """Whether the platform can know anybody by a checked payload: all of them, unless an action says more.

        corrections: names of those that are on.
        """
        return True


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A destination as the code offers it; the console form, `gateway check` and the docs table are made from it.

    slug: `destination` in a mapping file; names: other slugs that mean the same.
    api_version, checked_on: which contract of the partner this was built on, and when that was last looked at.
    run_retry, run_breaker: how a run's single changes are tried again, and when it stops.
    may_be_private: its own address, which its author wrote, may lie on a private network.
    digest: of the whole file it was read from; rendering: of what in it makes records of payloads. Both "" for those in code.
    """

    slug: str
    title: str
    settings: tuple[Field, ...]
    actions: tuple[Action, ...]
    names: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    description: str = ""
    docs_page: str = ""
    api_version: str = ""
    checked_on: str = ""
    run_retry: RunRetry = RunRetry()
    run_breaker: RunBreaker = RunBreaker()
    may_be_private: bool = False
    digest: str = ""
    rendering: str = ""

    @property
    def version(self) -> str:
        """Changes where an edit may make the partner take what it refused."""
        return self.digest or self.api_version

    def action(self, name: str) -> Action | None:
        """Return the action that `name` (slug, old slug or title, any case) means, or None."""
        wanted = name.casefold()
        for action in self.actions:
            if wanted in {action.slug.casefold(), action.title.casefold(), *(old.casefold() for old in action.names)}:
                return action
        return None


def first_of(first: str, second: str) -> dict[str, object]:
    """A default mapping: the first path when the event holds something there, else the second."""
    return {"@if": {"exists": {"@path": first}, "then": {"@path": first}, "else": {"@path": second}}}
