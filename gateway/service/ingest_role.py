"""The ingest role: builds its rooms, runs them, and stops them in reverse when told to. Imports nothing of the engine."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from gateway.config.environment import Environment
from gateway.config.folder import FolderText, Loaded, compile_sources
from gateway.config.keeper import Keeper
from gateway.config.secrets import SecretSource
from gateway.core.errors import SettingsError
from gateway.core.sources import Source
from gateway.ingest.limits import MEBIBYTE, IngestLimits
from gateway.ingest.routes import create_ingest_app
from gateway.ingest.server import IngestServer
from gateway.ingest.source_table import SourceTable
from gateway.observe.logs import logger
from gateway.service.reloads import follow, tell
from gateway.service.run_files import RunFile, kept_key, remove_run_file, write_run_file
from gateway.service.starting import LAST_GOOD, calm_collector, now_us, run_until
from gateway.store import open_inbox_writer


def sources_keeper(settings: Environment, variables: Mapping[str, str]) -> Keeper[dict[str, Source]]:
    """Ingest's keeper: sources.json alone."""
    secrets = SecretSource(variables=variables)

    def compiling(text: FolderText) -> Loaded[dict[str, Source]]:
        return compile_sources(text, secrets)

    return Keeper(settings.mappings, settings.data / LAST_GOOD / "sources", compiling, sources_only=True)


async def run_ingest(
    settings: Environment,
    stop: asyncio.Event,
    *,
    writer: int = 0,
    variables: Mapping[str, str] | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Run one ingest process until `stop` is set: take events, keep them, answer.

    writer: which of `settings.ingest_processes` it is. on_started: called once the port is open.
    Raises RulebookError, SettingsError, StoreError where it cannot start.
    """
    keeper = sources_keeper(settings, os.environ if variables is None else variables)
    keeper.load()
    host = _ingest_host(settings, has_sources=bool(keeper.value))
    async with AsyncExitStack() as stack:
        inbox = open_inbox_writer(
            settings.data,
            writer,
            file_bytes_max=settings.inbox_file_mib * MEBIBYTE,
            buffer_bytes_max=settings.buffer_mib * MEBIBYTE,
            disk_free_bytes_min=settings.disk_free_mib * MEBIBYTE,
        )
        stack.push_async_callback(inbox.close)
        table = SourceTable(keeper.value.values())

        def refreshed() -> None:
            nonlocal table
            if not keeper.value and not _is_loopback(host):
                logger().error(
                    "sources.missing", note="this port is public, so the former sources stay until a restart"
                )
                return
            table = SourceTable(keeper.value.values())

        limits = IngestLimits(waiting_bytes_max=settings.buffer_mib * MEBIBYTE)
        app = create_ingest_app(
            lambda: table,
            inbox,
            limits=limits,
            key=kept_key(settings.data, "gateway", settings.key).encode(),
            now_us=now_us,
            metrics_token=kept_key(settings.data, "admin", settings.admin_token),
            problems=lambda: [str(problem) for problem in keeper.problems],
        )
        server = IngestServer(app, host, settings.port, limits=limits, reuse_port=settings.ingest_processes > 1)
        port = await server.start()
        stack.push_async_callback(server.stop, settings.stop_s / 2)
        run = RunFile(role=f"ingest-{writer}", pid=os.getpid(), host=host, port=port)
        write_run_file(settings.data, run)
        stack.callback(remove_run_file, settings.data, run)
        tell(keeper.problems, "sources", changed=False)
        logger().info("ingest.started", host=host, port=port, sources=len(keeper.value))
        if not keeper.value:
            logger().warning("ingest.open", note="no sources are configured: any key is taken, on 127.0.0.1 only")
        calm_collector()
        on_started()
        await run_until(stop, follow(keeper, "sources", refreshed))
    logger().info("ingest.stopped")


def _ingest_host(settings: Environment, *, has_sources: bool) -> str:
    """Where ingest listens. Raises SettingsError where strangers could send to a gateway that takes any key."""
    if not settings.host:
        return "0.0.0.0" if has_sources else "127.0.0.1"  # noqa: S104 # a public service, once it has sources
    if not has_sources and not _is_loopback(settings.host):
        raise SettingsError(
            f"GATEWAY_HOST is {settings.host}, but no sources are configured, so that anyone could send anything. "
            f"Write {settings.mappings / 'sources.json'} first."
        )
    return settings.host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
