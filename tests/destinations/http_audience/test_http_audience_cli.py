"""`gateway destination`: check, preview, test, fields and import, as a person runs them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from http_audience_cases import SMALL, changed
from test_http_audience_rudderstack import CONFIG, CONNECTION

from gateway.cli.destination import destination
from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.server import SandboxThread

NORTHWIND = Path(__file__).parents[3] / "mappings/destinations/northwind-ads.json"
GOLDEN = Path(__file__).parent / "golden"


def run(*words, **variables):
    """Exit code and what was printed as JSON, or the text."""
    result = CliRunner().invoke(destination, [str(word) for word in words], env=variables, catch_exceptions=False)
    try:
        return result.exit_code, json.loads(result.stdout)
    except ValueError:
        return result.exit_code, result.output


def written(folder, name, value):
    path = folder / name
    path.write_text(json.dumps(value), "utf-8")
    return path


def mapping_file(folder, **settings):
    value = {
        "destination": "northwind-ads",
        "settings": {"NORTHWIND_TOKEN": {"$env": "NW_TOKEN"}, **settings},
        "mappings": [{"name": "VIP buyers", "fields": {"email": {"@path": "$.traits.email"}, "origin": "acme-crm"},
                      "audiences": {"vip": {"external_id": "9001"}}}],
    }  # fmt: skip
    return written(folder, "nw.json", value)


RECORDS = [
    {"id": "m-1", "action": "add", "fields": {"email": "ana@example.com", "ltv": "5"}},
    {"id": "m-2", "action": "remove", "fields": {"email": "ana@example.com"}},
    {"id": "m-3", "action": "add", "fields": {"ltv": "5"}},
]


def test_check_tells_what_a_file_reads():
    """Fields per action and target keys; exit 0."""
    code, shown = run("check", NORTHWIND)
    assert (code, shown["valid"], shown["errors"]) == (0, True, [])
    fields = ["email", "phone", "ltv", "origin"]
    assert shown["record_fields"] == {"add": fields, "update": fields, "remove": ["email"]}
    assert shown["target_keys"] == ["audience_id"]


def test_check_tells_every_problem(tmp_path):
    """With pointer, line and column; exit 2."""
    code, shown = run("check", written(tmp_path, "d.json", changed(SMALL, base_url="x", actions__add__method="BREW")))
    assert (code, shown["valid"]) == (2, False)
    assert [one["pointer"] for one in shown["errors"]] == ["/base_url", "/actions/add/method"]
    assert {one["code"] for one in shown["errors"]} == {"config_invalid"}
    assert run("check", tmp_path / "nothing.json")[0] == 2
    (tmp_path / "bad.json").write_text("{")
    assert run("check", tmp_path / "bad.json")[0] == 2
    assert run("check")[0] == 2


def test_preview_is_as_it_was(tmp_path):
    """Compared with the golden file; nothing is sent, no secret is shown."""
    records = written(tmp_path, "r.json", RECORDS)
    code, shown = run(
        "preview", NORTHWIND, "--sync", f"{mapping_file(tmp_path)}#VIP buyers", "--records", records, NW_TOKEN="hush"
    )
    assert code == 0
    assert shown == json.loads((GOLDEN / "northwind-preview.json").read_text("utf-8"))
    assert "hush" not in json.dumps(shown)
    _, shown = run(
        "preview",
        NORTHWIND,
        "--sync",
        f"{mapping_file(tmp_path)}#vip-buyers",
        "--records",
        records,
        "--show-secrets",
        NW_TOKEN="hush",
    )
    assert {one["headers"]["Authorization"] for one in shown["requests"]} == {"Bearer hush"}


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ({"type": "basic", "username": {"$secret": "U"}, "password": {"$secret": "P"}}, "Basic ***"),
        ({"type": "bearer", "token": {"$secret": "P"}}, "Bearer ***"),
        ({"type": "hmac", "header": "Authorization", "secret": {"$secret": "P"}}, "***"),
        ({"type": "oauth2_client_credentials", "token_url": "/t", "client_id": {"$secret": "U"}, "client_secret": {"$secret": "P"}},
         "Bearer ***"),
    ],
)  # fmt: skip
def test_no_login_is_shown(tmp_path, kind, hidden):
    """Whatever its kind, and whether its secrets are set or not."""
    file, records = written(tmp_path, "d.json", changed(SMALL, auth=kind)), written(tmp_path, "r.json", RECORDS[:1])
    for variables in ({}, {"U": "hush-u", "P": "hush-p"}):
        code, shown = run("preview", file, "--records", records, **variables)
        assert code == 0
        assert shown["requests"][0]["headers"]["Authorization"] == hidden
        assert "hush" not in json.dumps(shown)


def test_preview_without_records_shows_the_samples(tmp_path):
    """Of a definition; a pair has none."""
    code, shown = run("preview", NORTHWIND, "--sync", mapping_file(tmp_path))
    assert (code, len(shown["requests"])) == (0, 2)
    assert [one["record_id"] for one in shown["rejected"]] == ["no-email", "no-number"]
    pair = (written(tmp_path, "c.json", CONFIG), written(tmp_path, "n.json", CONNECTION))
    assert run("preview", "--rudderstack", *pair)[0] == 2


def test_preview_of_a_broken_file_refuses_every_record(tmp_path):
    """With the places to mend; exit 2."""
    file = written(tmp_path, "d.json", changed(SMALL, actions__add__method="BREW"))
    code, shown = run("preview", file, "--records", written(tmp_path, "r.json", RECORDS))
    assert code == 2
    text = shown[shown.index("{\n") :] if isinstance(shown, str) else json.dumps(shown)
    rejected = json.loads(text)["rejected"]
    assert [(one["record_id"], one["code"], one["pointers"]) for one in rejected] == [
        (f"m-{number}", "config_invalid", ["/actions/add/method"]) for number in (1, 2, 3)
    ]


def test_a_rudderstack_pair_can_be_checked_and_previewed(tmp_path):
    """Before anything is moved."""
    pair = (written(tmp_path, "c.json", CONFIG), written(tmp_path, "n.json", CONNECTION))
    code, shown = run("check", "--rudderstack", *pair)
    assert (code, shown["valid"], shown["target_keys"]) == (0, True, ["audience_id", "audience_name"])
    records = written(tmp_path, "r.json", [{"action": "insert", "identifiers": {"email": "a@b.example"}}])
    code, shown = run("preview", "--rudderstack", *pair, "--records", records)
    assert (code, len(shown["requests"]), shown["rejected"]) == (0, 1, [])
    bad = (written(tmp_path, "b.json", {**CONFIG, "actions": {}}), pair[1])
    assert run("check", "--rudderstack", *bad)[0] == 2
    assert run("preview", "--rudderstack", *bad, "--records", records)[0] == 2


def test_import_writes_two_files_and_prints_the_secrets_once(tmp_path):
    """They load; a second import overwrites nothing."""
    pair = (written(tmp_path, "c.json", CONFIG), written(tmp_path, "n.json", CONNECTION))
    code, text = run("import-rudderstack", *pair, "--mappings", tmp_path / "mappings")
    assert code == 0
    assert text.count("tok-en") == 1
    file, mapping = tmp_path / "mappings/destinations/northwind.json", tmp_path / "mappings/northwind.json"
    assert "tok-en" not in file.read_text() + mapping.read_text()
    assert run("check", file)[0] == 0
    assert run("import-rudderstack", *pair, "--mappings", tmp_path / "mappings")[0] == 2
    assert run("import-rudderstack", written(tmp_path, "x.json", {}))[0] == 2
    unusable = written(tmp_path, "u.json", {**CONFIG, "baseUrl": "https://api.northwind.example/v1?key=1"})
    code, text = run("import-rudderstack", unusable, pair[1], "--mappings", tmp_path / "other")
    assert (code, "/destination/baseUrl" in text, (tmp_path / "other").exists()) == (2, True, False)


def test_the_form_lists_the_fields():
    """In the file's order."""
    code, shown = run("fields", NORTHWIND)
    assert code == 0
    assert [(one["name"], one["required"], one["static"], one["identifier"], one["hash"]) for one in shown] == [
        ("email", True, False, True, "sha256"), ("phone", False, False, True, "sha256"), ("ltv", False, False, False, "none"),
        ("origin", False, True, False, "none"),
    ]  # fmt: skip


def test_samples_decide_the_exit_code(tmp_path):
    """0 when all come to what they should, 1 when one does not, 2 without any."""
    assert run("test", NORTHWIND)[0] == 0
    bad = changed(SMALL, samples=[{"id": "x", "action": "add", "fields": {"email": "a"}, "rejected": "empty_record"}])
    code, shown = run("test", written(tmp_path, "d.json", bad))
    assert (code, shown["samples"][0]["got"]) == (1, "sent")
    assert run("test", written(tmp_path, "d.json", SMALL))[0] == 2
    assert run("test", NORTHWIND, "--live-sample", "1")[0] == 2


def test_a_live_sample_is_added_and_removed(tmp_path):
    """At the real list, which is as it was afterwards."""
    partner = AudienceApi()
    with SandboxThread([partner], port=0) as server:
        sync = f"{mapping_file(tmp_path, base_url=f'{server.url}/audience-api/v3')}#"
        code, shown = run("test", NORTHWIND, "--sync", sync, "--live-sample", 2, NW_TOKEN="sandbox-token")
        assert code == 0, shown
        assert [(one["action"], one["outcome"]) for one in shown["live"]] == [
            ("add", "delivered"),
            ("remove", "delivered"),
        ]
        assert partner.members("9001") == frozenset()
        assert run("test", NORTHWIND, "--sync", sync, "--live-sample", 1, NW_TOKEN="wrong")[0] == 1
    assert [request.names for request in partner.log][:2] == [("add",), ("remove",)]


def test_a_mapping_file_is_told_from_a_definition(tmp_path):
    """One sentence, not one for each member that a definition does not have."""
    code, shown = run("check", mapping_file(tmp_path))
    assert (code, len(shown["errors"])) == (2, 1)
    assert "This is a mapping file" in shown["errors"][0]["message"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("#Nobody",), "no mapping of the name `Nobody`; say which as FILE#MAPPING. It has `VIP buyers`."),
        (("#VIP buyers", "--audience", "none"), "serves no audience `none`; it serves `vip`."),
    ],
)
def test_a_setting_that_is_not_there_is_told_with_those_that_are(tmp_path, words, said):
    """Exit 2."""
    sync = f"{mapping_file(tmp_path)}{words[0]}"
    code, text = run("preview", NORTHWIND, "--sync", sync, *words[1:])
    assert (code, said in text.replace("\n", " ")) == (2, True), text


def test_a_preview_without_a_mapping_says_that_no_list_is_named(tmp_path):
    """On standard error, beside the report."""
    result = CliRunner().invoke(destination, ["preview", str(NORTHWIND)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Without --sync" in result.stderr
    assert json.loads(result.stdout)["requests"] == []


def test_an_import_says_what_is_left_to_fill_in(tmp_path):
    """And the two files then pass as they are."""
    config, connection = written(tmp_path, "c.json", CONFIG), written(tmp_path, "n.json", CONNECTION)
    result = CliRunner().invoke(
        destination,
        ["import-rudderstack", str(config), str(connection), "--slug", "acme", "--mappings", str(tmp_path / "m")],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert "your audience's key where `fill in` stands" in result.stdout.replace("\n", " ")
    assert "fill in" in json.loads((tmp_path / "m/acme.json").read_text())["mappings"][0]["audiences"]
