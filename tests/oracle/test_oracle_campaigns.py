"""A short run of the campaigns against Segment's own packages, where node is there."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from reference_packages import installed

CASES = 10_000  # each


@pytest.mark.parametrize("campaign", ["fql_campaign.py", "mapping_campaign.py"])
def test_no_answer_differs_from_segments(campaign: str, left_out: list[str]) -> None:
    """Generated cases under a fresh seed, which stands in the output of a failure; 20,000 in all."""
    folder, problem = installed()
    if folder is None:
        left_out.append(f"comparison with Segment's packages ({campaign}): {problem}")
        return
    seed = random.SystemRandom().randrange(2**31)
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / campaign, "--cases", str(CASES), "--seed", str(seed), "--reference", folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(here.parent.parent)},
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stdout[-5000:]}\n{done.stderr[-2000:]}"
