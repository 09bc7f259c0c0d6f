"""An HTTP audience of 100,000 records in batches of 5,000: prepared (normalised, hashed), rendered, one batch in memory at a time.

Usage: python benchmarks/definitions.py [--records N] [--batch N] [--check]

The baseline is the same list by hand: normalise, SHA-256, a list of dicts, `json.dumps`. The target is 5 s on two cores for
rendering alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time

import msgspec

from gateway.config.files import RawFile, parse_file
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.target import facts_of
from gateway.destinations.http_audience.wire import Facts, Item, batches

RENDERING_S_MAX = 5.0
ROUNDS = 3


def definition(batch: int) -> dict[str, object]:
    """A list of hashed addresses with a number."""
    do = {"em": {"@path": "$.record.email"}, "value": {"@cast": {"to": "number", "value": {"@path": "$.record.ltv"}}}}
    return {
        "kind": "http_audience",
        "slug": "benchmark",
        "name": "Benchmark",
        "base_url": "https://api.example.com",
        "fields": {"email": {"identifier": True, "normalize": "email", "hash": "sha256"}, "ltv": {}},
        "actions": {
            "add": {
                "method": "POST",
                "path": "/people",
                "batch": {"max_records": batch, "max_bytes": 100_000_000},
                "body": {"users": {"@each": {"in": "$.records", "do": do}}},
            }
        },
    }


def by_hand(people: list[dict[str, object]], batch: int) -> int:
    """Bytes of the same bodies."""
    size = 0
    for start in range(0, len(people), batch):
        users = [
            {
                "em": hashlib.sha256("".join(str(one["email"]).split()).lower().encode()).hexdigest(),
                "value": float(str(one["ltv"])),
            }
            for one in people[start : start + batch]
        ]
        size += len(json.dumps({"users": users}).encode())
    return size


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = msgspec.json.encode(definition(options.batch)).decode()
    destination, problems = load_definition(parse_file(RawFile(name="benchmark.json", stem="benchmark", text=text)))
    if destination is None:
        raise SystemExit("\n".join(map(str, problems)))
    facts = facts_of(destination.file, {})
    assert isinstance(facts, Facts)
    action = destination.file.actions["add"]
    people: list[dict[str, object]] = [
        {"email": f" Person.{number}@Example.com ", "ltv": str(number)} for number in range(options.records)
    ]
    rendering, ratios = [], []
    for number in range(ROUNDS):
        started = time.process_time()
        by_hand(people, options.batch)
        hand_s = time.process_time() - started
        started = time.process_time()
        items = []
        for place, one in enumerate(people):
            record = destination.prepared("add", one)
            assert isinstance(record, dict)
            items.append(Item(place=place, id=place, asked="add", action=action, facts=facts, record=record))
        prepared_s = time.process_time() - started
        started = time.process_time()
        sent = sum(len(one.items) for one in batches(destination.file, items, {}))
        rendering.append(time.process_time() - started)
        ratios.append((prepared_s + rendering[-1]) / hand_s)
        assert sent == options.records
        print(
            f"{number + 1}: prepared in {prepared_s:.2f} s, rendered in {rendering[-1]:.2f} s; by hand {hand_s:.2f} s"
        )
    best = min(rendering)
    print(f"definitions: {best:.2f} s to render (target {RENDERING_S_MAX:g}), {min(ratios):.1f} times by hand in all")
    return 0 if best <= RENDERING_S_MAX or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
