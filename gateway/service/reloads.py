"""Following a keeper: what changes on disk is put in force, and what came of it is told in the log and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.config.keeper import Keeper
from gateway.core.errors import Problem
from gateway.observe import metrics
from gateway.observe.logs import logger

PROBLEMS_LOGGED_MAX = 20

T = TypeVar("T")


async def follow(keeper: Keeper[T], what: str, changed: Callable[[], None]) -> None:
    """Reload after each change on disk and call `changed` when something new is in force. what: for the log's events."""
    was_broken = has_errors(keeper.problems)
    async for result in keeper.changes():
        tell(result.problems, what, changed=result.changed, was_broken=was_broken)
        was_broken = has_errors(result.problems)
        if result.changed:
            changed()


def tell(problems: Sequence[Problem], what: str, *, changed: bool, was_broken: bool = False) -> None:
    """Say what a look at the files gave: refused, swapped, or mended (broken before, now as what is in force)."""
    errors = [problem for problem in problems if problem.severity == "error"]
    metrics.RULEBOOK_PROBLEMS.set(len(errors))
    if errors:
        metrics.RULEBOOK_RELOADS.labels("kept_old").inc()
        shown = [str(problem) for problem in errors[:PROBLEMS_LOGGED_MAX]]
        logger().error(
            f"{what}.refused", problems=shown, count=len(errors), note="the last good version stays in force"
        )
    elif changed:
        metrics.RULEBOOK_RELOADS.labels("swapped").inc()
        shown = [str(problem) for problem in problems[:PROBLEMS_LOGGED_MAX]]
        logger().info(f"{what}.swapped", warnings=shown)
    elif was_broken:
        logger().info(f"{what}.mended", note="the files are again what is in force")


def has_errors(problems: Sequence[Problem]) -> bool:
    """Whether any of them keeps the files from being taken."""
    return any(problem.severity == "error" for problem in problems)
