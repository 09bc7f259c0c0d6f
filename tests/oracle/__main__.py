"""`make oracle`: install Segment's packages into a cache and hold triggers and mappings against them.

    python tests/oracle --cases N --seed S

Half of the cases go to each. Prints the seed and every difference that has no explanation; exits 1 if there is one, 3 where
node or npm is missing.
"""

import argparse
import os
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from reference_packages import installed

CAMPAIGNS = ("fql_campaign.py", "mapping_campaign.py")


def main() -> int:
    """Run both campaigns, one after the other."""
    parser = argparse.ArgumentParser(description="Hold triggers and mappings against Segment's packages.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    folder, problem = installed()
    if folder is None:
        print(f"left out: {problem}", file=sys.stderr)  # noqa: T201 - a campaign prints
        return 3
    root = Path(__file__).parent.parent.parent
    worst = 0
    for campaign in CAMPAIGNS:
        print(f"== {campaign}", flush=True)  # noqa: T201 - a campaign prints
        command = [sys.executable, str(Path(__file__).with_name(campaign)), "--cases", str(options.cases // 2)]
        done = subprocess.run(
            [*command, "--seed", str(seed), "--reference", str(folder)],
            check=False,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
