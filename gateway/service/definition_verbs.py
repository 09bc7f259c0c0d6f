"""The verbs of destination definitions, for the command line and the admin API alike: check, preview, test, import, fields.

Values in, values out. Nothing here prints, reads a path or logs; nothing is sent but a live sample, and that only when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from gateway.config.files import Findings, RawFile, parse_file
from gateway.config.mapping_entries import slug_of
from gateway.core.errors import Problem
from gateway.core.outcomes import Delivered
from gateway.core.rulebook import CompiledDestination, CompiledMapping
from gateway.destinations.base import Batch, Context, HttpClient, Owed
from gateway.destinations.http_audience.definition import BASE_URL, TOKEN_URL
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.rehearsing import (
    Given,
    Setting,
    preview,
    records_of,
    refused_whole,
    rudderstack_records_of,
)
from gateway.destinations.http_audience.reports import sample_report, stand_in
from gateway.destinations.http_audience.rudderstack.convert import Imported, convert
from gateway.destinations.http_audience.rudderstack.places import their_place
from gateway.destinations.rehearsal import FreshNotes

HIDDEN: Final = "***"
LIVE_SAMPLES_MAX: Final = 100

Shown = dict[str, object]


class VerbError(Exception):
    """What was handed in cannot be used; the text says why, and what to do."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb is about: a definition, its problems, and the setting a RudderStack pair brings with it."""

    destination: HttpAudience | None
    problems: tuple[Problem, ...]
    setting: Setting | None = None
    is_imported: bool = False

    @property
    def errors(self) -> list[Problem]:
        """The problems for which it cannot be used."""
        return [problem for problem in self.problems if problem.severity == "error"]


# --- Subjects ---


def subject_of(findings: Findings) -> Subject:
    """A definition file."""
    made, problems = load_definition(findings)
    return Subject(destination=made, problems=tuple(problems))


def imported_pair(config: object, connection: object = None, *, slug: str = "") -> Imported:
    """A RudderStack pair as two files that can be used, or every reason why not, with its place in theirs."""
    return _loaded(convert(config, connection, slug=slug))[0]


def imported_subject(config: object, connection: object, *, file: str) -> Subject:
    """A RudderStack pair. file: its name as people know it."""
    imported, made = _loaded(convert(config, connection))
    told = (("error", imported.problems), ("warning", imported.warnings))
    problems = tuple(
        Problem(what=what, pointer=pointer, file=file, severity=severity)
        for severity, places in told
        for pointer, what in places
    )
    if imported.problems:
        return Subject(destination=None, problems=problems, is_imported=True)
    mapping = cast("list[dict[str, object]]", imported.mapping["mappings"])[0]
    setting = _of_entry(mapping, "", dict(imported.secrets))
    return Subject(destination=made, problems=problems, setting=setting, is_imported=True)


def _loaded(imported: Imported) -> tuple[Imported, HttpAudience | None]:
    """What was converted, loaded: theirs allows things (a blank in a path, a header of ours) that a definition may not hold."""
    if imported.problems:
        return imported, None
    text = msgspec.json.encode(imported.definition).decode()
    made, problems = load_definition(
        parse_file(RawFile(name="", stem="imported", text=text)), variables={**imported.secrets}
    )
    told = [(one.severity, their_place(one.pointer), f"{one.what} {one.mend}".strip()) for one in problems]
    errors = tuple((pointer, what) for severity, pointer, what in told if severity == "error")
    warnings = (*imported.warnings, *((pointer, what) for severity, pointer, what in told if severity != "error"))
    if errors:
        return Imported(definition={}, mapping={}, secrets={}, problems=errors, warnings=warnings), None
    return msgspec.structs.replace(imported, warnings=warnings), made


# --- Settings ---


def setting_of_file(value: object, wanted: str, audience: str, settings: dict[str, object]) -> Setting:
    """What a mapping file as it lies there says of one audience. wanted: the mapping's name, "" for the only one.

    audience: an entry of `audiences`, "" for the only one. settings: resolved, or as much of them as is needed.
    Raises VerbError.
    """
    mappings = value.get("mappings") if isinstance(value, dict) else None
    if not isinstance(mappings, list):
        raise VerbError("This is no mapping file.")
    named = [one for one in mappings if isinstance(one, dict) and _is_named(one, wanted)]
    if len(named) != 1:
        names = ", ".join(f"`{one['name']}`" for one in mappings if isinstance(one, dict) and "name" in one)
        count = f"{len(named) or 'no'} mapping{'s' if named else ''}"
        of_name = f" of the name `{wanted}`" if wanted else ""
        raise VerbError(f"The file has {count}{of_name}; say which as FILE#MAPPING. It has {names or 'none'}.")
    return _of_entry(named[0], audience, settings)


def setting_in_force(
    destination: CompiledDestination, mapping: CompiledMapping, audience: str, *, with_secrets: bool = False
) -> Setting:
    """The same of a compiled mapping. with_secrets: for what is really sent. Raises VerbError."""
    secret = {field.key for field in destination.definition.settings if field.secret}
    key, entry = _chosen(mapping.audiences or {}, audience)
    return Setting(
        entry=entry,
        static={name: value for name, value in mapping.fields.items() if not _has_directive(value)},
        hashing=mapping.hashing,
        settings={name: one for name, one in destination.settings.items() if with_secrets or name not in secret},
        audience_key=key,
    )


def _is_named(mapping: Mapping[str, object], wanted: str) -> bool:
    name = mapping.get("name")
    return not wanted or (isinstance(name, str) and (name == wanted or slug_of(name) == slug_of(wanted)))


def _of_entry(mapping: Mapping[str, object], audience: str, settings: dict[str, object]) -> Setting:
    audiences = mapping.get("audiences")
    key, entry = _chosen(audiences if isinstance(audiences, dict) else {}, audience)
    given, sync = mapping.get("fields", {}), mapping.get("sync")
    hashing = mapping.get("hashing", sync.get("hashing", "on") if isinstance(sync, dict) else "on")
    if hashing not in ("on", "off", "auto"):
        raise VerbError("`hashing` is on, off or auto.")
    static = {
        name: value
        for name, value in (given.items() if isinstance(given, dict) else ())
        if value is not None and not _has_directive(value)
    }
    return Setting(entry=entry, static=static, hashing=hashing, settings=settings, audience_key=key)


def _chosen(audiences: Mapping[str, object], audience: str) -> tuple[str, dict[str, object]]:
    """The name and the entry of one audience."""
    if not audience and len(audiences) > 1:
        raise VerbError(f"The mapping serves {len(audiences)} audiences; say which (`audience`): {_listed(audiences)}.")
    key = audience or next(iter(audiences), "")
    entry = audiences.get(key, audiences.get("*")) if audiences else {}
    if not isinstance(entry, dict):
        raise VerbError(f"The mapping serves no audience `{key}`; it serves {_listed(audiences)}.")
    return key, entry


def _listed(audiences: Mapping[str, object]) -> str:
    return ", ".join(f"`{one}`" for one in audiences) or "none"


def _has_directive(value: object) -> bool:
    if isinstance(value, dict):
        return any(key.startswith("@") for key in value) or any(_has_directive(one) for one in value.values())
    return isinstance(value, list) and any(_has_directive(one) for one in value)


# --- Verbs ---


async def preview_report(
    subject: Subject, records: object, setting: Setting | None, *, variables: Mapping[str, str] | None = None
) -> Shown:
    """Every request that records would cause, and which records would be refused; nothing is sent.

    records: as they were handed in, RudderStack's where the subject is; None shows the file's own samples. variables: where
    secrets come from when they are to be shown. Raises VerbError.
    """
    read = rudderstack_records_of if subject.is_imported else records_of
    given = _samples_of(subject) if records is None else read(records)
    if isinstance(given, str):
        raise VerbError(given)
    if subject.destination is None:
        return refused_whole(given, [problem.pointer for problem in subject.errors])
    file = subject.destination.file
    return await preview(file, given, subject.setting or setting or Setting(), variables=variables)


async def samples_report(subject: Subject, setting: Setting | None) -> Shown:
    """The file's own samples: each must be sent, or refused with the code it names. Raises VerbError."""
    file = _usable(subject).file
    if not file.samples:
        raise VerbError("The definition has no `samples`.")
    return await sample_report(file, setting)


async def live_report(
    chosen: HttpAudience, setting: Setting | None, most: int, *, http: HttpClient, now_us: int
) -> list[Shown]:
    """Send up to `most` samples that can be added to the real list, then remove them; one line for each record's outcome."""
    setting = setting or stand_in(chosen.file)
    samples = [
        Given(id=one.id, action=one.action, fields={**one.fields, **setting.static})
        for one in chosen.file.samples
        if one.action == "add" and not one.rejected
    ][:most]
    context = Context(http=http, notes=FreshNotes(), now_us=now_us)
    added = await _performed(chosen, setting, samples, "add", context)
    return [*added, *await _performed(chosen, setting, samples, "remove", context)]


def import_report(imported: Imported) -> Shown:
    """Both files of an import, or why there are none; of its secrets the names only."""
    errors = [{"pointer": at, "code": "config_invalid", "message": what} for at, what in imported.problems]
    return {
        "valid": not errors,
        "errors": errors,
        "warnings": [{"pointer": at, "code": "config_warning", "message": what} for at, what in imported.warnings],
        "definition": imported.definition or None,
        "mapping": imported.mapping or None,
        "secrets": dict.fromkeys(imported.secrets, HIDDEN),
    }


def may_be_private(chosen: HttpAudience, settings: Mapping[str, object]) -> bool:
    """Whether a live sample may go to a private address: the definition allows it, or the operator wrote the address."""
    return chosen.limits.allow_private or any(settings.get(key) for key in (BASE_URL, TOKEN_URL))


def _samples_of(subject: Subject) -> list[Given]:
    samples = subject.destination.file.samples if subject.destination is not None else ()
    if subject.destination is not None and not samples:
        raise VerbError("Give records: the definition has no `samples`.")
    return [Given(id=one.id, action=one.action, fields=one.fields) for one in samples]


def _usable(subject: Subject) -> HttpAudience:
    if subject.destination is None:
        raise VerbError("The definition cannot be used; `check` tells why.")
    return subject.destination


async def _performed(
    chosen: HttpAudience, setting: Setting, samples: Sequence[Given], operation: str, context: Context
) -> list[Shown]:
    batch = Batch(
        action=chosen.definition.actions[0].slug,
        settings=setting.settings,
        corrections=frozenset(),
        hashing=setting.hashing,
        owed=tuple(
            Owed(
                id=place,
                operation=operation,
                payload=one.fields,
                audience_key=setting.audience_key,
                audience_settings=setting.entry,
            )
            for place, one in enumerate(samples)
        ),
    )
    performed = await chosen.perform(batch, context)
    return [
        {
            "record_id": sample.id,
            "action": operation,
            "outcome": str(type(outcome).__struct_config__.tag),
            "reason": "" if isinstance(outcome, Delivered) else outcome.reason,
        }
        for sample, outcome in zip(samples, performed.outcomes, strict=True)
    ]
