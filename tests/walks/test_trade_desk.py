"""The Trade Desk's daily list, from events to the fake partner: by command, killed in the middle, below the minimum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import Walk, until

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
    done = walk.command(*arguments)
    return done.returncode, done.stdout + done.stderr


def decided(walk: Walk, count: int) -> None:
    """Wait until the engine has decided so many members in."""

    def has_decided() -> bool:
        shown = walk.admin("GET", "/api/syncs")[1]["syncs"]
        return isinstance(shown, list) and [one["audience_size"] for one in shown] == [count]

    until(has_decided)


def lines(desk: TheTradeDesk) -> int:
    """Lines of the one segment."""
    (segment,) = desk.segments.values()
    return len(segment.members)


def planned_requests(walk: Walk, planned: dict[str, int]) -> list[dict[str, object]]:
    """The requests that `sync plan --reveal` shows; without it nobody's hash is whole."""
    code, text = gateway(walk, "sync", "plan", NAME, "--json", "--reveal")
    plan = json.loads(text)
    assert (code, plan["planned"], plan["upload"]["goes_out"]) == (0, planned, True)
    shown: list[dict[str, object]] = plan["requests_made"]
    assert plan["requests"] == len(shown)
    clear = str(shown[-1]["body"]).split("\n")[0]
    code, text = gateway(walk, "sync", "plan", NAME)
    assert (code, clear in text, f"{clear[:8]}…" in text, str(shown[-1]["sha256"]) in text) == (0, False, True, True)
    return shown


def as_uploaded(desk: TheTradeDesk, upload: dict[str, object]) -> bool:
    """Whether the file that came last is the one that was planned: length, digest, lines, the first of them in order."""
    body = desk.drops[-1].body or b""
    assert (upload["method"], upload["url"]) == ("PUT", "{Url}")
    assert (upload["bytes"], upload["lines"]) == (len(body), body.count(b"\n"))
    assert str(upload["body"]).split("\n")[:5] == body.decode().split("\n")[:5]
    return bool(upload["sha256"] == hashlib.sha256(body).hexdigest())


def test_a_list_by_command_and_again_after_people_left(walk: Walk, desk: TheTradeDesk) -> None:
    """Planned, run, shown; below the minimum the platform keeps what it had, and the command says so."""
    walk.serve("--single")
    send(walk, [member(number) for number in range(MEMBERS)])
    decided(walk, MEMBERS)
    find, create, drop, upload = planned_requests(walk, {"add": MEMBERS})
    assert len(desk.log) == 0, "a plan asks nobody"
    assert "creat" in str(find["note"])
    assert str(create["url"]).endswith("/v3/crmdata/targeting/segment")
    assert str(drop["url"]).endswith("/v3/crmdata/segment/adv123/{CrmDataId}")
    assert drop["note"]
    code, text = gateway(walk, "sync", "run", NAME, "--wait")
    assert code == 0, text
    assert lines(desk) == MEMBERS
    assert desk.violations == ()
    assert [one.method for one in desk.log] == ["GET", "POST", "POST", "PUT"]
    assert as_uploaded(desk, upload)
    shown = json.loads(gateway(walk, "run", "show", "1", "--json")[1])
    (attempt,) = shown["requests"]
    assert f"PUT {MEMBERS} people" in attempt["request"]
    assert shown["timeline"]["first_request_us"] == attempt["started_us"] < shown["timeline"]["last_answer_us"]

    send(walk, [member(number, is_member=False) for number in range(40)])
    decided(walk, MEMBERS - 40)
    asked = len(desk.log)
    drop, upload = planned_requests(walk, {"update": MEMBERS - 40, "remove": 40})
    assert gateway(walk, "sync", "run", NAME, "--wait")[0] == 0
    assert lines(desk) == MEMBERS - 40
    heard = list(desk.log)[asked:]
    assert [one.method for one in heard] == ["POST", "PUT"], "the segment is known by now, and the plan knew that too"
    assert str(drop["url"]).endswith(heard[0].path)
    assert drop["body"] == (heard[0].body or b"").decode()
    assert as_uploaded(desk, upload)

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
