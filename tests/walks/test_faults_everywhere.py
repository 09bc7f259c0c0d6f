"""Each classic fault at Taboola, at an HTTP audience API and at The Trade Desk's storage host at once: all of them get it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import WAIT_S, Walk, until

from gateway.cli.demo import CREDENTIALS, PLACES
from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.faults import Bandwidth, Down, Fault, Latency, Reset, Slices, SlowClose, Timeout, Truncate
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk

STARTER = Path(__file__).parents[2] / "mappings"
DAILY = 1_500  # what The Trade Desk takes at the least
DAILY_LIST = "the-trade-desk/sync-audience-to-crm-data-segment/vip"
FAULTS: tuple[Fault, ...] = (
    Latency(delay_s=0.2, jitter_s=0.1), Bandwidth(bytes_per_s=400), SlowClose(delay_s=0.2), Timeout(hold_s=0.2),
    Reset(when="during"), Slices(slice_bytes=4), Truncate(), Down(),
)  # fmt: skip


class Platforms:
    """The three fakes and the gateway that serves them."""

    def __init__(self, folder: Path) -> None:
        self.taboola, self.desk, self.api = Taboola(), TheTradeDesk(), AudienceApi()
        self.people = 0
        self.walk: Walk
        self.folder = folder

    def enter(self, key: str, count: int = 1) -> list[str]:
        """So many new people enter; their e-mail addresses."""
        numbers = range(self.people, self.people + count)
        self.people += count
        events = [_entered(f"person{number}@example.com", key) for number in numbers]
        for first in range(0, count, 500):
            assert self.walk.post({"batch": events[first : first + 500]})[0] == 200
        return [f"person{number}@example.com" for number in numbers]


def _entered(email: str, key: str) -> dict[str, object]:
    return {
        "type": "track",
        "event": "Audience Entered",
        "userId": email,
        "messageId": f"{key}-{email}",
        "properties": {"audience_key": key, key: True, "email": email},
        "context": {
            "traits": {"email": email},
            "personas": {"computation_class": "audience", "computation_key": key, "computation_id": key},
        },
    }


@pytest.fixture(scope="module")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platforms]:
    """The shipped mappings, pointed at the fakes; an audience large enough for a whole list."""
    made = Platforms(tmp_path_factory.mktemp("everywhere") / "project")
    with SandboxThread([made.taboola, made.desk, made.api], port=0, upload_port=0) as sandbox:
        walk = made.walk = Walk(made.folder, sandbox.url)
        (made.folder / "mappings/stackadapt.json").unlink()
        shutil.copytree(STARTER / "destinations", made.folder / "mappings/destinations")
        for name in ("taboola", "the-trade-desk", "northwind"):
            setting, place = PLACES[name]
            file = json.loads((STARTER / f"{name}.json").read_bytes())
            file["settings"][setting] = f"{sandbox.url}{place}"
            if name == "the-trade-desk":  # by hand only, whatever the time of day
                file["mappings"][0]["sync"] = {"schedule": {"manual": True}}
            walk.write(f"{name}.json", file | {"enabled": True})
        try:
            walk.serve("--single", **CREDENTIALS)
            made.enter("vip", DAILY)
            until(lambda: _list_size(walk) == DAILY)
            until(lambda: _owes_nothing(walk))
            yield made
        finally:
            walk.stop()


def _list_size(walk: Walk) -> object:
    syncs = walk.admin("GET", "/api/syncs")[1]["syncs"]
    return next((one["audience_size"] for one in syncs if one["name"] == DAILY_LIST), 0)


def _owes_nothing(walk: Walk) -> bool:
    lanes = walk.admin("GET", "/api/lanes")[1]["lanes"]
    runs = walk.admin("GET", "/api/runs")[1]["runs"]
    return not any(one["due"] + one["in_flight"] for one in lanes) and all(one["status"] == "succeeded" for one in runs)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_fault_anywhere_costs_nobody_their_place(platforms: Platforms, fault: Fault) -> None:
    """Each platform shows it once; then all have what they are owed, nothing is dead, and no list is doubled."""
    walk, partners = platforms.walk, (platforms.taboola, platforms.desk, platforms.api)
    completed = platforms.desk.counts()["drops_completed"]
    for partner in partners:
        partner.faults.add(fault)
    (email,) = platforms.enter("high_value_shoppers")
    digest = hashlib.sha256(email.encode()).hexdigest()
    assert walk.admin("POST", f"/api/syncs/{DAILY_LIST}:run", {})[0] in (200, 202)
    platforms.api.changes.wait_for_blocking(lambda: digest in platforms.api.members("9001"), WAIT_S)
    platforms.taboola.changes.wait_for_blocking(lambda: digest in _shoppers(platforms.taboola), WAIT_S)
    platforms.desk.changes.wait_for_blocking(lambda: platforms.desk.counts()["drops_completed"] > completed, WAIT_S)
    until(lambda: _owes_nothing(walk))
    assert [partner.faults.armed for partner in partners] == [(), (), ()]
    assert [len(one.members) for one in platforms.desk.segments.values()] == [DAILY]
    assert {one["lane"]: one["dead"] for one in walk.admin("GET", "/api/lanes")[1]["lanes"]} == {
        "northwind": 0, "taboola": 0, "the-trade-desk": 0,
    }  # fmt: skip
    for name in ("northwind", "taboola", "the-trade-desk"):  # forget the failures, so that no breaker opens
        assert walk.admin("POST", f"/api/lanes/{name}/resume")[0] == 200


def _shoppers(fake: Taboola) -> set[str]:
    return {person for one in fake.audiences.values() if one.name == "high_value_shoppers" for _, person in one.members}
