"""`gateway tail` while it follows: nothing that comes is passed over, and Ctrl-C is its good end."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Iterator

import pytest
from cli_running import Project
from fork_server import DEVNULL, PIPE, Forked
from walks_running import WAIT_S, audience_event, environment_of, until

from gateway.cli.tailing import FIRST_ROWS, PAGE_ROWS

NOBODY = "http://127.0.0.1:9"  # nothing is sent to it: no mapping matches a page view


class Following:
    """`gateway tail` as its own process; its lines as they come."""

    def __init__(self, project: Project, *options: str) -> None:
        self.process = Forked(
            ["tail", *options],
            env=environment_of(project.folder),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=project.folder,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for raw in stream:
                self._lines.put(raw.decode())

    def line(self) -> str:
        """The next line it prints."""
        return self._lines.get(timeout=WAIT_S)

    def rest(self) -> list[str]:
        """What it printed that nobody has read; it has ended."""
        self._reader.join(WAIT_S)
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """A signal; the exit code, and what it said on standard error."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            return code, stream.read().decode()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with `gateway serve` running in it."""
    made = Project(tmp_path_factory.mktemp("tail") / "project", NOBODY)
    try:
        made.serve("--single")
        yield made
    finally:
        made.stop()


@pytest.fixture
def followed(project: Project) -> Iterator[list[Following]]:
    """Whatever a test starts to follow with is gone behind it."""
    started: list[Following] = []
    yield started
    for one in started:
        one.process.kill()


def view(number: int) -> dict[str, object]:
    return {"type": "page", "name": f"Page {number}", "userId": "hopper-1", "messageId": f"page-{number}"}


def decided(project: Project) -> bool:
    return bool(project.admin("GET", "/api/status")[1]["backlog_frames"] == 0)


def test_a_new_event_is_shown_as_it_comes_and_ctrl_c_ends_well(project: Project, followed: list[Following]) -> None:
    """By a real process: the last old event, one that is posted while it watches, then SIGINT."""
    project.post({"batch": [view(1)]})
    until(lambda: decided(project))
    tail = Following(project, "--limit", "1")
    followed.append(tail)
    assert "page (message page-1); no mapping matches" in tail.line()
    project.post({"batch": [view(2)]})
    assert "page (message page-2); no mapping matches" in tail.line()
    assert tail.end() == (0, "")
    assert tail.rest() == []


def test_a_burst_between_two_looks_is_shown_whole(project: Project, followed: list[Following]) -> None:
    """While `tail` stands still more comes than it reads at once: every event has its line, once, in order."""
    burst = FIRST_ROWS + PAGE_ROWS + 7
    project.post({"batch": [view(10)]})
    until(lambda: decided(project))
    tail = Following(project, "--limit", "1", "--json")
    followed.append(tail)
    first = json.loads(tail.line())
    os.kill(tail.process.pid, signal.SIGSTOP)
    for start in range(0, burst, 200):
        project.post({"batch": [view(100 + number) for number in range(start, min(start + 200, burst))]})
    until(lambda: decided(project))
    os.kill(tail.process.pid, signal.SIGCONT)
    shown = [json.loads(tail.line()) for _ in range(burst)]
    places = [tuple(map(int, one["place"].split("."))) for one in (first, *shown)]
    assert places == sorted(set(places))
    assert tail.end() == (0, "")
    assert tail.rest() == []


def test_a_deletion_that_an_operator_orders_is_shown_as_it_comes(project: Project, followed: list[Following]) -> None:
    """It is no event and lies in no file, and has its line all the same."""
    project.post({"batch": [audience_event("hopper-9", is_member=True, message_id="page-99")]})
    until(lambda: decided(project))
    tail = Following(project, "--limit", "1")
    followed.append(tail)
    assert "message page-99" in tail.line()
    assert project.command("erase", "hopper-9", "--yes").returncode == 0
    line = tail.line()
    assert "gateway erase" in line
    assert "1 person forgotten" in line
    assert tail.end() == (0, "")
