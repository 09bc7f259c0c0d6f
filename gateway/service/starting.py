"""What both roles need to start and to stop: the clock, the data folder, running until told otherwise."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable
from pathlib import Path

from gateway.config.environment import Environment
from gateway.core.errors import SettingsError

LAST_GOOD = "last-good"
OBJECTS_PER_COLLECTION = 100_000  # a block of events makes some 50,000, nearly all gone by reference counting


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


def calm_collector() -> None:
    """Have the cycle collector look seldom, and never at what was loaded at the start.

    Events make many short-lived objects and hardly a cycle; looking after every 700 of them took a tenth of the engine's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_PER_COLLECTION, 20, 100)


async def run_until(stop: asyncio.Event, *works: Awaitable[None]) -> None:
    """Run works until `stop` is set or one of them fails; cancel the rest and wait for them. Raises what failed."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_awaited(work)) for work in works]
        await stop.wait()
        for task in running:
            task.cancel()


async def _awaited(work: Awaitable[None]) -> None:
    await work


def data_folder(settings: Environment) -> Path:
    """Make the data folder, readable by its owner only. Raises SettingsError where it cannot be one."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        said = "it is a file" if settings.data.is_file() else error.strerror or type(error).__name__
        raise SettingsError(
            f"GATEWAY_DATA is {settings.data}, which cannot be the data folder: {said}. Name a folder that can be written."
        ) from error
    return settings.data
