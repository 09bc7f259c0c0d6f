# ruff: noqa: T201 - a campaign prints what it finds
"""Hold our mapping kit against Segment's on generated cases, and print every difference that has no explanation.

    python -m tests.oracle.mapping_campaign --cases 200000 --seed 1 --reference DIR

DIR has node_modules/@segment/actions-core (3.170.0). Ours runs in this process, Segment's under node.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

from gateway.core.javascript import UNDEFINED, json_text
from gateway.core.mapping import MappingError, transform, transform_batch, value_keys
from tests.oracle.mapping_cases import MappingCases

CHUNK = 2000
# Messages of ours that say the same in other words: a @template that is no text, a zone that Node prints as bytes.
# A path met a member that JavaScript objects inherit; here there is nothing.
INHERITED = ("[native code] }", "got function")
INHERITED_NAME = re.compile(r'"@path": "[^"]*\b(?:constructor|toString|valueOf|hasOwnProperty|__proto__)\b')
OUR_WORDS = ("matchAll", "Invalid time zone specified")
NOW_MS = 1_700_000_000_000.0


def ours(case: dict[str, object]) -> dict[str, object]:
    """Our answer, shaped as the reference's."""
    try:
        if case["kind"] == "keys":
            result: object = value_keys(case["value"])
        elif case["kind"] == "map-batch":
            result = transform_batch(case["mapping"], case.get("events", UNDEFINED), NOW_MS)
        else:
            result = transform(case["mapping"], case.get("event", UNDEFINED), NOW_MS)
    except MappingError as error:
        return {"ok": False, "messages": list(error.messages)}
    text = json_text(result)
    return {"ok": True, "result": text} if isinstance(text, str) else {"ok": True}


def reference_answers(cases: list[dict[str, object]], directory: Path) -> list[dict[str, object]]:
    script = Path(__file__).with_name("mapping_reference.mjs")
    lines = "".join(json.dumps(case) + "\n" for case in cases).encode()
    done = subprocess.run(["node", str(script), str(directory)], input=lines, capture_output=True, check=True)
    return [json.loads(line, parse_int=float) for line in done.stdout.split(b"\n") if line]


def compare(case: dict[str, object], mine: dict[str, object], other: dict[str, object]) -> str | None:
    """How two answers differ: "result", "order" or "message", or not at all."""
    if mine["ok"] != other["ok"]:
        return "result"
    if not mine["ok"]:
        theirs = other["error"]["messages"]  # type: ignore[index]
        return None if mine["messages"] == theirs or any(text in theirs[0] for text in OUR_WORDS) else "message"
    if ("result" in mine) != ("result" in other):
        return "result"
    if "result" not in mine:
        return None
    result = json.loads(str(mine["result"]), parse_int=float)
    if result != other["result"]:
        return "result"
    return None if json.dumps(result) == json.dumps(other["result"]) else "order"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--show", type=int, default=15)
    arguments = parser.parse_args()
    started = time.monotonic()
    stream = iter(MappingCases(arguments.seed))
    counts = {"result": 0, "order": 0, "message": 0}
    oks = done = explained = 0
    while done < arguments.cases:
        # What the reference reads is what JSON carries: the same text goes to both sides.
        cases = [json.loads(json.dumps(case)) for case in islice(stream, min(CHUNK, arguments.cases - done))]
        answers = reference_answers(json.loads(json.dumps(cases)), arguments.reference)
        for case, other in zip(cases, answers, strict=True):
            mine = ours(json.loads(json.dumps(case)))
            oks += bool(mine["ok"])
            kind = compare(case, mine, other)
            if kind is None:
                continue
            if any(mark in json.dumps(other) for mark in INHERITED) or INHERITED_NAME.search(json.dumps(case)):
                explained += 1
                continue
            counts[kind] += 1
            if counts[kind] <= (arguments.show if kind != "message" else arguments.show // 3):
                print(f"--- {kind} (case {case['id']})\n{json.dumps(case)}\n  ours      {mine}\n  reference {other}")
        done += len(cases)
    print(f"seed {arguments.seed}: {done} cases, {oks} gave a payload, {time.monotonic() - started:.0f} s")
    differences = f"{counts['result']} results, {counts['order']} key orders, {counts['message']} messages"
    print(f"unexplained differences: {differences}; {explained} explained by inherited members")
    return 1 if counts["result"] or counts["order"] else 0


if __name__ == "__main__":
    sys.exit(main())
