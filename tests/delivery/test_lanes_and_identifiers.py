"""A lane tells what is wrong with the identifiers it sends: on the attempt, in the log, as a metric, in what it remembers."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.core.definitions import Action, Field
from gateway.core.identifier_warnings import IdentifierWarning, note_key, read_warnings
from gateway.observe import metrics

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]

ACTION = Action(
    slug="syncAudience",
    title="Sync",
    fields=(Field(key="mail", label="Mail", type="string", identifier="email", hash="sha256"),),
    trigger="",
)
CAPITALS = hashlib.sha256(b"mei.tan@shop.example.com").hexdigest().upper()


def counted(code: str) -> float:
    """The metric of lane `a`."""
    return (
        metrics.REGISTRY.get_sample_value("gateway_identifier_warnings_total", {"destination": "a", "code": code})
        or 0.0
    )


async def test_what_is_wrong_with_identifiers_is_told_and_remembered(mapping_of: Any, rig_of: RigOf) -> None:
    """The delivery goes out all the same; no line and no row holds the value."""
    async with rig_of() as rig:
        rig.set_lane("a", mappings=[msgspec.structs.replace(mapping_of("a/m"), action=ACTION)])
        before = counted("hash_upper_case")
        await rig.owe(range(3), mail=CAPITALS)
        with capture_logs() as lines:
            rig.start()
            await rig.empty()
        attempts = await rig.state.read(lambda view: view.attempts(lane="a"))
        assert [(one.outcome, one.warnings) for one in attempts] == [("delivered", ("hash_upper_case",))]
        assert [line["warnings"] for line in lines if line["event"] == "delivery.attempted"] == [("hash_upper_case",)]
        assert counted("hash_upper_case") == before + 3
        now_us = rig.clock()
        note = await rig.state.read(lambda view: view.note(note_key("a")))
        assert read_warnings(note, now_us=now_us) == [
            IdentifierWarning(
                mapping="a/m", field="mail", code="hash_upper_case", count=3, first_us=now_us, last_us=now_us
            )
        ]
        assert CAPITALS not in f"{lines} {attempts} {note!r}"


async def test_a_runs_removals_are_not_looked_at(mapping_of: Any, rig_of: RigOf) -> None:
    """They hold what was sent before, hashed by the gateway, beside additions that are plain."""
    from gateway.delivery.attempts import identifier_warnings
    from gateway.destinations.base import Owed

    mapping = msgspec.structs.replace(mapping_of("a/m"), action=ACTION)
    plain = Owed(id=1, operation="enter", payload={"mail": "ida.moen@shop.example.org"}, planned=True)
    removal = Owed(id=2, operation="exit", payload={"mail": CAPITALS}, planned=True)
    assert identifier_warnings([plain, removal], mapping) == []
    forwarded = msgspec.structs.replace(removal, planned=False)
    assert [one.code for one in identifier_warnings([forwarded], mapping)] == ["hash_upper_case"]
