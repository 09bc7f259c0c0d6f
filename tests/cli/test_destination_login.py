"""`gateway destination login`, and the list verbs for partners that know audiences by ids of their own; no engine runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.destination import destination as command
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk

Ran = Callable[..., tuple[int, str]]


@pytest.fixture
def desk() -> TheTradeDesk:
    return TheTradeDesk()


@pytest.fixture
def taboola() -> Taboola:
    return Taboola()


@pytest.fixture
def ran(tmp_path: Path, desk: TheTradeDesk, taboola: Taboola) -> Iterator[Ran]:
    """Runs a command in a project folder with a file for each of the three."""
    project = tmp_path / "mappings"
    project.mkdir()
    with SandboxThread([StackAdapt(), taboola, desk], port=0, upload_port=0) as sandbox:
        files = {
            "sa": {
                "destination": "stackadapt-audience",
                "settings": {
                    "apiKey": {"$env": "TOKEN"}, "advertiser_id": "12345", "api_url": f"{sandbox.url}/stackadapt/graphql",
                },
                "mappings": [{"name": "All", "fields": {"marketing_status": "Opted-in"}, "audiences": {"*": {}}}],
            },
            "tb": {
                "destination": "taboola",
                "settings": {
                    "client_id": "sandbox-client", "client_secret": {"$env": "SECRET"},
                    "backstage_base_url": f"{sandbox.url}/taboola/backstage",
                },
                "mappings": [
                    {"name": "All", "audiences": {
                        "vip": {"account_id": "demo-advertiser", "create": True},
                        "short": {"account_id": "demo-advertiser", "create": True, "ttl_in_hours": 24},
                        "old": {"account_id": "demo-advertiser", "external_id": "77"},
                    }}
                ],
            },
            "ttd": {
                "destination": "the-trade-desk-crm",
                "settings": {
                    "auth_token": {"$env": "TOKEN"}, "advertiser_id": "adv123",
                    "api_base_url": f"{sandbox.url}/the-trade-desk/v3",
                },
                "mappings": [
                    {"name": "All", "fields": {"pii_type": "Email"}, "audiences": {
                        "vip": {"region": "EU", "create": True}, "gone": {"region": "EU", "external_id": "nosuch1"},
                    }}
                ],
            },
        }  # fmt: skip
        for stem, content in files.items():
            (project / f"{stem}.json").write_text(json.dumps(content))
        variables = {
            "GATEWAY_MAPPINGS": str(project), "GATEWAY_DATA": str(tmp_path / "data"), "TOKEN": "sandbox-token",
            "SECRET": "sandbox-secret",
        }  # fmt: skip

        def run(*words: str, **more: str) -> tuple[int, str]:
            result = CliRunner().invoke(command, words, env={**variables, **more}, catch_exceptions=False)
            return result.exit_code, result.output

        yield run


def test_credentials_that_work(ran: Ran) -> None:
    """With what they may be used for, where the partner tells."""
    code, text = ran("login", "mappings/sa.json")
    assert (code, "the credentials work" in text, "advertiser_id  31337" in text) == (0, True, True)
    code, text = ran("login", "tb", "--json")
    told = json.loads(text)
    assert (code, told["is_good"], told["setting"]) == (0, True, "account_id")
    assert [one["value"] for one in told["accounts"]] == ["demo-advertiser", "harbour-books"]
    assert ran("login", "ttd") == (0, "ttd  the credentials work\n")


@pytest.mark.parametrize("stem", ["sa", "tb", "ttd"])
def test_credentials_that_do_not(ran: Ran, stem: str) -> None:
    """Told with the status, and without them."""
    code, text = ran("login", stem, TOKEN="wr0ng-canary", SECRET="wr0ng-canary")
    assert code == 1
    assert "40" in text
    assert "canary" not in text


def test_a_file_that_is_not_there(ran: Ran) -> None:
    """Nothing is asked, and what is missing is told, whatever is wrong with other files."""
    code, text = ran("login", "nothing", TOKEN="")
    assert (code, "nothing.json" in text.replace("\n", "")) == (2, True)


def test_a_fault_in_another_file_is_no_matter(ran: Ran) -> None:
    """The others' secret is not set."""
    assert ran("login", "tb", TOKEN="")[0] == 0
    assert ran("find-list", "tb/all/old", TOKEN="")[0] == 0
    assert ran("login", "sa", TOKEN="")[0] == 2


@pytest.mark.parametrize("name", ["tb", "tb/all", "tb/none/vip", "none/all/vip", "tb/all/nobody"])
def test_a_list_that_has_no_place_is_a_mistake_of_the_one_who_asks(ran: Ran, name: str) -> None:
    """Told apart from a list that is not there."""
    assert ran("find-list", name)[0] == 2


def test_segments_by_hand(ran: Ran, desk: TheTradeDesk) -> None:
    """Found by name, made once, verified where the file gives the id, deleted; a segment that is gone is told."""
    assert ran("find-list", "ttd/all/vip")[0] == 1
    assert desk.calls() == ("list",)
    code, text = ran("create-list", "ttd/all/vip", "--json")
    made = json.loads(text)
    assert (code, made["origin"], list(desk.segments)) == (0, "created", [made["audience_id"]])
    assert ran("find-list", "ttd/all/vip") == (0, f"{made['audience_id']}  known from: kept\n")
    assert ran("delete-list", "ttd/all/vip", "--yes")[0] == 0
    assert not desk.segments
    assert ran("delete-list", "ttd/all/vip", "--yes")[0] == 1
    there = desk.create("adv123", "vip").external_id
    assert ran("find-list", "ttd/all/vip") == (0, f"{there}  known from: partner\n")
    code, text = ran("find-list", "ttd/all/gone")
    assert (code, "nosuch1" in text) == (1, True)


def test_audiences_by_hand(ran: Ran, taboola: Taboola) -> None:
    """Taboola knows no look-up: an id that is known is right, and creating finds the one of the name. It deletes none."""
    assert ran("find-list", "tb/all/old") == (0, "77  known from: mapping\n")
    assert ran("find-list", "tb/all/vip")[0] == 1
    assert len(taboola.log) == 0
    code, text = ran("create-list", "tb/all/vip", "--json")
    assert (code, json.loads(text)) == (0, {"audience_id": "1001", "origin": "created"})
    assert ran("find-list", "tb/all/vip") == (0, "1001  known from: kept\n")
    code, text = ran("delete-list", "tb/all/vip", "--yes")
    assert (code, "own pages" in text) == (1, True)
    there = taboola.create("demo-advertiser", "short", ttl_in_hours=48)
    code, text = ran("create-list", "tb/all/short")
    assert (code, f"{there.number} is made" in text, "with another ttl_in_hours" in text) == (0, True, True)
    assert ran("find-list", "sa/all/vip")[0] == 1
