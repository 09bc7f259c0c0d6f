"""A run of which most records are refused stops, as its destination's definition says."""

import msgspec
import pytest
from sync_world import REFUSE, World

from gateway.core.run_limits import RunBreaker

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("breaker", "reason"),
    [
        (RunBreaker(first=5, share=0.5), "breaker: more than 50% of 5 records were refused"),
        (RunBreaker(first=13), ""),
        (RunBreaker(first=5, share=1.0), ""),
    ],
)
async def test_a_definitions_breaker_ends_its_run(tmp_path, breaker, reason):
    """Twelve refused: after five the run is over, or the definition lets it go on."""
    world = World(tmp_path)
    try:
        (destination,) = world.rules.destinations
        definition = msgspec.structs.replace(destination.definition, run_breaker=breaker)
        changed = msgspec.structs.replace(destination, definition=definition)
        world.rules = msgspec.structs.replace(world.rules, destinations=(changed,))
        await world.enter(*(f"u{n}" for n in range(12)))
        run = await world.run(REFUSE)
        assert (run.status, run.reason) == ("failed" if reason else run.status, reason or run.reason)
        assert run.reason.startswith("breaker") == bool(reason)
    finally:
        await world.close()
