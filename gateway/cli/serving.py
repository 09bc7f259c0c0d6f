"""`gateway serve` and `gateway sandbox`: the long-running ones."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import signal
from collections.abc import Awaitable, Coroutine
from typing import NoReturn

import click
from rich.markup import escape

from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_INVALID, err, fail, out, print_problems
from gateway.cli.settings import environment
from gateway.config.environment import VARIABLES, Environment
from gateway.core.errors import RulebookError, SettingsError, StoreError
from gateway.observe.logs import configure, logger
from gateway.service.starting import data_folder
from gateway.service.supervisor import RoleCommand, Supervisor, parent_gone
from gateway.store import sqlite_build_problem


def _settings_help() -> str:
    lines = [f"  GATEWAY_{one.name}{f' [{one.default}]' if one.default else ''}: {one.meaning}" for one in VARIABLES]
    return "\n\n\b\nSettings (each also as GATEWAY_…_FILE, a file that holds the value):\n" + "\n".join(lines)


@click.command(
    help="Run the gateway: ingest and engine as two supervised processes on one data folder."
    "\n\nExit code 2: settings or mapping files do not allow a start; everything that is wrong is printed."
    + _settings_help()
)
@click.option("--single", is_flag=True, help="Everything in one process.")
@click.option("--role", type=click.Choice(["ingest", "engine"]), default=None, help="Only this role, in this process.")
@click.option("--writer", type=click.IntRange(0, 15), default=0, help="With --role ingest: which of several it is.")
@click.option("--supervised", is_flag=True, hidden=True)
def serve(*, single: bool, role: str | None, writer: int, supervised: bool) -> None:
    """Start it (the help text above is the docstring people see)."""
    settings = environment()
    configure(
        level=settings.log_level, form=settings.log_form, role=f"{role}-{writer}" if role == "ingest" else role or ""
    )
    _check(settings, single=single, role=role)
    started: list[str] = []
    try:
        data_folder(settings)
        if role is None:
            from gateway.service.engine_role import check_files  # noqa: PLC0415 # the supervisor alone needs it

            check_files(settings, os.environ)  # once for all, so that nobody's problems are cut off by another's end
        if single or role is not None:
            code = _run(_run_here(settings, role, writer, started, supervised=supervised))
        else:
            code = _supervise(settings)
    except (RulebookError, SettingsError, StoreError, OSError, BaseExceptionGroup) as error:
        _end(_leaves(error), started)
    raise click.exceptions.Exit(code)


def _check(settings: Environment, *, single: bool, role: str | None) -> None:
    """End with a sentence where options and settings contradict each other."""
    several = settings.ingest_processes > 1
    if single and (several or role):
        fail("--single is one process: give neither --role nor GATEWAY_INGEST_PROCESSES.", code=EXIT_INVALID)
    if several and settings.port == 0:
        fail("Several ingest processes share one port: GATEWAY_PORT must name it, not 0.", code=EXIT_INVALID)


def _run(work: Coroutine[object, object, int]) -> int:
    """Run a role on uvloop where it exists; it doubles what one core takes in."""
    factory = importlib.import_module("uvloop").new_event_loop if importlib.util.find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _end(errors: list[BaseException], started: list[str]) -> NoReturn:
    """Say why the start is refused (2), or why what had started failed (1); raise what nobody can be asked to mend."""
    known = (RulebookError, SettingsError, StoreError, OSError)
    for error in errors:
        if not isinstance(error, known):
            raise error
    if started:
        said = "; ".join(dict.fromkeys(str(error) for error in errors))
        logger().error("role.failed", reason=said, started=started)
        raise click.exceptions.Exit(EXIT_FAILED)
    for error in errors:
        if isinstance(error, RulebookError):
            print_problems(error.problems, err)
            fail("not started: these files do not load, and no earlier version of them is kept", code=EXIT_INVALID)
    fail("; ".join(dict.fromkeys(str(error) for error in errors)), code=EXIT_INVALID)


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]


def _supervise(settings: Environment) -> int:
    build = sqlite_build_problem()
    if build:
        logger().warning("sqlite.outdated", note=build)
    ingests = [
        RoleCommand(name=f"ingest-{number}", arguments=("serve", "--role", "ingest", "--writer", str(number)))
        for number in range(settings.ingest_processes)
    ]
    roles = [RoleCommand(name="engine", arguments=("serve", "--role", "engine")), *ingests]
    return asyncio.run(Supervisor(roles, stop_s=settings.stop_s).run())


async def _run_here(
    settings: Environment, role: str | None, writer: int, started: list[str], *, supervised: bool
) -> int:
    """Run the roles of this process. started: gets the name of each that works."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    works: list[Awaitable[None]] = []
    # Each role imports its own rooms only: that is half of what a start takes.
    if role != "ingest":
        from gateway.service.engine_role import run_engine  # noqa: PLC0415

        works.append(run_engine(settings, stop, on_started=lambda: started.append("engine")))
    if role != "engine":
        from gateway.service.ingest_role import run_ingest  # noqa: PLC0415

        works.append(run_ingest(settings, stop, writer=writer, on_started=lambda: started.append("ingest")))
    watcher = asyncio.create_task(_stop_with_parent(stop)) if supervised else None
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(_finished(work, stop))
    finally:
        if watcher is not None:
            watcher.cancel()
    return EXIT_GOOD


async def _finished(work: Awaitable[None], stop: asyncio.Event) -> None:
    """One role to its end; its failing stops the other."""
    try:
        await work
    finally:
        stop.set()


async def _stop_with_parent(stop: asyncio.Event) -> None:
    await parent_gone()
    stop.set()


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True)
@click.option("--upload-port", type=click.IntRange(0, 65535), default=8091, show_default=True)
def sandbox(port: int, upload_port: int) -> None:
    """Run the fake partners: local servers that enforce the documented rules, keep the lists, and fail on request."""
    try:
        from gateway.sandbox.server import SandboxServer, shipped_partners  # noqa: PLC0415 # an extra, perhaps not installed
    except ModuleNotFoundError as error:
        fail(
            f"The sandbox needs the extra `sandbox` ({error.name} is missing): pip install 'audience-gateway[sandbox]'."
        )

    async def running() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with SandboxServer(shipped_partners(), port=port, upload_port=upload_port) as server:
            out.print(f"sandbox on [bold]{escape(server.url)}[/bold]  (process {os.getpid()}; Ctrl-C ends it)")
            for partner in server.partners:
                out.print(f"  {partner.title}: {server.url}/{partner.name}")
            out.print(f"  uploads for The Trade Desk: {server.upload_url}")
            await stop.wait()

    try:
        asyncio.run(running())
    except OSError as error:
        fail(f"The sandbox cannot listen: {error}.", code=EXIT_FAILED)
