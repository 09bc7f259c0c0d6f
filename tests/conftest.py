"""What every room's tests share; and a word at the end on what this machine could not try."""

import pytest

LEFT_OUT = "left out"

# Two workers take the files in this order (`--no-loadscope-reorder`): those that take longest first, so that neither worker
# is still at one of them when the other has nothing left. By `pytest --durations`; what is not named comes behind, as it stands.
LONGEST_FIRST = (
    "tests/walks/test_kill_walk.py",
    "tests/cli/test_commands.py",
    "tests/walks/",
    "tests/oracle/",
    "tests/cli/",
    "tests/syncs/test_kills.py",
    "tests/syncs/test_simulation",
    "tests/store/test_store_crashes.py",
    "tests/destinations/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files, and leave the tests of a file in their order."""
    items.sort(key=lambda item: next((n for n, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start)), 99))


@pytest.fixture
def anyio_backend() -> str:
    """One async world: asyncio."""
    return "asyncio"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: what gzip writes holds the time, and all test processes must find the same names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


class LeftOut:
    """Sentences about what cannot be tried here; they travel with the test's report, from whichever process ran it."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def append(self, reason: str) -> None:
        """Have it said at the end of the run."""
        self._properties.append((LEFT_OUT, reason))


@pytest.fixture
def left_out(request: pytest.FixtureRequest) -> LeftOut:
    """Append a sentence for whatever cannot be tried here, so that nothing is left out in silence."""
    return LeftOut(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    for report in terminalreporter.stats.get("passed", []):
        for name, reason in report.user_properties:
            if name == LEFT_OUT and report.when == "call":
                terminalreporter.write_line(f"LEFT OUT  {reason}", yellow=True)
