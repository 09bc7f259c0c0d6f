"""A whole list's values are looked at while it is written, in the gateway's process or beside it."""

import hashlib
from pathlib import Path

import pytest
from trade_desk_cases import PortableSnapshot, snapshot

from gateway.core.hash_linter import HashWarning
from gateway.destinations.the_trade_desk.lines import HASHED
from gateway.destinations.the_trade_desk.list_process import Asked, write_snapshot
from gateway.destinations.the_trade_desk.listing import CHUNK as PAGE_ROWS

pytestmark = pytest.mark.anyio


def rows():
    """Made-up members: two thirds in hexadecimal capitals, one third plain."""
    for number in range(3 * PAGE_ROWS):
        address = f"person{number}@example.com"
        value = hashlib.sha256(address.encode()).hexdigest().upper() if number % 3 else address
        yield f"user_id:{number}", {"email": value, "pii_type": HASHED}


@pytest.mark.parametrize("make", [snapshot, PortableSnapshot])
async def test_what_is_wrong_with_a_lists_hashes_is_told(tmp_path, monkeypatch, make):
    """Over all pages together; the list is written all the same."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    written = await write_snapshot(Asked(snapshot=make(list(rows())), pii_type="", path=str(tmp_path / "list")))
    assert written.file.distinct == 3 * PAGE_ROWS
    assert written.warnings == [
        HashWarning(field="email", code="hash_upper_case", count=2 * PAGE_ROWS),
        HashWarning(field="email", code="hashed_and_plain", count=PAGE_ROWS),
    ]
