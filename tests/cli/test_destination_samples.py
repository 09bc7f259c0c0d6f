"""`gateway destination samples`: what was kept of a lane's requests, shown when it is asked for."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner

from gateway.cli.destination import destination as command
from gateway.delivery.notes import LaneNotes
from gateway.destinations.http_audience.delivering import SAMPLES_KEPT, sample_note
from gateway.store import open_state


def kept(data: Path, lane: str, *bodies: bytes) -> None:
    """As a lane leaves them."""

    async def put() -> None:
        state = open_state(data)
        notes = LaneNotes(state, lane)
        for number, body in enumerate(bodies):
            await notes.put(sample_note(number), body)
        await notes.put(SAMPLES_KEPT, str(len(bodies)).encode())
        await state.close()

    asyncio.run(put())


def ran(data: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["samples", *words], env={"GATEWAY_DATA": str(data)}, catch_exceptions=False)
    return result.exit_code, result.output


def test_bodies_are_shown_only_when_they_are_asked_for(tmp_path: Path) -> None:
    """They may hold what a definition does not hash."""
    body = b'{"name":"Ana [x] Reyes"}'
    kept(tmp_path, "nw", body, b"2")
    for words in (("nw",), ("mappings/nw.json", "--json")):
        code, text = ran(tmp_path, *words)
        assert (code, "24" in text, "Ana" in text) == (0, True, False)
    code, text = ran(tmp_path, "nw", "--reveal")
    assert (code, body.decode() in text) == (0, True)
    code, text = ran(tmp_path, "nw", "--reveal", "--json")
    assert json.loads(text) == [
        {"number": 1, "bytes": 24, "body": body.decode()},
        {"number": 2, "bytes": 1, "body": "2"},
    ]


def test_where_none_is_kept_it_is_told_how(tmp_path: Path) -> None:
    """Of another lane there may be some."""
    kept(tmp_path, "nw", b"{}")
    code, text = ran(tmp_path, "other")
    assert (code, "limits.debug_samples" in text) == (1, True)
