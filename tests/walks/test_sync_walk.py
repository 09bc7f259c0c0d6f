"""Syncs at StackAdapt, at Taboola and at an HTTP audience: whatever people do, the partner's list is what the mode promises.

One gateway with all three at once for each mode; events come in at the front, runs are ordered at the admin API.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lists_running import LISTS, ListWalk, Partners, write_lists
from walks_running import Walk, until

from gateway.sandbox.server import SandboxThread

OPEN = {"max_removal_percent": "off", "empty_audience": "off", "unmappable_percent": "off"}

# What each list holds after each act, by mode. A subtractive list was filled by somebody else.
PROMISED: dict[str, tuple[set[str], ...]] = {
    "mirror": (
        {"ann", "bob", "cyd"},
        {"ann.new", "cyd", "dan"},
        {"ann.new", "bob", "cyd", "dan"},
        {"ann.new", "bob", "dan"},
    ),
    "additive": (
        {"ann", "bob", "cyd"},
        {"ann", "ann.new", "bob", "cyd", "dan"},
        {"ann", "ann.new", "bob", "cyd", "dan"},
        {"ann", "ann.new", "bob", "dan"},
    ),
    "subtractive": (
        {"ann", "bob", "cyd", "stranger"},
        {"ann", "cyd", "stranger"},
        {"ann", "cyd", "stranger"},
        {"ann", "stranger"},
    ),
}


@pytest.mark.parametrize("mode", sorted(PROMISED))
def test_each_list_is_what_its_mode_promises(tmp_path: Path, mode: str) -> None:
    """Three enter; one changes address, one leaves, one comes; the one who left comes back; one is erased."""
    partners = Partners(("ann", "bob", "cyd", "stranger") if mode == "subtractive" else ())
    with SandboxThread([partners.stackadapt, partners.taboola, partners.northwind], port=0, upload_port=0) as sandbox:
        walk = Walk(tmp_path / "project", sandbox.url)
        write_lists(walk, sandbox.url, {"mode": mode, "schedule": {"manual": True}, "guards": OPEN}, partners)
        try:
            walk.start_ingest()
            walk.start_engine(TABOOLA_CLIENT="sandbox-client", TABOOLA_SECRET="sandbox-secret")
            _act(ListWalk(walk, partners), PROMISED[mode])
        finally:
            walk.stop()
    assert partners.stackadapt.violations == ()


def _act(lists: ListWalk, promised: tuple[set[str], ...]) -> None:
    entered, changed, back, erased = promised
    lists.events(lists.member("ann"), lists.member("bob"), lists.member("cyd"))
    lists.run()
    assert lists.partners.lists() == dict.fromkeys(LISTS, entered)
    lists.run()
    assert lists.partners.lists() == dict.fromkeys(LISTS, entered), "a second run changes nothing"
    lists.events(lists.member("ann", as_="ann.new"), lists.member("bob", is_member=False), lists.member("dan"))
    lists.run()
    assert lists.partners.lists() == dict.fromkeys(LISTS, changed)
    lists.events(lists.member("bob"))
    lists.run()
    assert lists.partners.lists() == dict.fromkeys(LISTS, back)
    lists.events({"type": "delete", "userId": "cyd", "messageId": "erase-cyd"})
    until(lambda: lists.partners.lists() == dict.fromkeys(LISTS, erased))
    lists.run()
    assert lists.partners.lists() == dict.fromkeys(LISTS, erased)
