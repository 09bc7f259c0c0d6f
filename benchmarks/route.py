"""The whole decision for one Engage event against 20 mappings, on one core, beside the same events merely decoded.

Usage: python benchmarks/route.py [--rounds N] [--events N] [--check]

Four of the twenty mappings match; every one has StackAdapt's default fields and a trigger of its own. The target is 10,000
events a second; the baseline, decoding the same bytes to a dict, tells how fast the machine is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import msgspec
from ingest import MARK, event_text

from gateway.config.files import RawFile
from gateway.config.mapping_files import compile_file
from gateway.config.secrets import SecretSource
from gateway.core.arrivals import Arrival, Item
from gateway.core.events import Place
from gateway.core.reading import read_event
from gateway.core.routing import Router
from gateway.core.rulebook import Rulebook
from gateway.core.sources import Source
from gateway.destinations import REGISTRY

EVENTS_MIN = 10_000
MAPPINGS = 20
MATCHING = 4


def rulebook() -> Rulebook:
    """Twenty mappings of one destination."""
    triggers = [
        'type = "track" and event = "Audience Entered"'
        if number < MATCHING
        else f'type = "track" and event = "Order {number}"'
        for number in range(MAPPINGS)
    ]
    file = {
        "destination": "stackadapt-audience",
        "settings": {"apiKey": {"$env": "BENCHMARK"}, "advertiser_id": "12345"},
        "mappings": [
            {"name": f"Mapping {number}", "trigger": trigger, "fields": {"marketing_status": "Opted-in"}}
            for number, trigger in enumerate(triggers)
        ],
    }
    raw = RawFile(name="benchmark.json", stem="benchmark", text=msgspec.json.encode(file).decode())
    definitions = {slug: one.definition for slug, one in REGISTRY.items()}
    compiled = compile_file(raw, definitions, SecretSource(variables={"BENCHMARK": "none"}))
    if compiled.destination is None:
        raise SystemExit("\n".join(map(str, compiled.problems)))
    return Rulebook(version="benchmark", destinations=(compiled.destination,), sources={})


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    source = Source(name="benchmark", kind="webhook")
    bodies = [event_text().replace(MARK, f"{number:016d}").encode() for number in range(options.events)]
    arrivals = [Arrival(source="benchmark", received_us=10**15, items=(Item(body=body),)) for body in bodies]
    router = Router(rulebook())
    owed = len(router.route(read_event(arrivals[0], arrivals[0].items[0], Place(1, 1, 0), source)).deliveries)
    assert owed == MATCHING, f"{owed} of {MATCHING} mappings made a delivery"
    rates, ratios = [], []
    for number in range(options.rounds):
        started = time.process_time()
        for body in bodies:
            msgspec.json.decode(body)
        decoded_s = time.process_time() - started
        events = [read_event(one, one.items[0], Place(1, 1, index), source) for index, one in enumerate(arrivals)]
        started = time.process_time()
        for event in events:
            router.route(event)
        routed_s = time.process_time() - started
        rates.append(options.events / routed_s)
        ratios.append(routed_s / decoded_s)
        print(f"{number + 1}: route {rates[-1]:7.0f} events/s, {ratios[-1]:.1f} times the decoding of the same event")
    rate = statistics.median(rates)
    print(f"route: {rate:.0f} events/s against {MAPPINGS} mappings, {MATCHING} of them matching (target {EVENTS_MIN})")
    return 0 if rate >= EVENTS_MIN or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
