"""Hold our FQL against Segment's, case by case: `python fql_campaign.py --cases N --seed S --reference DIR`.

DIR is a folder in which `npm install @segment/destination-subscriptions` was run. Prints the seed, and every difference
that has no known reason; exits 1 if there is one.
"""

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fql_cases import INHERITED, cases

from gateway.core.fql import FqlError, evaluate, evaluate_tree, generate, parse_json
from gateway.core.javascript import UNDEFINED, json_text

ADAPTER = Path(__file__).with_name("fql_reference.mjs")
CHUNK = 10_000
SHOWN_MAX = 20


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


OURS: dict[str, Callable[[dict[str, Any]], object]] = {
    "fql": lambda case: evaluate(case["fql"], case.get("event", UNDEFINED)),
    "fql-parse": lambda case: parse_json(case["fql"]),
    "fql-ast": lambda case: evaluate_tree(case["ast"], case.get("event", UNDEFINED)),
    "fql-gen": lambda case: generate(case["ast"]),
}

# A member that JavaScript objects inherit is a function there and undefined here, as decided: it exists, it is truthy.
_INHERITED_KEY = re.compile("|".join(map(re.escape, INHERITED)))


def our_answer(case: dict[str, Any]) -> str:
    """Our answer as text, "failed" where we report an error. Any other exception is a fault, and ends the run."""
    try:
        return str(json_text(OURS[case["kind"]](case)))
    except FqlError:
        return "failed"


def reference_answers(chunk: list[dict[str, Any]], folder: str) -> Iterable[str]:
    """The answers of Segment's packages to the same cases, in order."""
    lines = "".join(json.dumps(case | {"id": place}) + "\n" for place, case in enumerate(chunk))
    done = subprocess.run(["node", str(ADAPTER), folder], input=lines, capture_output=True, text=True, check=True)
    for place, line in enumerate(done.stdout.split("\n")[:-1]):
        answer = json.loads(line)
        assert answer["id"] == place
        yield str(json_text(answer["result"])) if answer["ok"] else "failed"


def has_known_reason(case: dict[str, Any]) -> bool:
    """Whether a difference comes from an inherited member in a field's path, and so from a decision of ours."""
    if case["kind"] not in ("fql", "fql-ast"):
        return False
    # Escapes are taken out of the text, so that `to\\String` is seen too.
    return bool(
        _INHERITED_KEY.search(re.sub(r"\\(.)", r"\1", case["fql"]) if "fql" in case else json.dumps(case["ast"]))
    )


def campaign(count: int, seed: int, folder: str) -> int:
    """Run that many cases; the number of differences without a known reason."""
    source = cases(seed, count)
    explained = unexplained = failures = truths = 0
    while chunk := list(itertools.islice(source, CHUNK)):
        for case, theirs in zip(chunk, reference_answers(chunk, folder), strict=True):
            ours = our_answer(case)
            failures += theirs == "failed"
            truths += theirs == "true"
            if ours == theirs:
                continue
            if has_known_reason(case):
                explained += 1
                continue
            unexplained += 1
            if unexplained <= SHOWN_MAX:
                _say(f"difference  ours {ours}  theirs {theirs}\n  {json.dumps(case)}")
    _say(
        f"{count:,} cases, seed {seed}: {unexplained} unexplained differences, {explained} explained"
        f" ({truths:,} true, {failures:,} errors in the reference)"
    )
    return unexplained


def main() -> int:
    """Read the arguments and run."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--reference", required=True)
    chosen = options.parse_args()
    seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    _say(f"seed {seed}")
    return 1 if campaign(chosen.cases, seed, chosen.reference) else 0


if __name__ == "__main__":
    sys.exit(main())
