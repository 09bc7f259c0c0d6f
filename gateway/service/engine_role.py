"""The engine role: builds its rooms, runs them, and stops them in reverse when told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from random import SystemRandom

from gateway.admin.api import AdminApi
from gateway.admin.server import AdminServer
from gateway.admin.shown import shown_delivery
from gateway.alerting.courier import Courier
from gateway.config.environment import Environment
from gateway.config.folder import FolderText, Loaded
from gateway.config.keeper import Keeper
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.errors import SettingsError
from gateway.core.rulebook import Rulebook
from gateway.decisions.blocks import Render
from gateway.decisions.refreshing import Refresher
from gateway.decisions.worker import DecisionWorker
from gateway.delivery.bounds import LaneLimits, limits_of
from gateway.delivery.lanes import Lanes
from gateway.delivery.notes import LaneNotes
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rendering import render
from gateway.ingest.limits import MEBIBYTE
from gateway.observe.logs import logger
from gateway.service.alert_sinks import alert_sinks
from gateway.service.destination_orders import DestinationDesk
from gateway.service.janitor import Janitor
from gateway.service.kept_events import KeptEvents
from gateway.service.list_desk import ListDesk
from gateway.service.operations import EngineOperations
from gateway.service.people_desk import PeopleDesk
from gateway.service.reloads import follow, tell
from gateway.service.run_files import RunFile, kept_key, remove_run_file, write_run_file
from gateway.service.shelf import Shelf
from gateway.service.starting import LAST_GOOD, calm_collector, now_us, run_until
from gateway.store import clear_spool, open_inbox_reader, open_inbox_signal, open_state
from gateway.store.api import StateStore
from gateway.syncs.log_export import LogExporter
from gateway.syncs.log_lines import LogFormat
from gateway.syncs.operations import SyncOrders
from gateway.syncs.people import PersonPages
from gateway.syncs.scheduler import Syncs

VERSION = version("audience-gateway")
ADMIN_STOP_S = 1.0  # of GATEWAY_STOP_S, for the admin port's requests in flight
STORE_STOP_S = 1.0  # of the same, for the last checkpoint


def rulebook_keeper(settings: Environment, shelf: Shelf, variables: Mapping[str, str]) -> Keeper[Rulebook]:
    """The engine's keeper of everything in mappings/; the shelf follows what it has in force."""
    secrets = SecretSource(variables=variables)

    def compiling(text: FolderText) -> Loaded[Rulebook]:
        return compile_rulebook(text, shelf.definitions, secrets, shelf)

    return Keeper(settings.mappings, settings.data / LAST_GOOD / "rulebook", compiling, taken=shelf.take)


def check_files(settings: Environment, variables: Mapping[str, str]) -> None:
    """Raise RulebookError with every problem of every file where neither they nor a copy kept of them allow a start."""
    rulebook_keeper(settings, Shelf(variables), variables).load()


async def run_engine(
    settings: Environment,
    stop: asyncio.Event,
    *,
    variables: Mapping[str, str] | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Run the engine until `stop` is set: decide, record, deliver, answer operators. As `run_ingest` otherwise."""
    known = os.environ if variables is None else variables
    shelf = Shelf(known)
    keeper = rulebook_keeper(settings, shelf, known)
    keeper.load()
    async with AsyncExitStack() as stack:
        state = open_state(settings.data, disk_free_bytes_min=settings.disk_free_mib * MEBIBYTE)
        stack.push_async_callback(state.close)
        await asyncio.to_thread(clear_spool, settings.data)
        reader = open_inbox_reader(settings.data)
        stack.callback(reader.close)
        signal = open_inbox_signal(settings.data)
        stack.callback(signal.close)
        http = PartnerHttp(version=VERSION)
        stack.push_async_callback(http.aclose)

        again = open_inbox_reader(settings.data)
        stack.callback(again.close)
        refresher = Refresher(
            state=state,
            inbox=again,
            rulebook=lambda: keeper.value,
            render=rendering(lambda: keeper.value, shelf),
            clock=now_us,
        )

        def wake_lanes(names: set[str]) -> None:
            lanes.wake(names)  # made below: syncs owe to lanes, and lanes tell syncs

        syncs = Syncs(
            state=state,
            folder=settings.data,
            rulebook=lambda: keeper.value,
            clock=now_us,
            reference_key=kept_key(settings.data, "gateway", settings.key).encode(),
            wake_lanes=wake_lanes,
            refresh=refresher.page,
        )
        await syncs.recover()
        lanes = Lanes(
            state=state,
            rulebook=lambda: keeper.value,
            registry=shelf,
            http=http,
            clock=now_us,
            chance=SystemRandom().random,
            runs=syncs,
        )
        worker = DecisionWorker(
            inbox=reader,
            state=state,
            rulebook=lambda: keeper.value,
            wait=signal.wait,
            clock=now_us,
            on_recorded=lanes.wake,
            late_window_us=settings.late_window_days * 86_400_000_000,
            render=rendering(lambda: keeper.value, shelf),
        )
        kept = open_inbox_reader(settings.data)
        stack.callback(kept.close)
        exporters = log_exporters(settings, state)
        janitor = Janitor(state=state, inbox=reader, settings=settings, clock=now_us)
        courier = Courier(state=state, sinks=alert_sinks(settings, http), clock=now_us, chance=SystemRandom().random)

        def rulebook_changed() -> None:
            lanes.rulebook_changed()
            syncs.rulebook_changed()

        operations = EngineOperations(
            state=state, inbox=reader, keeper=keeper, lanes=lanes, clock=now_us, changed=rulebook_changed
        )
        orders = SyncOrders(
            state=state,
            syncs=syncs,
            rulebook=lambda: keeper.value,
            clock=now_us,
            registry=shelf,
            reference_key=kept_key(settings.data, "gateway", settings.key).encode(),
            rate=lambda one: limits_of(one, shelf.get(one.definition.slug), LaneLimits()).requests_per_s,
            events=KeptEvents(kept, lambda: keeper.value),
            notes=lambda lane: LaneNotes(state, lane),
        )
        lists = ListDesk(state=state, rulebook=lambda: keeper.value, registry=shelf, http=http, clock=now_us)
        destinations = DestinationDesk(
            rulebook=lambda: keeper.value,
            registry=shelf,
            http=http,
            lists=lists,
            clock=now_us,
            problems=lambda: keeper.problems,
        )
        people = PersonPages(
            state=state,
            syncs=syncs,
            rulebook=lambda: keeper.value,
            clock=now_us,
            registry=shelf,
            reference_key=kept_key(settings.data, "gateway", settings.key).encode(),
            show_delivery=shown_delivery,
            events=KeptEvents(kept, lambda: keeper.value),
        )
        api = AdminApi(
            token=kept_key(settings.data, "admin", settings.admin_token),
            state=state,
            operations=operations,
            orders=orders,
            destinations=destinations,
            people=PeopleDesk(state=state, rulebook=lambda: keeper.value, pages=people, clock=now_us, wake=lanes.wake),
        )
        server = AdminServer(api.app(), host=settings.admin_host, port=settings.admin_port)
        try:
            port = await server.start()
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {settings.admin_host} port {settings.admin_port}: {error.strerror}. "
                "Set GATEWAY_ADMIN_HOST or GATEWAY_ADMIN_PORT."
            ) from error
        stack.push_async_callback(server.stop, ADMIN_STOP_S)
        run = RunFile(role="engine", pid=os.getpid(), host=settings.admin_host, port=port)
        write_run_file(settings.data, run)
        stack.callback(remove_run_file, settings.data, run)
        tell(keeper.problems, "rulebook", changed=False)
        logger().info(
            "engine.started",
            admin_port=port,
            rulebook=keeper.value.version,
            destinations=len(keeper.value.destinations),
            warnings=sum(problem.severity == "warning" for problem in keeper.problems),
        )
        delivering = asyncio.create_task(lanes.run())
        stack.push_async_callback(_ended, delivering)
        stack.push_async_callback(lanes.stop, max(1.0, settings.stop_s - ADMIN_STOP_S - STORE_STOP_S))
        calm_collector()
        on_started()
        await run_until(
            stop,
            worker.run(),
            janitor.run(),
            syncs.run(),
            courier.run(),
            *(one.run() for one in exporters),
            follow(keeper, "rulebook", rulebook_changed),
            _watch(delivering),
        )
    logger().info("engine.stopped")


def log_exporters(settings: Environment, state: StateStore) -> list[LogExporter]:
    """The exporter of the sync log, where a folder for it is set."""
    if not settings.sync_log_dir:
        return []
    form: LogFormat = "csv" if settings.sync_log_format == "csv" else "ndjson"
    folder, every_s = Path(settings.sync_log_dir), settings.sync_log_minutes * 60.0
    return [LogExporter(state=state, folder=folder, form=form, every_s=every_s)]


def rendering(rulebook: Callable[[], Rulebook], shelf: Shelf) -> Render:
    """What platforms would know of a member, by the rulebook in force: for the records that decisions keep for syncs."""

    def rendered(_destination: str, mapping: str, payload: dict[str, object]) -> tuple[bytes, bytes, int] | str:
        found = rulebook().mapping(mapping)
        if found is None:
            return "mapping_removed"
        made = render(shelf[found[0].definition.slug], *found, payload)
        return made if isinstance(made, str) else (made.fingerprint, made.entry, made.line)

    return rendered


async def _watch(task: asyncio.Task[None]) -> None:
    """Fail when a task that should run for ever ends, without cancelling it with us."""
    await asyncio.shield(task)


async def _ended(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await task
