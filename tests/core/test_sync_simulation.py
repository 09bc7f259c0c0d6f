import pytest

from tests.core.sync_simulation import simulate


@pytest.mark.parametrize("block", range(10))
def test_after_the_faults_the_list_is_what_the_mode_promises(block: int) -> None:
    """Random events, edits, refusals, failures, time-outs and crashes; then two good runs. The message names the seed."""
    for seed in range(block * 60, block * 60 + 60):
        simulate(seed)
