"""`gateway destination …`: destination definitions checked, previewed, tried and imported."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from rich.markup import escape

from gateway.cli.destination_lists import create_list, delete_list, find_list
from gateway.cli.destination_login import login
from gateway.cli.destination_samples import samples
from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_INVALID, err, fail, out, print_json, print_problems
from gateway.config.files import Findings, kind, parse_file, read_file
from gateway.config.secrets import SecretSource, is_reference, resolve
from gateway.core.errors import Problem
from gateway.core.placeholders import TO_FILL_IN
from gateway.destinations.http_audience.definition import form_of
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.rehearsing import Setting
from gateway.destinations.http_audience.reports import check_report
from gateway.destinations.http_audience.rudderstack.convert import Imported
from gateway.destinations.http_client import PartnerHttp
from gateway.service.definition_verbs import (
    LIVE_SAMPLES_MAX,
    Subject,
    VerbError,
    imported_pair,
    imported_subject,
    live_report,
    may_be_private,
    preview_report,
    samples_report,
    setting_of_file,
    subject_of,
)

VERSION_SHOWN = "check"  # `User-Agent` of live samples

T = TypeVar("T")

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
@click.option(
    "--records",
    "records_file",
    type=_path,
    default=None,
    help='A list of {"id", "action", "fields"}; else the samples.',
)
@click.option("--show-secrets", is_flag=True, help="Print credentials as they would be sent.")
def preview_(
    file: Path | None,
    rudderstack: tuple[Path, Path] | None,
    sync: str | None,
    audience: str | None,
    records_file: Path | None,
    *,
    show_secrets: bool,
) -> None:
    """Show every request that records would cause, and which records would be refused. Nothing is sent.

    Exit code 0: shown. 2: the configuration cannot be used.
    """
    subject = _subject(file, rudderstack)
    records = None if records_file is None else _json_file(records_file)
    setting = None if subject.is_imported else _setting(sync, audience, with_secrets=show_secrets)
    variables = os.environ if show_secrets else None
    report = _tried(lambda: asyncio.run(preview_report(subject, records, setting, variables=variables)))
    if subject.destination is None:
        print_problems(subject.errors, err)
    elif setting is None and not subject.is_imported and subject.destination.file.target:
        err.print(
            "[yellow]note[/yellow]  Without --sync FILE#MAPPING no list is named; what a list must have is missing below."
        )
    print_json(report)
    raise click.exceptions.Exit(EXIT_GOOD if subject.destination else EXIT_INVALID)


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
    destination = _usable(_subject(file, None))
    subject = Subject(destination=destination, problems=())
    setting = _setting(sync, audience, with_secrets=False)
    report = _tried(lambda: asyncio.run(samples_report(subject, setting)))
    passed = report["passed"] is True
    if live_sample is not None and passed:
        if sync is None:
            fail("`--live-sample` needs `--sync`: which list, and with which settings.", code=EXIT_INVALID)
        setting = _setting(sync, audience, with_secrets=True)
        report["live"] = live = asyncio.run(_live(destination, setting, live_sample))
        passed = all(one["outcome"] == "delivered" for one in live)
    print_json(report)
    raise click.exceptions.Exit(EXIT_GOOD if passed else EXIT_FAILED)


@destination.command()
@_file
@_rudderstack
def fields(file: Path | None, rudderstack: tuple[Path, Path] | None) -> None:
    """Print the mapping form of a definition as JSON."""
    print_json(form_of(_usable(_subject(file, rudderstack)).file))


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
    imported = imported_pair(_json_file(config), None if connection is None else _json_file(connection), slug=slug)
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
    out.print(
        f"Next: in {escape(str(paths[1]))} put your audience's key where `{TO_FILL_IN}` stands; then `gateway check`.",
        soft_wrap=True,
    )


for command in (find_list, create_list, delete_list, login, samples):
    destination.add_command(command)


# --- Inputs ---


def _subject(file: Path | None, rudderstack: tuple[Path, Path] | None) -> Subject:
    if (file is None) == (rudderstack is None):
        fail("Give either a definition FILE or --rudderstack CONFIG CONNECTION.", code=EXIT_INVALID)
    if rudderstack is not None:
        config, connection = rudderstack
        return _tried(lambda: imported_subject(_json_file(config), _json_file(connection), file=config.as_posix()))
    assert file is not None
    read = read_file(file, file.as_posix())
    return Subject(destination=None, problems=(read,)) if isinstance(read, Problem) else subject_of(parse_file(read))


def _usable(subject: Subject) -> HttpAudience:
    if subject.destination is None:
        print_problems(subject.errors, err)
        raise click.exceptions.Exit(EXIT_INVALID)
    return subject.destination


def _tried(work: Callable[[], T]) -> T:
    try:
        return work()
    except VerbError as error:
        fail(str(error), code=EXIT_INVALID)


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
    if not isinstance(value, dict):
        print_problems(findings.problems, err)
        fail(f"{name} is no mapping file.", code=EXIT_INVALID)
    settings = _settings(value.get("settings", {}), findings, with_secrets=with_secrets)
    return _tried(lambda: setting_of_file(value, wanted, audience or "", settings))


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


async def _live(chosen: HttpAudience, setting: Setting | None, most: int) -> list[dict[str, object]]:
    http = PartnerHttp(version=VERSION_SHOWN)
    lane = http.lane(allow_private=may_be_private(chosen, setting.settings if setting else {}))
    try:
        return await live_report(chosen, setting, most, http=lane, now_us=time.time_ns() // 1000)
    finally:
        await http.aclose()
