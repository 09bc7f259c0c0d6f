"""One file of `mappings/` → one compiled destination, or every problem it has."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway.config.advice import Advisor, tell_audience_warnings, tell_setting_problems
from gateway.config.files import Findings, RawFile, kind, parse_file
from gateway.config.lane_bounds import read_lane_bounds
from gateway.config.mapping_entries import compile_entry
from gateway.config.positions import escape
from gateway.config.secrets import SecretSource, is_reference, resolve
from gateway.core.definitions import Definition, Field
from gateway.core.errors import Problem
from gateway.core.http_messages import header_secret_problem
from gateway.core.payloads import PayloadError, compile_check
from gateway.core.placeholders import TO_FILL_IN, places_to_fill_in
from gateway.core.rulebook import CompiledDestination, CompiledMapping

MAPPINGS_MAX = 200  # in one file; the reference's app stops at 50

_members = ("$schema", "name", "destination", "enabled", "settings", "mappings", "corrections", "limits")
_stem = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one file. destination: None when it has errors."""

    destination: CompiledDestination | None
    problems: list[Problem]


def compile_file(
    raw: RawFile, definitions: Mapping[str, Definition], secrets: SecretSource, advisor: Advisor | None = None
) -> Compiled:
    """Check and compile one mapping file. definitions: by every slug that means them. advisor: asks the destination, too."""
    findings = parse_file(raw)
    if findings.document is None:
        return Compiled(destination=None, problems=findings.problems)
    if not _stem.fullmatch(raw.stem):
        findings.add(
            "", f"`{raw.stem}` cannot name a destination.", "Name the file with letters, digits, `_`, `.`, `-`."
        )
    members = findings.table(findings.document.value, "", _members, what="a mapping file")
    if members is None:
        return Compiled(destination=None, problems=findings.problems)
    definition = _definition(members, findings, definitions)
    if definition is None:
        return Compiled(destination=None, problems=findings.problems)
    name = findings.text(members, "name", "", default=raw.stem)
    enabled = findings.flag(members, "enabled", "", default=True)
    if not enabled:  # An example, or a platform put aside: what is missing to send anything is not asked for.
        secrets = msgspec.structs.replace(secrets, strict=False)
    corrections = _corrections(members.get("corrections", {}), findings, definition)
    settings, found_secrets = _settings(members.get("settings", {}), findings, definition, secrets)
    if advisor is not None and not findings.has_errors:
        given = members.get("settings", {})
        tell_setting_problems(advisor, definition, findings, given, settings, corrections, is_strict=secrets.strict)
    _tell_what_is_to_fill_in(members, findings)
    mappings = _mappings(members.get("mappings"), raw.stem, findings, definition, settings)
    if advisor is not None and not findings.has_errors:
        for index, mapping in enumerate(mappings):
            tell_audience_warnings(
                advisor, definition, findings, f"/mappings/{index}/audiences", mapping.audiences or {}
            )
    compiled = CompiledDestination(
        key=raw.stem,
        name=name,
        definition=definition,
        settings=settings,
        mappings=tuple(mappings),
        corrections=corrections,
        secrets=found_secrets,
        integration_names=frozenset({name, raw.stem, definition.title, definition.slug, *definition.names}),
        enabled=enabled,
        file=raw.name,
        limits=read_lane_bounds(members.get("limits", {}), findings),
    )
    return Compiled(destination=None if findings.has_errors else compiled, problems=findings.problems)


def _tell_what_is_to_fill_in(members: dict[str, object], findings: Findings) -> None:
    """Warn of what an importer could not know, and nobody has put in its place yet."""
    for steps, is_name in places_to_fill_in(members):
        what = (
            "the key or id of your audience, as events name it"
            if is_name
            else "what your account at the platform has there"
        )
        findings.warn(
            "".join(f"/{escape(step)}" for step in steps),
            f"`{TO_FILL_IN}` still stands here, as the importer left it.",
            f"Put {what} in its place.",
        )


def _definition(
    members: dict[str, object], findings: Findings, definitions: Mapping[str, Definition]
) -> Definition | None:
    slug = findings.text(members, "destination", "")
    if not slug:
        return None
    if slug not in definitions:
        known = ", ".join(sorted({definition.slug for definition in definitions.values()}))
        findings.add("/destination", f"There is no destination `{slug}`.", f"Known: {known}.")
        return None
    return definitions[slug]


def _corrections(value: object, findings: Findings, definition: Definition) -> frozenset[str]:
    """Names of the corrections that are on: all, unless switched off one by one or with "off"."""
    every = frozenset(correction.name for correction in definition.corrections)
    if value in ("on", "off"):
        return every if value == "on" else frozenset()
    members = findings.table(value, "/corrections", sorted(every), what="corrections")
    if members is None:
        return every
    off = {name for name in members if not findings.flag(members, name, "/corrections", default=True)}
    return every - off


def _settings(
    value: object, findings: Findings, definition: Definition, secrets: SecretSource
) -> tuple[dict[str, object], frozenset[str]]:
    fields = {field.key: field for field in definition.settings}
    members = findings.table(value, "/settings", fields, what=f"the settings of {definition.title}")
    if members is None:
        return {}, frozenset()
    resolved: dict[str, object] = {}
    found_secrets: set[str] = set()
    for key, given in members.items():
        if key not in fields:
            continue
        text = _setting(given, fields[key], f"/settings/{escape(key)}", findings, secrets)
        if text is not None:
            resolved[key] = text
            if fields[key].secret and isinstance(text, str):
                found_secrets.add(text)
    for field in definition.settings:
        if field.key not in members and field.default is not msgspec.UNSET:
            resolved[field.key] = field.default
    missing = [field for field in definition.settings if field.required is True and field.key not in members]
    for field in missing:
        example = '{"$env": "NAME"}' if field.secret else '"…"'
        findings.add(
            "/settings", f"The setting `{field.key}` ({field.label}) is missing.", f'Add `"{field.key}": {example}`.'
        )
    if not missing and not findings.has_errors:
        resolved = _checked_settings(resolved, findings, definition)
    return resolved, frozenset(found_secrets)


def _setting(given: object, field: Field, pointer: str, findings: Findings, secrets: SecretSource) -> object:
    if is_reference(given):
        text = resolve(given, pointer, findings, secrets)
        if text is not None and field.in_header and (problem := header_secret_problem(text)):
            findings.add(
                pointer,
                f"The secret `{field.key}` {problem}.",
                "Put the secret itself there: an ellipsis, typographic quotes or a line break often come along when it is copied.",
                severity="error" if secrets.strict else "warning",
            )
        return text
    if field.secret:
        findings.add(
            pointer,
            f"The secret `{field.key}` stands here in clear.",
            'Write `{"$env": "NAME"}` or `{"$file": "/run/secrets/name"}` instead, and change the secret if this was shared.',
        )
        return None
    return given


def _checked_settings(resolved: dict[str, object], findings: Findings, definition: Definition) -> dict[str, object]:
    try:
        return compile_check(definition.settings).check_settings(resolved)
    except PayloadError as error:
        for message in error.messages:
            findings.add("/settings", message)
        return {}


def _mappings(
    value: object, stem: str, findings: Findings, definition: Definition, settings: dict[str, object]
) -> list[CompiledMapping]:
    if not isinstance(value, list) or not value:
        findings.add(
            "/mappings" if value is not None else "",
            f"`mappings` must be a list of mappings, but it is {_absent(value)}.",
        )
        return []
    if len(value) > MAPPINGS_MAX:
        findings.add("/mappings", f"There are more than {MAPPINGS_MAX} mappings in this file.", "Split the file.")
        return []
    compiled: list[CompiledMapping] = []
    owners: dict[str, int] = {}
    for index, entry in enumerate(value):
        mapping = compile_entry(entry, f"/mappings/{index}", stem, findings, definition, settings)
        if mapping is None:
            continue
        if mapping.key in owners:
            findings.add(
                f"/mappings/{index}/name",
                f"Mapping {owners[mapping.key] + 1} has the same name.",
                "Give each mapping of a file its own name; letter case and punctuation do not tell them apart.",
            )
        owners.setdefault(mapping.key, index)
        compiled.append(mapping)
    return compiled


def _absent(value: object) -> str:
    return "missing" if value is None else "empty" if value == [] else kind(value)
