"""One entry of a file's `mappings`: trigger, fields and audiences checked against the action and compiled."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, cast, get_args

import msgspec

from gateway.config.files import Findings, kind
from gateway.config.positions import escape
from gateway.config.sync_blocks import mapping_version, read_sync_block
from gateway.core.definitions import Action, Definition, Field
from gateway.core.fql import FqlError, Trigger, compile_trigger, generate
from gateway.core.mapping import Transform, compile_mapping, mapping_warnings, validate_mapping
from gateway.core.payloads import PayloadError, compile_check, defaults_of
from gateway.core.rulebook import CompiledMapping
from gateway.core.sync_options import SINGLE_CHANGES

AUDIENCES_MAX = 10_000  # entries of one mapping's `audiences`
INTERNAL_PREFIX = "__segment_internal_"

_members = (
    "name", "action", "trigger", "fields", "audiences", "enabled", "integrations", "accounts", "sync_mode", "sync",
    "hashing",
)  # fmt: skip
Hashing = Literal["on", "off", "auto"]

_sync_modes = ("add", "update", "upsert", "delete", "mirror")


def slug_of(name: str) -> str:
    """A name as part of an id: lower-case ASCII letters and digits, the rest dashes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def compile_entry(
    entry: object,
    pointer: str,
    stem: str,
    findings: Findings,
    definition: Definition,
    settings: dict[str, object] | None = None,
) -> CompiledMapping | None:
    """Compile one mapping, adding what is wrong to `findings`; None when it cannot be compiled at all.

    settings: of the destination, some of which say how its syncs run.
    """
    members = findings.table(entry, pointer, _members, what="a mapping")
    if members is None:
        return None
    name = findings.text(members, "name", pointer)
    slug = slug_of(name)
    if name and not slug:
        findings.add(f"{pointer}/name", "The name holds no letter or digit that could make its id.")
    action = _action(members, pointer, findings, definition)
    if action is None:
        return None
    trigger, trigger_text = _trigger(members, pointer, findings, action)
    fields = _fields(members.get("fields", {}), f"{pointer}/fields", findings, action)
    transform = _transform(fields, members.get("fields", {}), f"{pointer}/fields", findings)
    if transform is None or trigger is None:
        return None
    block = read_sync_block(members, pointer, findings, action, settings or {})
    return CompiledMapping(
        key=f"{stem}/{slug}",
        name=name,
        action=action,
        trigger=trigger,
        trigger_text=trigger_text,
        transform=transform,
        check=compile_check(action.fields),
        fields=fields,
        audiences=_audiences(members.get("audiences"), f"{pointer}/audiences", findings, action),
        batching=fields.get("enable_batching", True) in (True, "true", 1),
        batch_events_max=_bound(fields, "batch_size", action.batch_events_max),
        batch_bytes_max=_bound(fields, "batch_bytes", action.batch_bytes_max),
        honour_integrations=_integrations(members, pointer, findings),
        forward_accounts=findings.flag(members, "accounts", pointer, default=False),
        sync_mode=_sync_mode(members, fields, pointer, findings),
        hashing=_hashing(members, pointer, findings, action, block.options.hashing if block else "on"),
        enabled=findings.flag(members, "enabled", pointer, default=True),
        sync=block.options if block else None,
        sync_filter=block.filter if block else None,
        capabilities=block.capabilities if block else SINGLE_CHANGES,
        version=mapping_version(members, settings or {}, definition.rendering),
    )


def _action(members: dict[str, object], pointer: str, findings: Findings, definition: Definition) -> Action | None:
    if "action" not in members and len(definition.actions) == 1:
        return definition.actions[0]
    name = findings.text(members, "action", pointer)
    action = definition.action(name) if name else None
    if name and action is None:
        known = ", ".join(f"`{one.slug}`" for one in definition.actions)
        findings.add(f"{pointer}/action", f"{definition.title} has no action `{name}`.", f"It offers {known}.")
    return action


def _trigger(
    members: dict[str, object], pointer: str, findings: Findings, action: Action
) -> tuple[Trigger | None, str]:
    given = members.get("trigger", action.trigger)
    place = f"{pointer}/trigger"
    if not isinstance(given, str | dict):
        findings.add(place, f"`trigger` must be FQL text or a condition tree, but it is {kind(given)}.")
        return None, ""
    trigger = compile_trigger(given)
    if trigger.error is not None:
        findings.add(place, f"This trigger cannot be read: {trigger.error}", "Such a trigger never matches any event.")
        return None, ""
    if isinstance(given, str):
        for warning in trigger.warnings:
            findings.warn(
                place, f"Column {warning.column}: {warning.message}", warning.mend, column_offset=warning.column
            )
        return trigger, given
    try:
        return trigger, generate(given)
    except FqlError as error:
        findings.add(place, f"This condition tree cannot be read: {error}", "Write the trigger as FQL text instead.")
        return None, ""


def _fields(value: object, pointer: str, findings: Findings, action: Action) -> dict[str, object]:
    """Lay the file's fields over the action's defaults: a key replaces its default whole, null takes it away."""
    known = {field.key: field for field in action.fields}
    if not isinstance(value, dict):
        findings.add(pointer, f"`fields` must be an object, but it is {kind(value)}.")
        return defaults_of(action.fields)
    internal = [key for key in value if key.startswith(INTERNAL_PREFIX)]
    findings.table(value, pointer, [*known, *internal], what=f"the fields of `{action.slug}`")
    laid = {**defaults_of(action.fields), **value}
    fields = {key: laid[key] for key in laid if laid[key] is not None}
    for key, field in known.items():
        place = f"{pointer}/{escape(key)}" if key in value else pointer
        if key not in fields:
            if field.required is True:
                choices = " or ".join(f'"{choice.value}"' for choice in field.choices)
                mend = f'Add `"{key}"`' + (f": {choices}." if choices else ", a value or a directive.")
                findings.add(place, f"The field `{key}` ({field.label}) is required and has no default.", mend)
        elif key in value:
            _check_static(fields[key], field, place, findings)
    return fields


def _check_static(value: object, field: Field, pointer: str, findings: Findings) -> None:
    """Check what can be known before any event: plain values against the field, directives against literal_only."""
    if _has_directive(value):
        if field.literal_only:
            findings.add(pointer, f"`{field.key}` takes a plain value only, not a directive.")
        return
    alone = msgspec.structs.replace(field, required=False)
    try:
        compile_check([alone]).check({field.key: value}, batched=False)
    except PayloadError as error:
        for message in error.messages:
            findings.add(pointer, message)


def _has_directive(value: object) -> bool:
    if isinstance(value, dict):
        return any(key.startswith("@") for key in value) or any(_has_directive(one) for one in value.values())
    return isinstance(value, list) and any(_has_directive(one) for one in value)


def _transform(fields: dict[str, object], given: object, pointer: str, findings: Findings) -> Transform | None:
    problems = validate_mapping(fields)
    for problem in problems:
        findings.add(f"{pointer}{problem.pointer}", problem.message)
    if isinstance(given, dict):
        for warning in mapping_warnings(given):
            findings.warn(f"{pointer}{warning.pointer}", warning.message)
    return None if problems else compile_mapping(fields)


def _audiences(value: object, pointer: str, findings: Findings, action: Action) -> dict[str, dict[str, object]] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value or len(value) > AUDIENCES_MAX:
        findings.add(
            pointer,
            f"`audiences` must be an object of 1 to {AUDIENCES_MAX} audiences by id or key.",
            'Use `"*"` for all.',
        )
        return None
    checked: dict[str, dict[str, object]] = {}
    check = compile_check(action.audience_settings)
    for name, entry in value.items():
        place = f"{pointer}/{escape(name)}"
        members = findings.table(
            entry, place, [field.key for field in action.audience_settings], what="an audience's settings"
        )
        if members is None:
            continue
        try:
            checked[name] = check.check(dict(members), batched=False) if action.audience_settings else {}
        except PayloadError as error:
            for message in error.messages:
                findings.add(place, message)
    return checked


def _bound(fields: dict[str, object], key: str, default: int) -> int:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        return default
    return min(int(value), default)


def _integrations(members: dict[str, object], pointer: str, findings: Findings) -> bool | None:
    if "integrations" not in members:
        return None
    return findings.choice(members, "integrations", pointer, ("honour", "ignore"), "ignore") == "honour"


def _hashing(members: dict[str, object], pointer: str, findings: Findings, action: Action, default: Hashing) -> Hashing:
    """Whether the gateway hashes: said beside `fields` where events are forwarded, inside `sync` where a list is kept."""
    if "hashing" not in members:
        return default
    if not any(field.type == "any" for field in action.fields):
        findings.add(
            f"{pointer}/hashing", "`hashing` is for destinations described in a file; this one hashes by itself."
        )
    elif "sync" in members:
        findings.add(
            f"{pointer}/hashing", "A mapping that keeps a list says `hashing` inside `sync`.", "Move it there."
        )
    chosen = findings.choice(members, "hashing", pointer, get_args(Hashing), "on")
    return cast("Hashing", chosen)


def _sync_mode(members: dict[str, object], fields: dict[str, object], pointer: str, findings: Findings) -> str | None:
    """Reverse-ETL events need one: which of new, updated and deleted rows mean membership."""
    key = f"{INTERNAL_PREFIX}sync_mode"
    if "sync_mode" in members:
        return findings.choice(members, "sync_mode", pointer, _sync_modes, "mirror")
    return findings.choice(fields, key, f"{pointer}/fields", _sync_modes, "mirror") if key in fields else None
