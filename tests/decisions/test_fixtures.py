"""Every fixture's events, as the manifest says: membership, rule, audience, subject, and what the ledger holds in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_harness import Engine
from rulebooks import rulebook

from gateway.core.arrivals import Arrival, Item
from gateway.core.events import Event, Place
from gateway.core.membership import MembershipReader, resolve_upstream
from gateway.core.reading import read_event
from gateway.core.rulebook import MembershipRules
from gateway.core.sources import Source

FOLDER = Path(__file__).parents[2] / "fixtures"
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text())
WITH_EVENTS = [one for one in MANIFEST["fixtures"] if one.get("events")]
WITH_END = [one for one in WITH_EVENTS if "final" in one or "processed" in one]
WITH_MODES = [one for one in WITH_EVENTS if "sync_modes" in one]
AUDIENCE = "list-of-the-source"
FORCED = {"track": "track", "t": "track", "identify": "identify", "i": "identify"}


def source_of(fixture: dict[str, Any], *, is_browser: bool) -> Source:
    kind = "webhook" if fixture["route"].startswith("/webhook") else "browser" if is_browser else "server"
    return Source(name="shop", kind=kind, audience=AUDIENCE)  # type: ignore[arg-type]


def arrival_of(fixture: dict[str, Any]) -> tuple[Arrival, Source]:
    """The fixture as ingest keeps it, without what ingest rejects."""
    text = (FOLDER / fixture["file"]).read_bytes()
    body = json.loads(text)
    envelope = body if isinstance(body, dict) and "batch" in body else {}
    listed = envelope.get("batch", body if isinstance(body, list) else [body])
    rejected = {one["index"] for one in fixture.get("rejected", ())}
    bodies = [one["json"] if isinstance(one, dict) and "json" in one else one for one in listed]
    items = tuple(Item(body=json.dumps(one).encode()) for index, one in enumerate(bodies) if index not in rejected)
    shared = {name: envelope[name] for name in ("context", "integrations", "sentAt", "timestamp") if name in envelope}
    is_browser = MANIFEST["parameters"]["browser_write_key"].encode() in text
    arrival = Arrival(
        source="shop",
        received_us=1_795_200_000_000_000,
        items=items,
        forced_type=FORCED.get(fixture["route"].rsplit("/", 1)[-1], ""),
        shared=msgspec.json.encode(shared) if shared else b"",
    )
    return arrival, source_of(fixture, is_browser=is_browser)


def events_of(fixture: dict[str, Any]) -> list[tuple[dict[str, Any], Event, Source]]:
    """(what the manifest expects, the event, its source) of everything accepted."""
    arrival, source = arrival_of(fixture)
    return [
        (expected, read_event(arrival, item, Place(1, 1, number), source), source)
        for number, (expected, item) in enumerate(zip(fixture["events"], arrival.items, strict=True))
    ]


@pytest.mark.parametrize("fixture", WITH_EVENTS, ids=lambda fixture: fixture["file"])
def test_a_fixture_means_what_the_manifest_says(fixture: dict[str, Any]) -> None:
    """Segment's own answer first, then the gateway's with the rule that gave it, the audience and the person."""
    for expected, event, source in events_of(fixture):
        assert event.type == expected["type"]
        assert resolve_upstream(event.body) is expected["upstream"]
        resolution = MembershipReader(source, MembershipRules()).read(event)
        if "expands_to" in fixture:
            expanded = [
                {"subject": change.member.split(":", 1)[1], "member": change.is_member} for change in resolution.changes
            ]
            assert expanded == fixture["expands_to"]
            continue
        (change,) = resolution.changes or (None,)
        assert (change.is_member if change else None) is expected["gateway"]
        assert (change.rule if change else None) == expected["rule"]
        warned = {one for one in expected.get("warnings", ()) if one.startswith("membership_")}
        assert set(resolution.warnings) == warned
        if change is not None:
            named = change.computation_id or change.audience_key
            assert named == (AUDIENCE if expected["audience"] == "(configured)" else expected["audience"])
            assert change.member.split(":", 1)[1] == expected["subject"]


@pytest.mark.parametrize("fixture", WITH_MODES, ids=lambda fixture: fixture["file"])
def test_a_row_of_the_warehouse_means_what_the_sync_mode_makes_of_it(fixture: dict[str, Any]) -> None:
    """Nothing by itself, membership under the modes that the manifest lists."""
    ((_, event, _),) = events_of(fixture)
    assert {mode: resolve_upstream(event.body, mode) for mode in fixture["sync_modes"]} == fixture["sync_modes"]


def test_the_legacy_switch_changes_the_journey_step() -> None:
    """The one fixture that says so in its note."""
    fixture = next(one for one in WITH_EVENTS if one["file"] == "journey_v2_step_entered.json")
    ((_, event, source),) = events_of(fixture)
    assert resolve_upstream(event.body, legacy_journeys=True) is True
    (change,) = MembershipReader(source, MembershipRules(legacy_journeys=True)).read(event).changes
    assert (change.is_member, change.rule) == (True, "6.1-3")


@pytest.mark.anyio
@pytest.mark.parametrize("fixture", WITH_END, ids=lambda fixture: fixture["file"])
async def test_the_ledger_ends_as_the_manifest_says(fixture: dict[str, Any], engine: Engine) -> None:
    """Through a real inbox and state: duplicates, stale events, reused ids."""
    arrival, source = arrival_of(fixture)
    engine.rules = rulebook(sources=(source,))
    await engine.keep(*arrival.items)
    await engine.decide()
    if "processed" in fixture:
        assert [row.outcome for row in await engine.traces()].count("decided") == fixture["processed"]
    for end in fixture.get("final", ()):
        space = "spa_k3Vt9QmZ2xLw8RbN5pDfJh"
        assert await engine.is_member("user_id:" + end["subject"], key=end["audience"], space=space) is end["member"]
