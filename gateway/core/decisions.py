"""What one event causes, as values: membership changes, deliveries, and what was skipped and why."""

from __future__ import annotations

from typing import Literal

import msgspec

Operation = Literal["enter", "exit", "send", "delete"]
"""enter and exit follow a membership change; send forwards an event that is none; delete is a privacy request."""


class MembershipChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One member entered or left one audience, as one event said.

    space: of the source. audience_id: (space_id or source, computation_id or key) joined; the ledger's key.
    audience_key: computation key as mappings name it; computation_id may be empty.
    member: canonical identifier such as `user_id:u-1`, `anonymous_id:…`, `email:…`, `group_id:…`.
    rule: which rule of the membership resolution fired ("6.1-1", "E1" …), None for none.
    is_account: membership of an account, not of a person.
    """

    audience_space: str
    audience_key: str
    computation_id: str
    member: str
    is_member: bool
    rule: str
    is_account: bool = False
    settings: dict[str, object] | None = None
    external_audience_id: str = ""


class IntendedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One thing owed to one destination if the ledger agrees.

    change: index into Decision.changes that it follows, or None (then it is owed in any case).
    member: canonical identifier, for order; audience_settings: of the mapping's entry or of the event.
      `event_external_id` in it is the list id that the event named, the last one to be tried.
    payload: checked, as the action's wire takes it.
    identifiers: for list-shaped actions, hash of what a platform may know the member by; None for the others.
    needs_audience_id: nothing in the event or the mapping names the partner's list, so the store has to know it.
    """

    destination: str
    mapping: str
    operation: Operation
    member: str
    payload: dict[str, object]
    change: int | None = None
    audience_settings: dict[str, object] | None = None
    identifiers: int | None = None
    needs_audience_id: bool = False


class IntendedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one event tells a sync of one member, if the ledger agrees. Nothing is sent for it; a run does that.

    change: index into Decision.changes. is_in: enters (and matches); else the member is out for the sync.
    payload: checked; None where the event gives none: then unmappable says why, or (leaving) nothing has to be said.
    event_settings: audience settings as the event said them, `event_external_id` among them.
    is_live: the sync follows events, so that it is to hear of this soon.
    """

    destination: str
    mapping: str
    change: int
    is_in: bool
    payload: dict[str, object] | None = None
    unmappable: str = ""
    event_settings: dict[str, object] | None = None
    is_live: bool = False


class Skipped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A mapping that sent nothing for the event, and why. code: a stable word; detail: without personal data."""

    destination: str
    mapping: str
    code: str
    detail: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Same event and rulebook, same Decision.

    person: canonical id of whom the event is about, "" when it names nobody. deletions: canonical ids to be forgotten.
    """

    person: str = ""
    changes: tuple[MembershipChange, ...] = ()
    deliveries: tuple[IntendedDelivery, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    deletions: tuple[str, ...] = ()
    records: tuple[IntendedRecord, ...] = ()
