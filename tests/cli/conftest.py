"""The walks' harness, for commands that are run beside real processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "walks"))
