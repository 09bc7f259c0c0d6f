"""Destinations over the admin port: the verbs of definitions with the command line's own answers, and lists made and deleted."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from gateway.admin.api import AdminApi
from gateway.admin.destinations import BODY_BYTES_MAX
from gateway.admin.server import AdminServer
from gateway.cli.destination import destination as command
from gateway.config.folder import read_folder
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.destinations.http_client import PartnerHttp
from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.server import SandboxServer, SandboxThread
from gateway.service.destination_orders import RECORDS_MAX, DestinationDesk
from gateway.service.list_desk import ListDesk
from gateway.service.run_files import RunFile, write_run_file
from gateway.service.shelf import Shelf
from gateway.store import open_state

pytestmark = pytest.mark.anyio
TOKEN = {"Authorization": "Bearer the-token"}
PERSON = "ana.canary@example.com"
NORTHWIND = json.loads((Path(__file__).parents[2] / "mappings/destinations/northwind-ads.json").read_text("utf-8"))
LISTS = {
    "get": {"method": "GET", "path": "/lists", "query": {"name": "{{audience.name}}"}, "save": {"audience_id": "data[0].id"}},
    "create": {
        "method": "POST", "path": "/lists", "body": {"name": {"@path": "$.audience.name"}}, "save": {"audience_id": "data.id"},
    },
    "delete": {"method": "DELETE", "path": "/lists/{{connection.audience_id}}"},
}  # fmt: skip
CONFIG = {
    "baseUrl": "https://api.northwind.example", "authenticationType": "bearerToken", "bearerToken": "tok-en",
    "headers": [], "actions": {
        "insert": {"method": "POST", "endpoint": "/l/{{connection.audienceId}}", "batchSize": 10,
                   "requestBody": '{"users": [$$.records.{"e": email}]}',
                   "fields": [{"name": "email", "isRequired": True, "hashType": "NONE", "isCustom": False}]},
    },
}  # fmt: skip
CONNECTION = {"audienceId": "7", "audienceName": "VIP", "isHashRequired": False, "customMappings": []}


def write_project(folder: Path, address: str) -> None:
    """The shipped example, enabled, with a list's life cycle, at the sandbox."""
    (folder / "destinations").mkdir()
    definition = {**NORTHWIND, "audience": LISTS, "limits": {"idempotency_header": "Idempotency-Key"}}
    definition["fields"] = {**NORTHWIND["fields"], "spare": {"label": "Used nowhere"}}
    (folder / "destinations/northwind-ads.json").write_text(json.dumps(definition))
    mapping = {
        "destination": "northwind-ads",
        "settings": {"NORTHWIND_TOKEN": {"$env": "NW_TOKEN"}, "base_url": f"{address}/audience-api/v3"},
        "mappings": [
            {
                "name": "VIP buyers",
                "fields": {"email": {"@path": "$.traits.email"}, "origin": "acme-crm"},
                "audiences": {
                    "vip": {"external_id": "9001"},
                    "fresh": {"name": "Fresh/buyers", "create": True},
                    "*": {},
                },
            },
        ],
    }
    (folder / "nw.json").write_text(json.dumps(mapping))
    taboola = {
        "destination": "taboola",
        "settings": {"client_id": {"$env": "NW_TOKEN"}, "client_secret": {"$env": "NW_TOKEN"}},
        "mappings": [{"name": "All", "audiences": {"*": {"account_id": "demo-advertiser"}}}],
    }
    (folder / "tb.json").write_text(json.dumps(taboola))
    stackadapt = {
        "destination": "stackadapt-audience",
        "settings": {"apiKey": {"$env": "NW_TOKEN"}, "advertiser_id": "1"},
        "mappings": [{"name": "All", "fields": {"marketing_status": "Opted-in"}}],
    }
    (folder / "sa.json").write_text(json.dumps(stackadapt))


@pytest.fixture
def partner() -> AudienceApi:
    """The fake audience API."""
    return AudienceApi()


@pytest.fixture
async def api(tmp_path: Path, partner: AudienceApi, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """The admin app over a real store, a real project and a real way out."""
    project = tmp_path / "mappings"
    project.mkdir()
    (tmp_path / "data").mkdir()
    async with SandboxServer([partner], port=0) as server:
        write_project(project, server.url)
        variables = {"NW_TOKEN": "sandbox-token"}
        shelf = Shelf(variables)
        loaded = compile_rulebook(read_folder(project), shelf.definitions, SecretSource(variables=variables), shelf)
        assert loaded.value is not None, loaded.problems
        shelf.take(loaded.value)
        state, http = open_state(tmp_path / "data", disk_free_bytes_min=0), PartnerHttp(version="0")
        rulebook = loaded.value
        lists = ListDesk(state=state, rulebook=lambda: rulebook, registry=shelf, http=http, clock=lambda: 1)
        desk = DestinationDesk(
            rulebook=lambda: rulebook, registry=shelf, http=http, lists=lists, clock=lambda: 1,
            problems=lambda: loaded.problems,
        )  # fmt: skip
        app = AdminApi(token="the-token", state=state, operations=None, destinations=desk).app()  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin.example.org", headers=TOKEN) as client:
            yield client
        await http.aclose()
        await state.close()


async def by_command(*words: object) -> object:
    """What the command line prints."""
    given = [str(word) for word in words]
    result = await asyncio.to_thread(lambda: CliRunner().invoke(command, given, catch_exceptions=False))
    return json.loads(result.stdout)


async def test_destinations_are_listed_with_the_files_that_configure_them(api: httpx.AsyncClient) -> None:
    """Those in code, those that ship as definitions, those of mappings/."""
    shown = {one["slug"]: one for one in (await api.get("/api/destinations")).json()["destinations"]}
    assert {"stackadapt-audience", "taboola", "the-trade-desk-crm", "northwind-ads"} <= shown.keys()
    assert (shown["northwind-ads"]["configured_as"], shown["northwind-ads"]["described_in"]) == (["nw"], "a definition")
    assert (shown["stackadapt-audience"]["configured_as"], shown["taboola"]["described_in"]) == (["sa"], "code")
    assert shown["the-trade-desk-crm"]["configured_as"] == []


async def test_the_form_of_any_destination_can_be_asked_for(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """Of a definition it is what the command prints."""
    shown = (await api.get("/api/destinations/northwind-ads/fields")).json()["fields"]
    assert shown == await by_command("fields", tmp_path / "mappings/destinations/northwind-ads.json")
    taboola = {one["name"]: one for one in (await api.get("/api/destinations/taboola/fields")).json()["fields"]}
    assert (taboola["user_email"]["hash"], taboola["user_email"]["identifier"]) == ("sha256", True)
    assert (await api.get("/api/destinations/nowhere/fields")).status_code == 404


async def test_check_tells_what_the_command_tells(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """Of the definition in force, of one in the body, and of a RudderStack pair; places are counted in what was sent."""
    file = tmp_path / "mappings/destinations/northwind-ads.json"
    in_force = (await api.post("/api/destinations/northwind-ads:check")).json()
    assert in_force == await by_command("check", file)
    assert [one["pointer"] for one in in_force["warnings"]] == ["/fields/spare"]
    broken = '{"kind": "http_audience",\n "slug": "x", "name": "X", "base_url": "ftp://x"}'
    (tmp_path / "x.json").write_text(broken)
    answer = await api.post("/api/destinations/-:check", content=f'{{"file": {broken}}}')
    assert answer.json() == await by_command("check", tmp_path / "x.json")
    assert {(one["pointer"], one["line"]) for one in answer.json()["errors"]} >= {("/base_url", 2)}
    pair = {"rudderstack": {"config": CONFIG, "connection": CONNECTION}}
    assert (await api.post("/api/destinations/-:check", json=pair)).json()["valid"] is True


async def test_preview_shows_what_the_command_shows_and_no_secret(api: httpx.AsyncClient, tmp_path: Path) -> None:
    """By the name of a mapping in force, or with the mapping file in the body; nothing is sent."""
    records = [
        {"id": "m-1", "action": "add", "fields": {"email": PERSON}},
        {"id": "m-2", "action": "add", "fields": {}},
    ]
    (tmp_path / "r.json").write_text(json.dumps(records))
    files = (tmp_path / "mappings/destinations/northwind-ads.json", tmp_path / "mappings/nw.json")
    told = await by_command(
        "preview", files[0], "--sync", f"{files[1]}#VIP buyers", "--audience", "vip", "--records", tmp_path / "r.json"
    )
    mapping = json.loads(files[1].read_text())
    for sync in ("mappings/nw.json#VIP buyers", "nw#vip-buyers", "nw", mapping):
        order = {"sync": sync, "audience": "vip", "records": records}
        shown = (await api.post("/api/destinations/northwind-ads:preview", json=order)).json()
        assert shown == told
    assert shown["requests"][0]["headers"]["Authorization"] == "Bearer ***"
    assert [one["code"] for one in shown["rejected"]] == ["missing_required_field"]
    pair = {"rudderstack": {"config": CONFIG, "connection": CONNECTION}}
    theirs = [{"id": 1, "action": "insert", "identifiers": {"email": PERSON}}]
    shown = (await api.post("/api/destinations/-:preview", json={**pair, "records": theirs})).json()
    assert (shown["requests"][0]["url"], shown["rejected"]) == ("https://api.northwind.example/l/7", [])
    assert "tok-en" not in json.dumps(shown)


async def test_a_draft_cannot_show_the_secrets_of_the_file_in_force(api: httpx.AsyncClient) -> None:
    """Though it says that they are none, and puts them into a body."""
    draft = {
        **NORTHWIND, "auth": {"type": "none"}, "settings": {"NORTHWIND_TOKEN": {"label": "Plain"}}, "samples": [],
        "actions": {"add": {"method": "POST", "path": "/x", "body": {"s": {"@path": "$.settings.NORTHWIND_TOKEN"}}}},
    }  # fmt: skip
    order = {
        "file": draft,
        "sync": "nw",
        "audience": "vip",
        "records": [{"action": "add", "fields": {"email": PERSON}}],
    }
    shown = (await api.post("/api/destinations/-:preview", json=order)).json()
    assert [one["body"] for one in shown["requests"]] == [{}], shown


async def test_a_preview_of_a_broken_definition_refuses_every_record(api: httpx.AsyncClient) -> None:
    """As the command does."""
    order = {"file": {"kind": "http_audience"}, "records": [{"id": "a", "action": "add", "fields": {}}]}
    shown = (await api.post("/api/destinations/-:preview", json=order)).json()
    assert [one["code"] for one in shown["rejected"]] == ["config_invalid"]


async def test_samples_are_tried_and_sent_only_when_told_to(api: httpx.AsyncClient, partner: AudienceApi) -> None:
    """Without `live_sample` the partner hears nothing; with it, the list is as before afterwards."""
    shown = (await api.post("/api/destinations/northwind-ads:test")).json()
    assert (shown["passed"], "live" in shown, len(partner.log)) == (True, False, 0)
    order = {"sync": "nw#VIP buyers", "audience": "vip", "live_sample": 1}
    with capture_logs() as lines:
        shown = (await api.post("/api/destinations/northwind-ads:test", json=order)).json()
    assert [(one["action"], one["outcome"]) for one in shown["live"]] == [("add", "delivered"), ("remove", "delivered")]
    assert (len(partner.log), partner.members("9001")) == (2, frozenset())
    assert [one["event"] for one in lines] == ["destination.live_sampled"]
    assert "example.com" not in json.dumps(lines) + json.dumps(shown["live"])


async def test_an_import_gives_two_files_and_the_names_of_the_secrets(api: httpx.AsyncClient) -> None:
    """Nothing is written, and no secret comes back."""
    order = {"config": CONFIG, "connection": CONNECTION}
    shown = (await api.post("/api/destinations/acme:import", json=order)).json()
    assert (shown["valid"], shown["definition"]["slug"], list(shown["secrets"].values())) == (True, "acme", ["***"])
    assert "tok-en" not in json.dumps(shown)
    again = {"file": shown["definition"]}
    assert (await api.post("/api/destinations/-:check", json=again)).json()["valid"] is True
    shown = (await api.post("/api/destinations/-:import", json={"config": {}})).json()
    assert (shown["valid"], shown["definition"]) == (False, None)


async def test_answers_have_the_shapes_that_the_document_tells(api: httpx.AsyncClient) -> None:
    """Each route's, members and all."""
    from gateway.admin import destinations as shapes

    records = [{"id": 1, "action": "add", "fields": {"email": PERSON}}, {"id": 2, "action": "add", "fields": {}}]
    live = {"sync": "nw", "audience": "vip", "live_sample": 1}
    asked = [
        ("GET", "destinations", None, shapes.DestinationList),
        ("GET", "destinations/northwind-ads/fields", None, shapes.FormFields),
        ("GET", "destinations/taboola/fields", None, shapes.FormFields),
        ("POST", "destinations/northwind-ads:check", {}, shapes.CheckReport),
        ("POST", "destinations/-:check", {"file": {}}, shapes.CheckReport),
        ("POST", "destinations/northwind-ads:preview", {"records": records, "sync": "nw", "audience": "vip"}, shapes.PreviewReport),
        ("POST", "destinations/northwind-ads:test", live, shapes.SamplesReport),
        ("POST", "destinations/-:import", {"config": CONFIG, "connection": CONNECTION}, shapes.ImportReport),
        ("POST", "destinations/-:import", {"config": {}}, shapes.ImportReport),
        ("POST", "lists/nw/vip-buyers/vip:find", {}, shapes.ListFound),
    ]  # fmt: skip
    for method, path, body, shape in asked:
        answer = await api.request(method, f"/api/{path}", json=body)
        assert answer.status_code == 200, answer.text
        msgspec.convert(answer.json(), shape)


REFUSED = [
    ("northwind-ads:send", {}, 404, "unknown_path"),
    ("nowhere:check", {}, 404, "unknown_destination"),
    ("taboola:check", {}, 409, "not_a_definition"),
    ("northwind-ads:check", {"fil": {}}, 400, "invalid_request"),
    ("northwind-ads:check", {"file": {}, "rudderstack": {"config": {}}}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": {}}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": None}, 400, "invalid_request"),
    ("-:preview", {"rudderstack": {"config": CONFIG, "connection": CONNECTION}}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": [{}] * (RECORDS_MAX + 1)}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": [], "sync": "nw#Nobody"}, 404, "unknown_mapping"),
    ("northwind-ads:preview", {"records": [], "sync": "nw"}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": [], "sync": 5}, 400, "invalid_request"),
    ("northwind-ads:preview", {"records": [], "sync": {"mappings": [{"hashing": "x"}]}}, 400, "invalid_request"),
    ("northwind-ads:test", {"live_sample": 1}, 400, "invalid_request"),
    ("northwind-ads:test", {"live_sample": 0, "sync": "nw"}, 400, "invalid_request"),
    ("northwind-ads:test", {"live_sample": 101, "sync": "nw#VIP buyers"}, 400, "invalid_request"),
    ("northwind-ads:test", {"live_sample": 1, "sync": "nw", "file": NORTHWIND}, 400, "invalid_request"),
    ("northwind-ads:test", {"live_sample": 1, "sync": "tb", "audience": "x"}, 400, "invalid_request"),
    ("-:test", {"file": {**NORTHWIND, "samples": []}}, 400, "invalid_request"),
    ("-:import", {}, 400, "invalid_request"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"), REFUSED, ids=[f"{row[0]}-{row[1]!s:.40}" for row in REFUSED]
)
async def test_an_order_that_cannot_be_followed_is_refused_with_a_code(
    api: httpx.AsyncClient, partner: AudienceApi, path: str, body: object, status: int, code: str
) -> None:
    """And a sentence; nothing reaches the partner."""
    answer = await api.post(f"/api/destinations/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["message"]
    assert not partner.log


async def test_a_body_is_bounded_and_needs_the_token(api: httpx.AsyncClient) -> None:
    """Too much is 413, what is no JSON 400, without the token nothing is read."""
    too_much = b'{"file": "' + b"x" * BODY_BYTES_MAX + b'"}'
    assert (await api.post("/api/destinations/x:check", content=too_much)).status_code == 413
    for content in (b"{", b"[" * 100_000, b'{"file": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"\xff"):
        assert (await api.post("/api/destinations/x:check", content=content)).status_code == 400
    for method, path in (
        ("GET", "/api/destinations"),
        ("POST", "/api/destinations/x:check"),
        ("POST", "/api/lists/a/b/c:find"),
    ):
        assert (await api.request(method, path, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_a_list_is_found_made_and_deleted_on_command(api: httpx.AsyncClient, partner: AudienceApi) -> None:
    """What was made is kept, so that nobody asks twice; what was deleted is forgotten."""
    name = "nw/vip-buyers/fresh"

    async def said(verb: str, **order: object) -> object:
        return (await api.post(f"/api/lists/{name}:{verb}", json=order)).json()

    assert await said("find") == {"audience_id": "", "origin": ""}
    with capture_logs() as lines:
        made = await said("create")
    assert made["origin"] == "created"  # type: ignore[index]
    assert [(one["event"], one["change"]) for one in lines] == [("list.changed", "created")]
    kept = {**made, "origin": "kept"}  # type: ignore[dict-item]
    asked = len(partner.log)
    assert (await said("find"), await said("create"), len(partner.log)) == (kept, kept, asked)
    refused = await said("delete")
    assert refused["code"] == "not_confirmed"  # type: ignore[index]
    assert await said("delete", confirm=True) == {**made, "origin": "deleted"}  # type: ignore[dict-item]
    assert partner.list_sizes() == [("Northwind buyers", 0)]
    assert await said("find") == {"audience_id": "", "origin": ""}


async def test_the_list_a_mapping_names_is_that_list(api: httpx.AsyncClient, partner: AudienceApi) -> None:
    """Nobody is asked to find it; deleting it deletes it, and again is no fault."""
    assert (await api.post("/api/lists/nw/vip-buyers/vip:find")).json() == {"audience_id": "9001", "origin": "mapping"}
    assert not partner.log
    for _ in range(2):
        answer = await api.post("/api/lists/nw/VIP buyers/vip:delete", json={"confirm": True})
        assert answer.json() == {"audience_id": "9001", "origin": "deleted"}
    assert partner.list_sizes() == []


LIST_REFUSALS = [
    ("nw/vip-buyers:find", 404, "unknown_list"), ("nw/nobody/vip:find", 404, "unknown_list"),
    ("nw/vip-buyers/fresh:rename", 404, "unknown_path"), ("tb/all/x:delete", 409, "refused"),
    ("nw/vip-buyers/fresh:delete", 409, "audience_not_connected"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status", "code"), LIST_REFUSALS)
async def test_a_list_order_that_cannot_be_followed_is_refused(
    api: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    """With a code and a sentence."""
    answer = await api.post(f"/api/lists/{path}", json={"confirm": True})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_what_the_partner_says_of_a_list_is_told_by_its_status(
    api: httpx.AsyncClient, partner: AudienceApi
) -> None:
    """Refused credentials are for the operator to mend; a partner that is down is a 502."""
    from gateway.sandbox.faults import Status

    for status, answered in ((401, 409), (500, 502), (400, 502)):
        partner.faults.add(Status(target="list", status=status))
        answer = await api.post("/api/lists/nw/vip-buyers/fresh:create")
        assert answer.status_code == answered, answer.text


async def test_the_command_goes_through_the_engine_that_runs(
    api: httpx.AsyncClient, partner: AudienceApi, tmp_path: Path
) -> None:
    """The state is the engine's alone; names with blanks and slashes reach it whole."""
    app = api._transport.app  # type: ignore[attr-defined]
    server = AdminServer(app, host="127.0.0.1", port=0)
    port = await server.start()
    run = RunFile(role="engine", pid=os.getpid(), host="127.0.0.1", port=port)
    write_run_file(tmp_path / "data", run)
    variables = {"GATEWAY_DATA": str(tmp_path / "data"), "GATEWAY_ADMIN_TOKEN": "the-token"}

    async def ran(*words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(
            lambda: CliRunner().invoke(command, words, env=variables, catch_exceptions=False)
        )
        return result.exit_code, result.output

    try:
        with capture_logs():
            assert await ran("find-list", "mappings/nw.json#VIP buyers/vip") == (0, "9001  known from: mapping\n")
            code, text = await ran("create-list", "nw/vip-buyers/any one/else", "--json")
            assert (code, json.loads(text)["origin"]) == (0, "created")
            assert ("any one/else", 0) in partner.list_sizes()
            code, text = await ran("delete-list", "nw/nobody/vip", "--yes")
            assert (code, "names no list" in text) == (2, True)
    finally:
        await server.stop(1.0)


def test_the_command_works_on_lists_without_an_engine(tmp_path: Path) -> None:
    """On the same data folder, so that an engine started later knows what was made."""
    partner = AudienceApi()
    project = tmp_path / "mappings"
    project.mkdir()
    variables = {"GATEWAY_MAPPINGS": str(project), "GATEWAY_DATA": str(tmp_path / "data"), "NW_TOKEN": "sandbox-token"}

    def ran(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(command, words, env=variables, catch_exceptions=False)
        return result.exit_code, result.output

    with SandboxThread([partner], port=0) as server:
        write_project(project, server.url)
        target = f"{project}/nw.json#VIP buyers/fresh"
        assert ran("find-list", target)[0] == 1
        code, text = ran("create-list", target)
        assert (code, "is made" in text, '"external_id"' in text) == (0, True, True)
        code, text = ran("create-list", "nw/vip-buyers/fresh", "--json")
        assert (code, json.loads(text)["origin"]) == (0, "kept")
        assert (ran("find-list", target)[0], ran("delete-list", target)[0]) == (0, 2)
        assert ("Fresh/buyers", 0) in partner.list_sizes()
        assert ran("delete-list", target, "--yes") == (0, f"{json.loads(text)['audience_id']} is deleted\n")
        assert ("Fresh/buyers", 0) not in partner.list_sizes()
        assert ran("find-list", "nw/nobody/fresh")[0] == 2
        (project / "nw.json").write_text("{")
        assert ran("find-list", target)[0] == 2
