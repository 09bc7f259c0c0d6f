"""How long a compiled trigger takes, beside the same condition written by hand in Python, and beside Segment's package.

Usage: python benchmarks/fql_match.py [--reference DIR] [--rounds N]
DIR is a folder in which `npm install @segment/destination-subscriptions` was run (or FQL_REFERENCE); node must be there.

All contestants take turns in one run, so that a noisy machine disturbs them alike; the best round of each counts. The
functions by hand do what the trigger does for any JSON event: fields may be missing, null or of another type.
"""

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gateway.core.fql import Condition, compile_trigger

ADAPTER = Path(__file__).parents[1] / "tests" / "oracle" / "fql_reference.mjs"
CALLS = 20_000

EVENT: dict[str, object] = {
    "type": "track",
    "event": "Audience Entered",
    "userId": "u-5",
    "messageId": "m-1",
    "properties": {"audience_key": "spring_buyers", "spring_buyers": True, "total": 75, "plan": "pro"},
    "traits": {"email": "ann@shop.example.com"},
    "context": {"personas": {"computation_class": "audience", "computation_key": "spring_buyers"}},
}
OTHER: dict[str, object] = {"type": "page", "name": "Home", "properties": {"total": None, "plan": 7}, "context": None}


def track_or_identify(body: dict[str, object]) -> bool:
    return body.get("type") == "track" or body.get("type") == "identify"


def audience_event(body: dict[str, object]) -> bool:
    return body.get("type") == "track" and (
        body.get("event") == "Audience Entered" or body.get("event") == "Audience Exited"
    )


def large_order(body: dict[str, object]) -> bool:
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return False
    total = properties.get("total")
    return isinstance(total, (int, float)) and not isinstance(total, bool) and total >= 50


def audience_of_a_person(body: dict[str, object]) -> bool:
    context = body.get("context")
    personas = context.get("personas") if isinstance(context, dict) else None
    if not isinstance(personas, dict) or personas.get("computation_class") != "audience":
        return False
    traits = body.get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    return isinstance(email, str) and not email.endswith("@test.example.com")


def eight_clauses(body: dict[str, object]) -> bool:
    if body.get("type") != "track":
        return False
    properties = body.get("properties")
    traits = body.get("traits")
    if not isinstance(properties, dict) or not isinstance(traits, dict):
        return False
    total, key, email, user = (
        properties.get("total"),
        properties.get("audience_key"),
        traits.get("email"),
        body.get("userId"),
    )
    return (
        isinstance(total, (int, float))
        and not isinstance(total, bool)
        and total > 10
        and total < 100
        and properties.get("plan") == "pro"
        and isinstance(key, str)
        and "buyers" in key
        and isinstance(user, str)
        and not user.startswith("test-")
        and email is not None
        and properties.get("spring_buyers") is True
    )


CONTESTS: list[tuple[str, Callable[[dict[str, object]], bool]]] = [
    ('type = "track" or type = "identify"', track_or_identify),
    ('type = "track" and (event = "Audience Entered" or event = "Audience Exited")', audience_event),
    ("properties.total >= 50", large_order),
    (
        'context.personas.computation_class = "audience" and !match(traits.email, "*@test.example.com")',
        audience_of_a_person,
    ),
    (
        (
            'type = "track" and properties.total > 10 and properties.total < 100 and properties.plan = "pro"'
            ' and contains(properties.audience_key, "buyers") and !match(userId, "test-*") and traits.email != null'
            " and properties.spring_buyers = true"
        ),
        eight_clauses,
    ),
]


def nanoseconds(condition: Condition, event: dict[str, object]) -> float:
    """One call's time, over many."""
    calls = range(CALLS)
    start = time.perf_counter_ns()
    for _ in calls:
        condition(event)
    return (time.perf_counter_ns() - start) / CALLS


def reference_times(text: str, event: dict[str, object], folder: str) -> dict[str, float]:
    """Segment's package on the same trigger and event: the tree kept, and the text parsed for every event as it does."""
    line = json.dumps({"id": 0, "kind": "fql-time", "fql": text, "event": event, "times": CALLS})
    done = subprocess.run(["node", str(ADAPTER), folder], input=line, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout)["result"]
    return times


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--reference", default=os.environ.get("FQL_REFERENCE"))
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    with_reference = chosen.reference is not None and shutil.which("node") is not None
    print(
        "nanoseconds for one event: compiled, by hand, their ratio"
        + (", npm (tree kept / as Segment runs it)" * with_reference)
    )
    for text, by_hand in CONTESTS:
        compiled = compile_trigger(text).matches
        for name, event in (("match", EVENT), ("other", OTHER)):
            assert compiled(event) == by_hand(event) == (name == "match")
            pairs = [(nanoseconds(compiled, event), nanoseconds(by_hand, event)) for _ in range(chosen.rounds)]
            ours, theirs = (min(times) for times in zip(*pairs, strict=True))
            row = f"{name}  {ours:6.0f} {theirs:6.0f}  {ours / theirs:4.2f}x"
            if with_reference:
                npm = reference_times(text, event, chosen.reference)
                row += f"  {npm['validate']:6.0f} / {npm['parse_and_validate']:8.0f}"
            print(f"{row}  {text if len(text) <= 80 else text[:77] + '...'}")


if __name__ == "__main__":
    main()
