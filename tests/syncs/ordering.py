"""The orders of one world: what an operator may ask of it."""

from __future__ import annotations

import json

from sync_world import SINGLE, World

from gateway.core.http_messages import Answer, Request
from gateway.core.outcomes import Delivered
from gateway.destinations.base import Batch, Context, Performed
from gateway.service.kept_events import KeptEvents
from gateway.syncs.operations import SyncOrders

NAME = "lister/all/vip"
KEY = b"k" * 32


class Posting:
    """A destination that posts a batch as JSON, with the address of each person in the path of a second request."""

    definition = SINGLE

    def group(self, _action, _payload, _settings):
        return None

    def check_settings(self, _settings, _corrections):
        return []

    async def perform(self, batch: Batch, context: Context) -> Performed:
        rows = [{"op": "add" if one.operation == "enter" else "drop", **one.payload} for one in batch.owed]
        url = "https://lists.example.com/v1/lists/9001"
        await context.http.send(Request(method="POST", url=f"{url}?key=x", headers={}, body=json.dumps(rows).encode()))
        return Performed(outcomes=tuple(Delivered() for _ in batch.owed))

    def success_answer(self, _request):
        return Answer(status=200)

    async def test(self, _settings, _context):
        return []


def orders(world: World, *, rate: float = 50.0) -> SyncOrders:
    """rate: requests a second of the lane."""
    return SyncOrders(
        state=world.state, syncs=world.syncs, rulebook=lambda: world.rules, clock=lambda: world.now_us,
        registry={"lister": Posting(), "whole": Posting()}, reference_key=KEY, rate=lambda _destination: rate,
        events=KeptEvents(world.reader, lambda: world.rules),
    )  # fmt: skip
