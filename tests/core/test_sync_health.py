"""A sync's health: one word, the worst of what there is, and a sentence that belongs to it; and fixes for what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.problem_fixes import fix_for
from gateway.core.sync_health import HealthFacts, health_of

WARNING = ("list_difference", "warning", "The list differs.")
CRITICAL = ("credentials_refused", "critical", "The credentials are refused.")
STALE = ("stale", "critical", "No good run for 3 h.")

CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "healthy", "No run yet."),
    ({"last_status": "succeeded"}, "healthy", "got everything through"),
    ({"last_status": "partial", "last_wrong": 3, "last_run": 9}, "warning", "3 members of run 9"),
    ({"last_status": "skipped", "last_run": 9}, "healthy", "no need"),
    ({"alerts": [WARNING]}, "warning", "The list differs."),
    ({"alerts": [STALE, WARNING]}, "stale", "No good run"),
    ({"alerts": [STALE, CRITICAL]}, "failing", "credentials"),
    ({"alerts": [STALE], "status": "errored", "status_error": "503."}, "failing", "503."),
    ({"status": "errored", "last_run": 9}, "failing", "Run 9 failed: `gateway run show 9`. The next tick tries again."),
    ({"status": "errored", "last_run": 9, "has_tick": False}, "failing", "show 9`. `gateway sync run` tries again."),
    ({"alerts": [CRITICAL], "held_run": 4, "held_reason": "35 % go."}, "held", "Run 4 waits for a person: 35 % go."),
    ({"alerts": [("held", "critical", "x")], "last_status": "succeeded"}, "healthy", "everything"),
    ({"status": "paused", "alerts": [STALE]}, "warning", "Paused"),
    ({"status": "deleted"}, "healthy", "undelete"),
    ({"status": "deleting"}, "healthy", "being cleared"),
]


@pytest.mark.parametrize(("given", "word", "why"), CASES, ids=[f"{row[1]}-{at}" for at, row in enumerate(CASES)])
def test_the_worst_is_said(given: dict[str, Any], word: str, why: str) -> None:
    """Held above failing above stale above warning."""
    health = health_of(HealthFacts(**{"status": "active", **given}))
    assert health.word == word
    assert why in health.why


@pytest.mark.parametrize(
    ("stage", "status", "code", "http", "words"),
    [
        ("mapping", "rejected", "no_identifiers", 0, "map an e-mail"),
        ("mapping", "rejected", "new_code", 0, "`fields`"),
        ("destination", "rejected", "", 401, "renew the secret"),
        ("request", "failed", "", 429, "requests_per_second"),
        ("request", "failed", "", 503, "trouble of its own"),
        ("request", "failed", "", 0, "could not be reached"),
        ("destination", "rejected", "X", 422, "the message says why"),
        ("request", "unsure", "", 500, "nobody knows"),
        ("request", "unsure", "timeout", 0, "`gateway sync resolve`"),
        ("", "cancelled", "", 0, "plans them again"),
    ],
)
def test_every_problem_has_a_mend(stage: str, status: str, code: str, http: int, words: str) -> None:
    """By stage, status and HTTP status."""
    assert words in fix_for(stage=stage, status=status, code=code, http_status=http)
