"""The demo where its surroundings are not as it wishes: ports that somebody else has, or takes in the last moment."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import demo as demo_module
from gateway.cli import main
from gateway.cli.output import EXIT_FAILED


class Neighbour(http.server.BaseHTTPRequestHandler):
    """Says 200 to everything, as the ready gateway of another project does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a neighbour answers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neighbour) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def run_demo(folder: Path) -> tuple[int, str]:
    """Exit code and what was printed."""
    ran = CliRunner().invoke(main, ["demo", "--exit", "--folder", str(folder)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.output


def test_the_demo_takes_no_other_gateway_for_its_own(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody takes the admin port between the look and the start: it says so and ends, and shows nothing as its own."""
    monkeypatch.setattr(demo_module, "_free", lambda wanted: taken if wanted == 8081 else 0)
    code, printed = run_demo(tmp_path / "demo")
    assert code == EXIT_FAILED
    assert "The gateway did not start" in printed
    assert "ready after" not in printed


def test_a_sandbox_without_a_port_is_a_sentence(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback."""
    monkeypatch.setattr(demo_module, "_free", lambda wanted: taken if wanted == 8090 else 0)
    code, printed = run_demo(tmp_path / "demo")
    assert (code, "The demo cannot run" in printed) == (EXIT_FAILED, True)


def test_a_port_that_is_taken_is_replaced_by_any(taken: int) -> None:
    """One that is free stays as it was wished for."""
    assert demo_module._free(taken) == 0
