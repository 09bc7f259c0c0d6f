"""The `sync` block of a mapping: read, checked against the action, and defaulted where an action takes whole lists only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from gateway.config.files import Findings, kind
from gateway.config.positions import escape
from gateway.core.definitions import Action
from gateway.core.errors import Problem
from gateway.core.fql import Trigger, compile_trigger
from gateway.core.rulebook import CompiledDestination
from gateway.core.schedules import DAY_S, Every
from gateway.core.sync_options import (
    SINGLE_CHANGES,
    WHOLE_LISTS,
    Capabilities,
    SyncOptions,
    default_options,
    read_sync_options,
)

HOUR_SETTING = "sync_hour_utc"


class SyncBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping with a sync keeps of its block. filter: compiled; None lets everybody through."""

    options: SyncOptions
    capabilities: Capabilities
    filter: Trigger | None = None


def capabilities_of(action: Action) -> Capabilities:
    """What the action's platform can do to a list."""
    if action.capabilities is not None:
        return action.capabilities
    return WHOLE_LISTS if action.sync_only else SINGLE_CHANGES


def read_sync_block(
    members: dict[str, object], pointer: str, findings: Findings, action: Action, settings: dict[str, object]
) -> SyncBlock | None:
    """The block of one mapping; None where it forwards. settings: the destination's, whose hour may be the schedule."""
    if "sync" not in members and not action.sync_only:
        return None
    place = f"{pointer}/sync"
    if not action.may_sync:
        findings.add(
            place,
            f"`{action.slug}` keeps no list that a sync could keep equal.",
            "Take `sync` out: events are forwarded.",
        )
        return None
    given = members.get("sync", {})
    capabilities = capabilities_of(action)
    default = default_options(capabilities)
    hour = settings.get(HOUR_SETTING)
    if isinstance(hour, int) and not isinstance(hour, bool) and 0 <= hour < 24:
        if isinstance(given, dict) and "schedule" in given:
            findings.add(
                f"{place}/schedule", f"The setting `{HOUR_SETTING}` gives a schedule already.", "Keep one of them."
            )
        default = msgspec.structs.replace(default, schedule=Every(every_s=DAY_S, offset_s=hour * 3_600))
    if not isinstance(given, dict):
        findings.add(place, f"`sync` must be an object, but it is {kind(given)}.")
        return None
    options, problems = read_sync_options(given, pointer=place, capabilities=capabilities, default=default)
    for problem in problems:
        findings.add(problem.pointer, problem.what, problem.mend, severity=problem.severity)
    if options is None:
        return None
    return SyncBlock(options=options, capabilities=capabilities, filter=_filter(options, f"{place}/filter", findings))


def mapping_version(members: dict[str, object], settings: dict[str, object], rendering: str = "") -> str:
    """Digest of everything that decides what a member renders to: it tells that a mapping was edited.

    rendering: the definition's part of it; without one, the digest is what it was before definitions had such a part.
    """
    told = {name: members.get(name) for name in ("action", "trigger", "fields", "sync_mode")}
    told["hashing"] = _hashing(members.get("sync"))
    told["settings"] = sorted(name for name in settings)
    if rendering:
        told["rendering"] = rendering
    text = msgspec.json.encode(told, order="deterministic", enc_hook=str)
    return hashlib.sha256(text).hexdigest()[:16]


def _hashing(block: object) -> object:
    return block.get("hashing") if isinstance(block, dict) else None


def _filter(options: SyncOptions, pointer: str, findings: Findings) -> Trigger | None:
    if options.filter is None:
        return None
    trigger = compile_trigger(options.filter)
    if trigger.error is not None:
        findings.add(
            pointer, f"This filter cannot be read: {trigger.error}", "Such a filter never lets anybody through."
        )
        return None
    return trigger


def shared_targets(destinations: Iterable[CompiledDestination]) -> list[Problem]:
    """Two syncs that keep one list: each would undo what the other does. Lists are told by the external ids of the files."""
    owners: dict[tuple[str, str, str], str] = {}
    problems: list[Problem] = []
    for destination in destinations:
        secret = {field.key for field in destination.definition.settings if field.secret}
        account = str(sorted((key, str(value)) for key, value in destination.settings.items() if key not in secret))
        for index, mapping in enumerate(destination.mappings):
            for name, entry in (mapping.audiences or {}).items() if mapping.sync is not None else ():
                external_id = entry.get("external_id")
                if not isinstance(external_id, str) or not external_id:
                    continue
                place = f"/mappings/{index}/audiences/{escape(name)}"
                owner = owners.setdefault(
                    (destination.definition.slug, account, external_id), f"{destination.file}#{place}"
                )
                if owner != f"{destination.file}#{place}":
                    what = f"The list {external_id} is kept by another sync already: {owner}."
                    mend = "Give each sync a list of its own."
                    problems.append(Problem(what=what, mend=mend, file=destination.file, pointer=place))
    return problems
