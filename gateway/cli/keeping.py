"""`gateway backup`, `restore` and `doctor`: a copy that is known to be good, and a look at everything that could be wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

from gateway.admin.answers import AlertList
from gateway.cli.api_client import NotAnsweredError, running_engine, running_ingest
from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_INVALID, err, fail, json_option, out, print_json
from gateway.cli.project import load_rulebook
from gateway.cli.settings import environment
from gateway.core.errors import StoreError
from gateway.core.identifier_warnings import IdentifierWarning
from gateway.store import backup as make_backup
from gateway.store import check_sums, has_state, recount, sqlite_build_problem, verify
from gateway.store import restore as restore_backup


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


@click.command()
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@json_option
def backup(target: Path, *, as_json: bool) -> None:
    """Copy the databases to a new folder, online: the gateway may run and take events meanwhile."""
    try:
        with _progress() as shown:
            bar = shown.add_task("copying", total=None)
            manifest = make_backup(
                environment().data, target, lambda done, total: shown.update(bar, completed=done, total=total)
            )
    except (StoreError, OSError) as error:
        fail(str(error))
    if as_json:
        print_json(manifest)
    else:
        out.print(
            f"Backed up to [bold]{escape(str(target))}[/bold]; `gateway restore --verify {escape(str(target))}` checks it."
        )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--verify", "only_verify", is_flag=True, help="Check the backup, restore nothing.")
@click.option("--replace", is_flag=True, help="Put aside what the data folder holds now.")
def restore(folder: Path, *, only_verify: bool, replace: bool) -> None:
    """Check a backup and put it into the (empty) data folder; the gateway must not run."""
    problems = verify(folder)
    for problem in problems:
        out.print(f"[red]bad[/red]  {escape(problem)}")
    if problems:
        raise click.exceptions.Exit(EXIT_FAILED)
    out.print("[green]good[/green]  every file is whole, and the engine's place lies within the inbox")
    if only_verify:
        raise click.exceptions.Exit(EXIT_GOOD)
    settings = environment()
    if running_engine(settings) is not None or running_ingest(settings.data) is not None:
        fail("The gateway runs on this data folder; stop it first.", code=EXIT_INVALID)
    try:
        restore_backup(folder, settings.data, replace=replace)
    except (StoreError, OSError) as error:
        fail(str(error), code=EXIT_INVALID)
    out.print(f"Restored into [bold]{escape(str(settings.data))}[/bold].")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. level: good, warning or bad."""

    level: str
    what: str
    mend: str = ""


@click.command()
@click.option("--recount", "counts_anew", is_flag=True, help="First count all records anew; the gateway must not run.")
@json_option
def doctor(*, counts_anew: bool, as_json: bool) -> None:
    """Look at everything that could be wrong with this installation. Exit code 1 when something is."""
    if counts_anew:
        try:
            recount(environment().data)
        except StoreError as error:
            fail(str(error), code=EXIT_INVALID)
    findings = list(_findings())
    if as_json:
        print_json(findings)
    else:
        for one in findings:
            colour = {"good": "green", "warning": "yellow", "bad": "red"}[one.level]
            out.print(f"[{colour}]{one.level:<7}[/{colour}]  {escape(one.what)}", soft_wrap=True)
            if one.mend:
                out.print(f"         [dim]{escape(one.mend)}[/dim]", soft_wrap=True)
    raise click.exceptions.Exit(EXIT_FAILED if any(one.level == "bad" for one in findings) else EXIT_GOOD)


def _findings() -> Iterator[Finding]:
    yield Finding(level="good", what=f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    if sys.flags.optimize:
        yield Finding(level="warning", what="Python runs with -O: assertions are off")
    build = sqlite_build_problem()
    yield (
        Finding(level="warning", what=build)
        if build
        else Finding(level="good", what="the SQLite build is free of known faults")
    )
    settings = environment()
    yield from _folder(settings.data, settings.disk_free_mib)
    yield from _sums(settings.data)
    loaded = load_rulebook(settings.mappings, strict_secrets=True)
    for problem in loaded.problems:
        level = "bad" if problem.severity == "error" else "warning"
        yield Finding(level=level, what=f"{problem.file}#{problem.pointer}: {problem.what}", mend=problem.mend)
    if loaded.value is not None:
        yield Finding(level="good", what=f"{settings.mappings} compiles: {len(loaded.value.destinations)} destinations")
        if not loaded.value.sources:
            yield Finding(
                level="warning",
                what="no sources are configured: the gateway takes any key, on 127.0.0.1 only",
                mend="Write mappings/sources.json.",
            )
    yield from _running()


def _folder(data: Path, free_mib: int) -> Iterator[Finding]:
    place = data if data.is_dir() else data.parent
    if not data.is_dir():
        yield Finding(level="warning", what=f"{data} is not there yet", mend="`gateway serve` makes it.")
    elif not os.access(data, os.W_OK):
        yield Finding(level="bad", what=f"{data} cannot be written", mend="Give this user the right to write there.")
    if place.is_dir():
        free = shutil.disk_usage(place).free // 2**20
        enough = free >= 4 * free_mib
        yield Finding(
            level="good" if enough else "warning",
            what=f"{free} MiB free for {data}",
            mend="" if enough else "Senders get 503 below GATEWAY_DISK_FREE_MIB.",
        )


def _sums(data: Path) -> Iterator[Finding]:
    """Whether the sums over records are right, of as many records as a few seconds allow."""
    if not has_state(data):
        return
    try:
        found = check_sums(data)
    except StoreError as error:
        yield Finding(level="warning", what=f"the sums over records were not looked at: {error}")
        return
    more = f"; syncs too large to look at: {', '.join(map(str, found.left_out))}" if found.left_out else ""
    if found.wrong:
        yield Finding(
            level="bad",
            what=f"the sums over the records of sync {', '.join(map(str, found.wrong))} are wrong{more}",
            mend="Stop the gateway, and `gateway doctor --recount` makes them anew.",
        )
    else:
        yield Finding(level="good", what=f"the sums over {found.records} records are right{more}")


def _running() -> Iterator[Finding]:
    settings = environment()
    client = running_engine(settings)
    if client is None:
        yield Finding(level="warning", what="no engine runs on this data folder", mend="`gateway serve` starts it.")
        return
    try:
        status = client.call("GET", "/api/status", dict[str, object])
    except NotAnsweredError as error:
        yield Finding(level="bad", what=f"the engine does not answer: {error}")
        return
    yield Finding(
        level="good" if status.get("ready") else "bad",
        what=f"the engine is {'ready' if status.get('ready') else 'not ready'}, backlog {status.get('backlog_frames')} frames",
    )
    lanes = status.get("lanes")
    for lane in lanes if isinstance(lanes, list) else []:
        if lane.get("hold"):
            yield Finding(
                level="bad",
                what=f"lane {lane['lane']} is {lane['standing']}: {lane['reason']}",
                mend=f"Mend it, then `gateway resume {lane['lane']}`.",
            )
        if lane.get("dead"):
            yield Finding(
                level="warning",
                what=f"lane {lane['lane']} has {lane['dead']} dead deliveries",
                mend="`gateway dead` lists them.",
            )
        yield from _identifiers(lane)
    try:
        standing = client.call("GET", "/api/alerts", AlertList).alerts
    except NotAnsweredError as error:
        yield Finding(level="bad", what=f"the engine does not tell its alerts: {error}")
        return
    for one in standing:
        yield Finding(
            level="bad" if one.level == "critical" else "warning",
            what=f"{one.sync}: {one.name}. {one.message}",
            mend=f"`gateway sync show {one.sync}` tells more.",
        )


def _identifiers(lane: dict[str, object]) -> Iterator[Finding]:
    """What looks wrong with the identifiers that a lane sent, mapping by mapping."""
    for one in msgspec.convert(lane.get("identifier_warnings", []), list[IdentifierWarning]):
        seen_on = datetime.fromtimestamp(one.last_us / 1e6, UTC).date()
        yield Finding(
            level="warning",
            what=f"{one.mapping}, `{one.field}`: {one.code}, {one.count} times, last on {seen_on}. {one.sentence}",
            mend=one.mend,
        )
