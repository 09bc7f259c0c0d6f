"""How fast mappings are: ours, as compiled closures; ours as one generated function; Segment's package under node.

    python benchmarks/mapping.py [--reference DIR] [--rounds 5]

The mappings are StackAdapt's defaults and a small one with templates, a list and liquid. Rounds are interleaved, so that a
busy machine slows all sides alike; the median counts. DIR has node_modules/@segment/actions-core; without it node is left
out. Compile time and memory for one mapping come last.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from gateway.core.javascript import UNDEFINED
from gateway.core.mapping import compile_mapping
from gateway.core.mapping.paths import pieces_of, without_prefix
from gateway.core.payloads import defaults_of
from gateway.destinations import REGISTRY


def first_of(first: str, second: str) -> dict[str, object]:
    """A path if it exists, else another."""
    return {"@if": {"exists": {"@path": first}, "then": {"@path": first}, "else": {"@path": second}}}


TRAITS = {
    name: first_of(f"$.traits.{source}", f"$.properties.{source}")
    for name, source in {
        "first_name": "first_name", "last_name": "last_name", "phone": "phone", "address": "street", "city": "city",
        "country": "country", "state": "state", "postal_code": "postal_code", "timezone": "timezone", "birth_date": "birthday",
    }.items()
}  # fmt: skip
STACKADAPT: dict[str, object] = {
    "standard_traits": TRAITS,
    "custom_properties_mode": "v2",
    "user_id": first_of("$.userId", "$.anonymousId"),
    "event_type": {"@path": "$.type"},
    "marketing_status": "Opted-in",
    "enable_batching": True,
    "traits_or_props": first_of("$.properties", "$.traits"),
    "segment_computation_class": {"@path": "$.context.personas.computation_class"},
    "segment_computation_id": {"@path": "$.context.personas.computation_id"},
    "segment_computation_key": {"@path": "$.context.personas.computation_key"},
    "email": first_of("$.traits.email", "$.properties.email"),
}
MIXED: dict[str, object] = {
    "name": {"@template": "{{traits.first_name}} {{traits.last_name}}"},
    "city": {"@case": {"operator": "lower", "value": {"@path": "$.traits.city"}}},
    "phone": {"@replace": {"pattern": "-", "replacement": "", "value": {"@path": "$.traits.phone"}}},
    "items": {
        "@arrayPath": ["$.properties.items", {"id": {"@path": "$.id"}, "label": {"@template": "{{id}}/{{name}}"}}]
    },
    "greeting": {"@liquid": "Hello {{ traits.first_name | upcase }}{% if traits.plan == 'pro' %}!{% endif %}"},
}
EVENT: dict[str, object] = {
    "type": "identify",
    "userId": "user-17",
    "anonymousId": "anon-4",
    "messageId": "ajs-1",
    "timestamp": "2026-02-03T04:05:06.007Z",
    "traits": {
        "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee", "phone": "+1-555-010-0000", "city": "Oslo",
        "plan": "pro",
    },
    "properties": {"items": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]},
    "context": {
        "personas": {"computation_class": "audience", "computation_id": "aud_1", "computation_key": "buyers", "space_id": "spa_1"}
    },
}  # fmt: skip

NODE = """
const kit = process.argv[1] + '/node_modules/@segment/actions-core/dist/cjs/mapping-kit/index.js'
const { transform } = require(require('node:path').resolve(kit))
const { mapping, event, times } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
for (let i = 0; i < 3000; i++) transform(mapping, event)
const started = process.hrtime.bigint()
for (let i = 0; i < times; i++) transform(mapping, event)
console.log(times / (Number(process.hrtime.bigint() - started) / 1e9))
"""


def generated(mapping: dict[str, object]) -> Callable[[dict[str, object]], object]:
    """The mapping as one Python function, for plain values, `@path` and "this path, else that": the yardstick we did not take.

    Texts of the mapping enter it only as named constants.
    """
    constants: dict[str, object] = {"U": UNDEFINED}
    lines = ["def apply(body):"]

    def constant(value: object) -> str:
        name = f"c{len(constants)}"
        constants[name] = value
        return name

    def path(option: str, target: str) -> None:
        lines.append(f" {target} = body")
        lines.extend(
            f" if type({target}) is dict: {target} = {target}.get({constant(piece)}, U)"
            for piece in pieces_of(without_prefix(option))
        )

    def value(part: object, target: str) -> None:
        if isinstance(part, dict) and "@path" in part:
            path(str(part["@path"]), target)
        elif isinstance(part, dict) and "@if" in part:
            options = part["@if"]
            assert isinstance(options, dict)
            value(options["exists"], target)
            inner = len(lines)
            value(options["else"], target)
            lines[inner:] = [f" if {target} is None or {target} is U:", *(" " + line for line in lines[inner:])]
        elif isinstance(part, dict):
            lines.append(f" {target} = {{}}")
            for key, item in part.items():
                value(item, f"{target}x")
                lines.append(f" if {target}x is not U: {target}[{constant(key)}] = {target}x")
        else:
            lines.append(f" {target} = {constant(part)}")

    value(mapping, "v")
    exec("\n".join([*lines, " return v"]), constants)  # its texts are names and constants of our making
    function = constants["apply"]
    assert callable(function)
    return function


def defaults(slug: str) -> dict[str, object]:
    """The default mapping of a destination's first action."""
    return defaults_of(REGISTRY[slug].definition.actions[0].fields)


def per_second(apply: Callable[[dict[str, object]], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        apply(EVENT)
    return times / (time.perf_counter() - started)


def node_per_second(mapping: dict[str, object], directory: Path, times: int) -> float:
    given = json.dumps({"mapping": mapping, "event": EVENT, "times": times})
    done = subprocess.run(["node", "-e", NODE, str(directory)], input=given, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(name: str, mapping: dict[str, object], directory: Path | None, rounds: int) -> None:
    transform = compile_mapping(mapping)
    sides: dict[str, Callable[[], float]] = {"closures": lambda: per_second(transform.apply, 20_000)}
    if mapping is STACKADAPT:
        function = generated(mapping)
        assert function(EVENT) == transform.apply(EVENT)
        sides["generated"] = lambda: per_second(function, 20_000)
    if directory is not None:
        sides["node"] = lambda: node_per_second(mapping, directory, 20_000)
    figures: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            figures[side].append(run())
    medians = {side: statistics.median(values) for side, values in figures.items()}
    for side, median in medians.items():
        share = f"  ({median / medians['node']:.1f} x node)" if "node" in medians and side != "node" else ""
        print(f"{name:12} {side:10} {median:10,.0f} transforms/s{share}")


def compile_cost(name: str, mapping: dict[str, object]) -> None:
    started = time.perf_counter()
    for _ in range(200):
        compile_mapping(mapping)
    compile_ms = (time.perf_counter() - started) / 200 * 1000
    tracemalloc.start()
    kept = [compile_mapping(mapping) for _ in range(50)]
    size, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{name:12} compiles in {compile_ms:.2f} ms and keeps {size / len(kept) / 1024:.1f} KiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    contests = {
        "stackadapt": STACKADAPT,
        "taboola": defaults("taboola"),
        "trade-desk": defaults("the-trade-desk-crm"),
        "mixed": MIXED,
    }
    for name, mapping in contests.items():
        measure(name, mapping, arguments.reference, arguments.rounds)
    for name, mapping in contests.items():
        compile_cost(name, mapping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
