"""`make bench`: every figure of docs/benchmarks.md, each beside its baseline in the same run.

Usage: python benchmarks [NAME ...]. Exit code 1 when a figure misses its target. Numbers of one machine mean little; ratios do.
"""

import subprocess
import sys
from pathlib import Path

# Segment's packages, where `make oracle` or the tests have installed them: the baseline of triggers and mappings.
REFERENCE = Path(__file__).parent.parent / ".cache" / "oracle"
SCRIPTS = {
    "ingest": ["ingest.py", "--check"],
    "whole": ["whole.py", "--check"],
    "memory": ["whole.py", "--memory", "1000000", "--check"],
    "engine": ["engine.py"],
    "route": ["route.py", "--check"],
    "full-list": ["full_list.py"],
    "sync": ["sync_plan.py"],
    "sync-million": ["sync_plan.py", "--members", "1000000"],
    "sync-events": ["sync_events.py", "--check"],
    "store": ["store_state.py"],
    "lanes": ["store_lanes.py"],
    "delivery": ["delivery.py"],
    "triggers": ["fql_match.py"],
    "mapping": ["mapping.py"],
    "definitions": ["definitions.py", "--check"],
}


def main() -> int:
    """Run the named scripts, or all, one after the other."""
    chosen = sys.argv[1:] or list(SCRIPTS)
    unknown = [name for name in chosen if name not in SCRIPTS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(SCRIPTS)}.", file=sys.stderr)
        return 2
    worst = 0
    for name in chosen:
        print(f"\n== {name}", flush=True)
        script, *arguments = SCRIPTS[name]
        if name in ("triggers", "mapping"):
            if (REFERENCE / "installed").exists():
                arguments = [*arguments, "--reference", str(REFERENCE)]
            else:
                print("left out: Segment's packages are not installed; `make oracle CASES=1000` does that")
        done = subprocess.run([sys.executable, Path(__file__).with_name(script), *arguments], check=False)
        worst = max(worst, min(done.returncode, 1))
    return worst


if __name__ == "__main__":
    sys.exit(main())
