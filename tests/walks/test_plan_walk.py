"""Acceptance 10: a plan followed at once by its run sends exactly the planned requests, byte for byte, wherever it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lists_running import LISTS, ListWalk, Partners, write_lists
from walks_running import Walk

from gateway.sandbox.server import SandboxThread

OPEN = {"max_removal_percent": "off", "empty_audience": "off"}
PARTNERS = {"stackadapt": "stackadapt", "taboola": "taboola", "northwind": "audience-api"}
COUNTS = {"replace": 1, "remove": 1, "add": 2}
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


WORK = {"@path": "$.context.traits.work"}


def test_after_an_edit_the_plan_is_what_the_next_run_sends(lists: ListWalk) -> None:
    """A field mapped anew, an identifier mapped to something else, a definition's field: planned first, then run, byte for byte."""
    everybody = [lists.member(user) for user in ("ann", "bob", "cyd")]
    for event in everybody:
        event["context"]["traits"] |= {"ltv": 7, "work": f"work-{event['userId']}@example.com"}  # type: ignore[index]
    lists.events(*everybody)
    lists.run()
    edits = (
        lambda: mapped(lists, "northwind.json", ltv={"@path": "$.context.traits.ltv"}),
        lambda: [mapped(lists, f"{name}.json", email=WORK) for name in ("northwind", "stackadapt")],
        lambda: defined(lists, origin={"label": "Origin", "static": True, "hash": "sha256"}),
    )
    expected: tuple[dict[str, dict[str, int]], ...] = (
        {"northwind": {"update": 3}, "stackadapt": {}, "taboola": {}},
        {"northwind": {"replace": 3}, "stackadapt": {"replace": 3}, "taboola": {}},
        {"northwind": {"update": 3}, "stackadapt": {}, "taboola": {}},
    )
    for edit, counts in zip(edits, expected, strict=True):
        edit()
        assert lists.walk.admin("POST", "/api/reload")[0] == 200
        before = {name: len(log) for name, log in lists.partners.logs.items()}
        planned = {name: plan_of(lists, name, counts[name]) for name in LISTS}
        lists.run()
        for name, log in lists.partners.logs.items():
            heard = [(one.method, one.path, (one.body or b"").decode()) for one in list(log)[before[name] :]]
            assert heard == planned[name], (name, counts)
        assert [plan_of(lists, name, {}) for name in LISTS] == [[], [], []]


def mapped(lists: ListWalk, file: str, **fields: object) -> None:
    """Edit the fields of a file's one mapping."""
    found: Any = lists.walk.read(file)
    found["mappings"][0]["fields"] |= fields
    lists.walk.write(file, found)


def defined(lists: ListWalk, **fields: object) -> None:
    """Edit the fields of the definition."""
    path = lists.walk.folder / "mappings/destinations/northwind-ads.json"
    found = json.loads(path.read_text())
    found["fields"] |= fields
    path.write_text(json.dumps(found))


def plan_of(lists: ListWalk, name: str, counts: dict[str, int] = COUNTS) -> list[tuple[str, str, str]]:
    """(method, path below the partner's own, body) of the requests a plan shows, but for the login."""
    status, plan = lists.walk.admin("POST", f"/api/syncs/{name}/sync/vip:plan", {"reveal": True})
    assert (status, plan["planned"]) == (200, counts), name
    shown: Any = plan.get("requests_made", [])
    below = f"/{PARTNERS[name]}/"
    return [
        (one["method"], "/" + one["url"].partition(below)[2], one["body"]) for one in shown if LOGIN not in one["url"]
    ]
