"""Acceptance 10: a plan followed at once by its run sends exactly the planned requests, byte for byte, wherever it goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lists_running import LISTS, ListWalk, Partners, write_lists
from walks_running import Walk

from gateway.sandbox.server import SandboxThread

OPEN = {"max_removal_percent": "off", "empty_audience": "off"}
PARTNERS = {"stackadapt": "stackadapt", "taboola": "taboola", "northwind": "audience-api"}
LOGIN = "/oauth/token"  # as long as the last run's token is good, a run needs none


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[ListWalk]:
    """A gateway that keeps one list at each, in mode mirror, with three people on each."""
    partners = Partners()
    with SandboxThread([partners.stackadapt, partners.taboola, partners.northwind], port=0, upload_port=0) as sandbox:
        walk = Walk(tmp_path / "project", sandbox.url)
        write_lists(walk, sandbox.url, {"mode": "mirror", "schedule": {"manual": True}, "guards": OPEN}, partners)
        try:
            walk.start_ingest()
            walk.start_engine(TABOOLA_CLIENT="sandbox-client", TABOOLA_SECRET="sandbox-secret")
            found = ListWalk(walk, partners)
            found.events(*(found.member(user) for user in ("ann", "bob", "cyd")))
            found.run()
            yield found
        finally:
            walk.stop()


def test_a_run_sends_what_its_plan_showed(lists: ListWalk) -> None:
    """One changes address, one leaves, two come: removals first, then what is added, in the very bytes."""
    came = (lists.member("dan"), lists.member("eve"))
    lists.events(lists.member("ann", as_="ann.new"), lists.member("bob", is_member=False), *came)
    before = {name: len(log) for name, log in lists.partners.logs.items()}
    planned = {name: plan_of(lists, name) for name in LISTS}
    assert {name: len(log) for name, log in lists.partners.logs.items()} == before, "a plan sends nothing"
    lists.run()
    for name, log in lists.partners.logs.items():
        heard = [(one.method, one.path, (one.body or b"").decode()) for one in list(log)[before[name] :]]
        assert heard == planned[name], name


def plan_of(lists: ListWalk, name: str) -> list[tuple[str, str, str]]:
    """(method, path below the partner's own, body) of the requests a plan shows, but for the login."""
    status, plan = lists.walk.admin("POST", f"/api/syncs/{name}/sync/vip:plan", {"reveal": True})
    assert (status, plan["planned"]) == (200, {"replace": 1, "remove": 1, "add": 2})
    shown = plan["requests_made"]
    assert isinstance(shown, list)
    below = f"/{PARTNERS[name]}/"
    return [
        (one["method"], "/" + one["url"].partition(below)[2], one["body"]) for one in shown if LOGIN not in one["url"]
    ]
