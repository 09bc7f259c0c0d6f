"""The Trade Desk's daily list, from events to the fake partner: by command, killed in the middle, below the minimum."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import Walk, environment_of

from gateway.sandbox.faults import Timeout
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.the_trade_desk import TheTradeDesk

MEMBERS = 1_600
NAME = "ttd/sync-audience/vip"


@pytest.fixture
def desk() -> TheTradeDesk:
    return TheTradeDesk()


@pytest.fixture
def walk(tmp_path: Path, desk: TheTradeDesk) -> Iterator[Walk]:
    """A project folder that keeps the audience vip at the sandbox's Trade Desk."""
    with SandboxThread([desk], port=0, upload_port=0) as sandbox:
        made = Walk(tmp_path / "project", sandbox.url)
        (made.folder / "mappings" / "stackadapt.json").unlink()
        made.write(
            "ttd.json",
            {
                "destination": "the-trade-desk-crm",
                "settings": {
                    "auth_token": {"$env": "STACKADAPT_TOKEN"},
                    "advertiser_id": "adv123",
                    "api_base_url": f"{sandbox.url}/the-trade-desk/v3",
                },
                "mappings": [
                    {
                        "name": "Sync Audience",
                        "fields": {"pii_type": "EmailHashedUnifiedId2"},
                        "audiences": {"*": {"region": "EU", "create": True, "name": "VIP customers"}},
                    }
                ],
            },
        )
        yield made
        made.stop()


def member(number: int, *, is_member: bool = True) -> dict[str, object]:
    """What Engage sends for one member."""
    return {
        "type": "track",
        "event": "Audience Entered" if is_member else "Audience Exited",
        "userId": f"u-{number}",
        "messageId": f"m-{number}-{is_member}",
        "properties": {"audience_key": "vip", "vip": is_member},
        "context": {
            "traits": {"email": f"person{number}@example.com"},
            "personas": {"computation_class": "audience", "computation_key": "vip", "computation_id": "aud_vip"},
        },
    }


def send(walk: Walk, events: list[dict[str, object]]) -> None:
    """In requests of a hundred."""
    for start in range(0, len(events), 100):
        assert walk.post({"batch": events[start : start + 100]}, "/v1/batch")[0] == 200


def gateway(walk: Walk, *arguments: str) -> tuple[int, str]:
    """A command in the walk's folder: (exit code, standard output)."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment_of(walk.folder), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def decided(walk: Walk, count: int) -> None:
    """Wait until the engine has decided so many members in."""
    for _ in range(600):
        code, text = gateway(walk, "sync", "list", "--json")
        shown = json.loads(text) if code == 0 and text.strip().startswith("[") else []
        if shown and shown[0]["audience_size"] == count:
            return
    raise AssertionError(f"never {count} members")


def lines(desk: TheTradeDesk) -> int:
    """Lines of the one segment."""
    (segment,) = desk.segments.values()
    return len(segment.members)


def test_a_list_by_command_and_again_after_people_left(walk: Walk, desk: TheTradeDesk) -> None:
    """Planned, run, shown; below the minimum the platform keeps what it had, and the command says so."""
    walk.serve()
    send(walk, [member(number) for number in range(MEMBERS)])
    decided(walk, MEMBERS)
    code, text = gateway(walk, "sync", "plan", NAME, "--json")
    assert (code, json.loads(text)["planned"]) == (0, {"add": MEMBERS})
    code, text = gateway(walk, "sync", "run", NAME, "--wait")
    assert code == 0, text
    assert lines(desk) == MEMBERS
    assert desk.violations == ()

    send(walk, [member(number, is_member=False) for number in range(40)])
    decided(walk, MEMBERS - 40)
    assert gateway(walk, "sync", "run", NAME, "--wait")[0] == 0
    assert lines(desk) == MEMBERS - 40

    send(walk, [member(number, is_member=False) for number in range(40, 150)])
    decided(walk, MEMBERS - 150)
    code, text = gateway(walk, "sync", "run", NAME, "--wait")
    assert (code, "below_minimum" in text, lines(desk)) == (0, True, MEMBERS - 40)
    code, text = gateway(walk, "sync", "show", NAME, "--json")
    assert [alert["name"] for alert in json.loads(text)["alerts"]] == ["below_minimum"]
    code, text = gateway(walk, "run", "list", "--json")
    assert [run["status"] for run in json.loads(text)] == ["skipped", "succeeded", "succeeded"]
    assert "@example.com" not in "".join(walk.roles[0].text)


def test_killed_during_the_upload_the_run_goes_on(walk: Walk, desk: TheTradeDesk) -> None:
    """kill -9 while the storage host does not answer: the next engine uploads the same list, in the same run."""
    walk.start_ingest()
    walk.start_engine()
    send(walk, [member(number) for number in range(MEMBERS)])
    decided(walk, MEMBERS)
    desk.faults.add(Timeout(target="upload"))
    assert gateway(walk, "sync", "run", NAME)[0] == 0
    desk.changes.wait_for_blocking(lambda: bool(desk.drops), 60.0)
    assert walk.engine is not None
    walk.engine.kill()
    desk.faults.clear()
    walk.start_engine()
    walk.engine.wait_for("run.finished", status="succeeded")
    assert lines(desk) == MEMBERS
    code, text = gateway(walk, "run", "show", "1", "--json")
    assert (code, json.loads(text)["status"], json.loads(text)["counters"]["added"]) == (0, "succeeded", MEMBERS)
