"""`gateway destination …`: destination definitions checked, previewed, tried and imported."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import click
import msgspec
from rich.markup import escape

from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_INVALID, err, fail, out, print_json, print_problems
from gateway.config.files import Findings, RawFile, kind, parse_file, read_file
from gateway.config.mapping_entries import slug_of
from gateway.config.secrets import SecretSource, is_reference, resolve
from gateway.core.errors import Problem
from gateway.core.outcomes import Delivered
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.http_audience.definition import form_of
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
from gateway.destinations.http_audience.reports import check_report, sample_report, stand_in
from gateway.destinations.http_audience.rudderstack.convert import Imported, convert
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes

VERSION_SHOWN = "check"  # `User-Agent` of live samples
LIVE_SAMPLES_MAX = 100

_path = click.Path(path_type=Path, dir_okay=False)
_file = click.argument("file", type=_path, required=False)
_rudderstack = click.option(
    "--rudderstack",
    type=(_path, _path),
    default=None,
    metavar="CONFIG CONNECTION",
    help="RudderStack's destination and connection configuration instead of FILE.",
)
_sync = click.option("--sync", metavar="FILE#MAPPING", default=None, help="The mapping whose audience is synced.")
_audience = click.option(
    "--audience", default=None, help="Which entry of the mapping's `audiences`, if there are several."
)


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a command is about: a definition, its problems, and the setting a RudderStack pair brings with it."""

    destination: HttpAudience | None
    problems: list[Problem]
    setting: Setting | None = None


@click.group()
def destination() -> None:
    """Destination definitions: HTTP audience APIs described in a JSON file."""


@destination.command()
@_file
@_rudderstack
def check(file: Path | None, rudderstack: tuple[Path, Path] | None) -> None:
    """Check a definition FILE and tell what it reads. No request is made.

    Exit code 0: it can be used (warnings allowed). 2: it cannot.
    """
    subject = _subject(file, rudderstack)
    print_json(check_report(subject.destination.file if subject.destination else None, subject.problems))
    raise click.exceptions.Exit(EXIT_GOOD if subject.destination else EXIT_INVALID)


@destination.command(name="preview")
@_file
@_rudderstack
@_sync
@_audience
@click.option("--records", "records_file", type=_path, required=True, help='A list of {"id", "action", "fields"}.')
@click.option("--show-secrets", is_flag=True, help="Print credentials as they would be sent.")
def preview_(
    file: Path | None,
    rudderstack: tuple[Path, Path] | None,
    sync: str | None,
    audience: str | None,
    records_file: Path,
    *,
    show_secrets: bool,
) -> None:
    """Show every request that records would cause, and which records would be refused. Nothing is sent.

    Exit code 0: shown. 2: the configuration cannot be used.
    """
    subject = _subject(file, rudderstack)
    read = _json_file(records_file)
    records = rudderstack_records_of(read) if rudderstack else records_of(read)
    if isinstance(records, str):
        fail(f"{records_file}: {records}", code=EXIT_INVALID)
    if subject.destination is None:
        errors = [problem for problem in subject.problems if problem.severity == "error"]
        print_problems(errors, err)
        print_json(refused_whole(records, [problem.pointer for problem in errors]))
        raise click.exceptions.Exit(EXIT_INVALID)
    setting = subject.setting or _setting(sync, audience, with_secrets=show_secrets) or Setting()
    variables = os.environ if show_secrets else None
    print_json(asyncio.run(preview(subject.destination.file, records, setting, variables=variables)))


@destination.command()
@_file
@_sync
@_audience
@click.option(
    "--live-sample",
    type=click.IntRange(1, LIVE_SAMPLES_MAX),
    default=None,
    help="Send so many samples to the real list and remove them again.",
)
def test(file: Path | None, sync: str | None, audience: str | None, live_sample: int | None) -> None:
    """Run a definition's own samples: each must be sent, or refused with the code it names.

    Exit code 0: all pass. 1: one fails. 2: the definition cannot be used, or has no samples.
    """
    subject = _subject(file, None)
    if subject.destination is None:
        print_problems([problem for problem in subject.problems if problem.severity == "error"], err)
        raise click.exceptions.Exit(EXIT_INVALID)
    definition = subject.destination.file
    if not definition.samples:
        fail("The definition has no `samples`.", code=EXIT_INVALID)
    report = asyncio.run(sample_report(definition, _setting(sync, audience, with_secrets=False)))
    passed = report["passed"] is True
    if live_sample is not None and passed:
        if sync is None:
            fail("`--live-sample` needs `--sync`: which list, and with which settings.", code=EXIT_INVALID)
        setting = _setting(sync, audience, with_secrets=True) or stand_in(definition)
        report["live"] = live = asyncio.run(_live(subject.destination, setting, live_sample))
        passed = all(one["outcome"] == "delivered" for one in live)
    print_json(report)
    raise click.exceptions.Exit(EXIT_GOOD if passed else EXIT_FAILED)


@destination.command()
@_file
@_rudderstack
def fields(file: Path | None, rudderstack: tuple[Path, Path] | None) -> None:
    """Print the mapping form of a definition as JSON."""
    subject = _subject(file, rudderstack)
    if subject.destination is None:
        print_problems([problem for problem in subject.problems if problem.severity == "error"], err)
        raise click.exceptions.Exit(EXIT_INVALID)
    print_json(form_of(subject.destination.file))


@destination.command(name="import-rudderstack")
@click.argument("config", type=_path)
@click.argument("connection", type=_path, required=False)
@click.option("--slug", default="", help="What the destination is called; made from the host otherwise.")
@click.option(
    "--mappings",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mappings"),
    show_default=True,
    help="Where the two files go.",
)
def import_rudderstack(config: Path, connection: Path | None, slug: str, folder: Path) -> None:
    """Turn RudderStack's Custom Audience (Custom Activation) configuration into a definition and a mapping file.

    The secrets in it are printed once, to be stored where secrets are; they are written nowhere.
    """
    imported = convert(_json_file(config), None if connection is None else _json_file(connection), slug=slug)
    _tell_warnings(imported)
    if imported.problems:
        _tell_problems(imported)
        raise click.exceptions.Exit(EXIT_INVALID)
    name = str(imported.definition["slug"])
    paths = (folder / "destinations" / f"{name}.json", folder / f"{name}.json")
    for path in paths:
        if path.exists():
            fail(f"{path} is there already; move it, or choose another `--slug`.", code=EXIT_INVALID)
    for path, content in zip(paths, (imported.definition, imported.mapping), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        out.print(f"wrote {escape(str(path))}", soft_wrap=True)
    for secret, value in imported.secrets.items():
        out.print(f"secret {escape(secret)}={escape(value)}", soft_wrap=True)
    if imported.secrets:
        out.print(
            "These are shown once. Store them, and give them to the gateway as environment variables or settings."
        )


# --- Inputs ---


def _subject(file: Path | None, rudderstack: tuple[Path, Path] | None) -> _Subject:
    if (file is None) == (rudderstack is None):
        fail("Give a definition FILE, or --rudderstack CONFIG CONNECTION.", code=EXIT_INVALID)
    if rudderstack is not None:
        return _imported_subject(*rudderstack)
    assert file is not None
    read = read_file(file, file.as_posix())
    if isinstance(read, Problem):
        return _Subject(destination=None, problems=[read])
    made, problems = load_definition(parse_file(read))
    return _Subject(destination=made, problems=problems)


def _imported_subject(config: Path, connection: Path) -> _Subject:
    imported = convert(_json_file(config), _json_file(connection))
    if imported.problems:
        found = [Problem(what=what, pointer=pointer, file=config.as_posix()) for pointer, what in imported.problems]
        return _Subject(destination=None, problems=found)
    text = msgspec.json.encode(imported.definition).decode()
    findings = parse_file(RawFile(name=config.as_posix(), stem="imported", text=text))
    made, problems = load_definition(findings, variables={**imported.secrets})
    warnings = [
        Problem(what=what, pointer=pointer, file=config.as_posix(), severity="warning")
        for pointer, what in imported.warnings
    ]
    mapping = cast("list[dict[str, object]]", imported.mapping["mappings"])[0]
    setting = _of_mapping(mapping, None, dict(imported.secrets))
    return _Subject(destination=made, problems=[*warnings, *problems], setting=setting)


def _setting(sync: str | None, audience: str | None, *, with_secrets: bool) -> Setting | None:
    """What `--sync FILE#MAPPING` says; secrets are read only when they are needed."""
    if sync is None:
        return None
    name, _, wanted = sync.partition("#")
    read = read_file(Path(name), name)
    if isinstance(read, Problem):
        fail(f"{name}: {read.what}", code=EXIT_INVALID)
    findings = parse_file(read)
    value = findings.document.value if findings.document else None
    mappings = value.get("mappings") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(mappings, list):
        print_problems(findings.problems, err)
        fail(f"{name} is no mapping file.", code=EXIT_INVALID)
    named = [one for one in mappings if isinstance(one, dict) and _is_named(one, wanted)]
    if len(named) != 1:
        fail(f"{name} has {len(named)} mappings of the name `{wanted}`; write FILE#MAPPING.", code=EXIT_INVALID)
    return _of_mapping(named[0], audience, _settings(value.get("settings", {}), findings, with_secrets=with_secrets))


def _is_named(mapping: Mapping[str, object], wanted: str) -> bool:
    name = mapping.get("name")
    return not wanted or (isinstance(name, str) and (name == wanted or slug_of(name) == slug_of(wanted)))


def _of_mapping(mapping: Mapping[str, object], audience: str | None, settings: dict[str, object]) -> Setting:
    audiences = mapping.get("audiences")
    entries = audiences if isinstance(audiences, dict) else {"": {}}
    if audience is None and len(entries) > 1:
        fail(f"The mapping serves {len(entries)} audiences; say which with --audience.", code=EXIT_INVALID)
    key = audience if audience is not None else next(iter(entries), "")
    entry = entries.get(key, entries.get("*"))
    if not isinstance(entry, dict):
        fail(f"The mapping serves no audience `{key}`.", code=EXIT_INVALID)
    given, sync = mapping.get("fields", {}), mapping.get("sync")
    hashing = mapping.get("hashing", sync.get("hashing", "on") if isinstance(sync, dict) else "on")
    if hashing not in ("on", "off", "auto"):
        fail("`hashing` is on, off or auto.", code=EXIT_INVALID)
    static = {
        name: value
        for name, value in (given.items() if isinstance(given, dict) else ())
        if value is not None and not _has_directive(value)
    }
    return Setting(
        entry=entry,
        static=static,
        hashing=hashing,
        settings=settings,
        audience_key=key,
    )


def _has_directive(value: object) -> bool:
    if isinstance(value, dict):
        return any(key.startswith("@") for key in value) or any(_has_directive(one) for one in value.values())
    return isinstance(value, list) and any(_has_directive(one) for one in value)


def _settings(value: object, findings: Findings, *, with_secrets: bool) -> dict[str, object]:
    settings: dict[str, object] = {}
    source = SecretSource(variables=os.environ, strict=True)
    for key, given in value.items() if isinstance(value, dict) else ():
        if not is_reference(given):
            settings[key] = given
        elif with_secrets:
            text = resolve(given, f"/settings/{key}", findings, source)
            if text is None:
                print_problems(findings.problems, err)
                raise click.exceptions.Exit(EXIT_INVALID)
            settings[key] = text
    return settings


def _json_file(path: Path) -> object:
    read = read_file(path, path.as_posix())
    if isinstance(read, Problem):
        fail(f"{path}: {read.what}", code=EXIT_INVALID)
    findings = parse_file(read)
    if findings.document is None or findings.has_errors:
        print_problems(findings.problems, err)
        raise click.exceptions.Exit(EXIT_INVALID)
    value: object = findings.document.value
    if not isinstance(value, (dict, list)):
        fail(f"{path} holds {kind(value)}, and an object or a list is wanted.", code=EXIT_INVALID)
    return value


def _tell_problems(imported: Imported) -> None:
    for pointer, what in imported.problems:
        err.print(f"[red]error[/red]  {escape(pointer)}\n  {escape(what)}", soft_wrap=True)


def _tell_warnings(imported: Imported) -> None:
    for pointer, what in imported.warnings:
        err.print(f"[yellow]warning[/yellow]  {escape(pointer)}\n  {escape(what)}", soft_wrap=True)


# --- Live samples ---


async def _live(chosen: HttpAudience, setting: Setting, most: int) -> list[dict[str, object]]:
    """Send samples that can be added to the real list, then remove them; one line for each request's outcome."""
    samples = [
        Given(id=one.id, action=one.action, fields={**one.fields, **setting.static})
        for one in chosen.file.samples
        if one.action == "add" and not one.rejected
    ][:most]
    http = PartnerHttp(version=VERSION_SHOWN)
    private = chosen.limits.allow_private or bool(setting.settings.get("base_url"))
    context = Context(http=http.lane(allow_private=private), notes=FreshNotes(), now_us=0)
    try:
        added = await _performed(chosen, setting, samples, "add", context)
        removed = await _performed(chosen, setting, samples, "remove", context)
    finally:
        await http.aclose()
    return [*added, *removed]


async def _performed(
    chosen: HttpAudience, setting: Setting, samples: Sequence[Given], operation: str, context: Context
) -> list[dict[str, object]]:
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
