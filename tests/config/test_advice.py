"""What destinations say of their settings and audiences stands in the mapping file's problems; `limits` of a mapping file."""

import json
from pathlib import Path

import pytest

from gateway.config.folder import FolderText, read_folder
from gateway.config.keeper import Keeper
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.rulebook import LaneBounds, Rulebook
from gateway.delivery.worker import may_be_private
from gateway.service.shelf import Shelf

DEFINITION = {
    "kind": "http_audience", "slug": "small", "name": "Small", "base_url": "https://api.small.example",
    "auth": {"type": "bearer", "token": {"$secret": "SMALL_TOKEN"}}, "fields": {"email": {"label": "Email"}},
    "actions": {"add": {"method": "POST", "path": "/p", "batch": {"max_records": 9},
                        "body": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}}},
}  # fmt: skip
SMALL = {"destination": "small", "mappings": [{"name": "All"}]}
STACKADAPT = {
    "destination": "stackadapt-audience", "settings": {"apiKey": {"$env": "TOKEN"}, "advertiser_id": "12a"},
    "mappings": [{"name": "All", "fields": {"marketing_status": "Opted-in"}}],
}  # fmt: skip
TABOOLA = {
    "destination": "taboola", "settings": {"client_id": {"$env": "TOKEN"}, "client_secret": {"$env": "TOKEN"}},
    "mappings": [{"name": "All", "audiences": {"vip/one": {"account_id": "My Account"}, "*": {"account_id": "fine"}}}],
}  # fmt: skip
TRADE_DESK = {
    "destination": "the-trade-desk-crm",
    "settings": {"auth_token": {"$env": "TOKEN"}, "advertiser_id": {"$env": "ADVERTISER"}},
    "mappings": [{"name": "All", "fields": {"pii_type": "Email"}, "audiences": {"*": {"region": "US"}}}],
}  # fmt: skip


def loaded(folder: Path, *, strict: bool = True, **variables: str):
    """The folder as the engine (strict) or `gateway check` loads it."""
    shelf = Shelf(variables)
    secrets = SecretSource(variables=variables, strict=strict)
    return compile_rulebook(read_folder(folder), shelf.definitions, secrets, shelf)


def written(folder: Path, value: object, definition: object = DEFINITION) -> Path:
    (folder / "destinations").mkdir(exist_ok=True)
    (folder / "destinations/small.json").write_text(json.dumps(definition))
    (folder / "one.json").write_text(json.dumps(value, indent=1))
    return folder


def at(settings: dict[str, object], base: dict[str, object] = SMALL, **more: object) -> dict[str, object]:
    return {**base, "settings": settings, **more}


CASES = [  # The file; what the environment has; (pointer, severity) when strict, when not; words of the problem.
    (SMALL, {}, ("/settings", "error"), ("/settings", "warning"), "`SMALL_TOKEN` is neither a setting nor an environment"),
    (SMALL | {"enabled": False}, {}, ("/settings", "warning"), ("/settings", "warning"), "`SMALL_TOKEN` is neither"),
    (SMALL, {"SMALL_TOKEN": "t"}, None, None, ""),
    (at({"SMALL_TOKEN": {"$env": "T"}}), {"T": "t"}, None, None, ""),
    (at({"base_url": "ftp://x"}), {"SMALL_TOKEN": "t"}, ("/settings/base_url", "error"), ("/settings/base_url", "error"),
     "An address begins with"),
    (at({"base_url": "https://u:p@x.example"}), {"SMALL_TOKEN": "t"}, ("/settings/base_url", "error"),
     ("/settings/base_url", "error"), "user name or password"),
    (STACKADAPT, {"TOKEN": "t"}, ("/settings/advertiser_id", "error"), ("/settings/advertiser_id", "error"), "digits only"),
    (TRADE_DESK, {"TOKEN": "té", "ADVERTISER": "abc"}, ("/settings/auth_token", "error"),
     ("/settings/auth_token", "warning"), "printable text without blanks"),
    (STACKADAPT | {"settings": {"apiKey": {"$env": "TOKEN"}, "advertiser_id": "12"}}, {"TOKEN": "canary…"},
     ("/settings/apiKey", "error"), ("/settings/apiKey", "warning"), "`apiKey` holds a character beyond ASCII (the 7. of 7)"),
    (at({"SMALL_TOKEN": {"$env": "T"}}), {"T": "canary\nx"}, ("/settings/SMALL_TOKEN", "error"),
     ("/settings/SMALL_TOKEN", "warning"), "a line break or another control character (the 7. of 8)"),
    (at({"SMALL_TOKEN": {"$env": "T"}}, enabled=False), {"T": "canary\x7f"}, ("/settings/SMALL_TOKEN", "warning"),
     ("/settings/SMALL_TOKEN", "warning"), "control character"),
    (SMALL, {"SMALL_TOKEN": "“canary”"}, ("/settings", "error"), ("/settings", "warning"),
     "`SMALL_TOKEN`, an environment variable, holds a character beyond ASCII (the 1. of 8)"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "variables", "strict", "lenient", "words"), CASES)
def test_what_a_destination_says_of_its_settings_is_a_problem_of_the_file(
    tmp_path, value, variables, strict, lenient, words
):
    """With file, line and pointer. What may be there in time is a warning where secrets may be missing."""
    written(tmp_path, value)
    for is_strict, wanted in ((True, strict), (False, lenient)):
        found = [
            one
            for one in loaded(tmp_path, strict=is_strict, **variables).problems
            if "environment variable T" not in one.what
        ]
        assert [(one.pointer, one.severity) for one in found] == ([wanted] if wanted else [])
        for problem in found:
            assert words in problem.what
            assert "canary" not in str(problem)
            assert problem.file.endswith("one.json")
            assert problem.line > 0


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "basic", "username": "gateway", "password": {"$secret": "SMALL_TOKEN"}},
        {"type": "api_key", "in": "query", "name": "key", "value": {"$secret": "SMALL_TOKEN"}},
        {"type": "hmac", "header": "X-Signature", "secret": {"$secret": "SMALL_TOKEN"}},
    ],
    ids=lambda auth: auth["type"],
)
def test_a_secret_that_no_header_carries_as_it_stands_may_hold_anything(tmp_path, auth):
    """A password goes out in Base64, a key in a URL is encoded, a signature is made from its secret."""
    written(tmp_path, at({"SMALL_TOKEN": {"$env": "T"}}), DEFINITION | {"auth": auth})
    found = loaded(tmp_path, T="pässwort…")
    assert found.problems == ()


def test_an_odd_account_id_is_a_warning_at_its_audience(tmp_path):
    """Taboola's look like words; the entry that looks so is left alone."""
    written(tmp_path, TABOOLA)
    found = loaded(tmp_path, TOKEN="t")
    (problem,) = found.problems
    assert (problem.pointer, problem.severity) == ("/mappings/0/audiences/vip~1one/account_id", "warning")
    assert "`myaccount`" in problem.what
    assert found.value is not None


def test_what_does_not_fit_a_definitions_pattern_is_a_warning_at_its_audience(tmp_path):
    """Everything for that list would be refused; the others get theirs."""
    target = {
        "audience_id": {"label": "List id", "required": True, "pattern": "^[0-9]+$"},
        "region": {"pattern": "^eu$"},
    }
    mapping = {"name": "All", "audiences": {"a": {"external_id": "9001", "region": "eu"}, "b": {"external_id": "x"}}}
    mapping["audiences"] |= {"c": {"region": "us"}, "*": {}}
    found = loaded(written(tmp_path, SMALL | {"mappings": [mapping]}, DEFINITION | {"target": target}), SMALL_TOKEN="t")
    assert found.value is not None
    assert [(one.pointer, one.severity) for one in found.problems] == [
        ("/mappings/0/audiences/b/external_id", "warning"), ("/mappings/0/audiences/c/region", "warning"),
    ]  # fmt: skip


def test_a_file_whose_settings_became_wrong_leaves_the_old_rulebook_in_force(tmp_path):
    """As any broken file does; mended, it counts."""
    folder = tmp_path / "mappings"
    folder.mkdir()
    written(folder, at({"base_url": "https://a.example"}))
    shelf = Shelf({"SMALL_TOKEN": "t"})

    def compiling(text: FolderText):
        return compile_rulebook(text, shelf.definitions, SecretSource(variables={}), shelf)

    keeper: Keeper[Rulebook] = Keeper(folder, tmp_path / "kept", compiling, taken=shelf.take)
    keeper.load()
    first = keeper.value
    written(folder, at({"base_url": "ftp://x"}))
    reloaded = keeper.reload()
    assert (reloaded.changed, keeper.value) == (False, first)
    assert [one.pointer for one in reloaded.problems] == ["/settings/base_url"]
    written(folder, at({"base_url": "https://b.example"}))
    assert keeper.reload().changed


LIMITS = [
    ({}, None), ({"concurrency": 2}, LaneBounds(concurrency=2)),
    ({"requests_per_second": 0.5, "concurrency": 32}, LaneBounds(requests_per_second=0.5, concurrency=32)),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "bounds"), LIMITS)
def test_a_mapping_file_may_bound_its_lane(tmp_path, limits, bounds):
    """Whatever its destination is."""
    found = loaded(written(tmp_path, SMALL | {"limits": limits}), SMALL_TOKEN="t")
    assert found.value is not None
    assert found.value.destinations[0].limits == bounds


BAD_LIMITS = [
    ({"requests_per_s": 5}, "/limits/requests_per_s"), ({"concurrency": 0}, "/limits/concurrency"),
    ({"concurrency": 33}, "/limits/concurrency"), ({"concurrency": 1.5}, "/limits/concurrency"),
    ({"concurrency": True}, "/limits/concurrency"), ({"requests_per_second": 0}, "/limits/requests_per_second"),
    ({"requests_per_second": "5"}, "/limits/requests_per_second"), ([], "/limits"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "pointer"), BAD_LIMITS)
def test_bounds_that_are_wrong_are_refused_with_their_place(tmp_path, limits, pointer):
    """Unknown names and numbers out of range."""
    found = loaded(written(tmp_path, SMALL | {"limits": limits}), SMALL_TOKEN="t")
    assert found.value is None
    assert [one.pointer for one in found.problems] == [pointer]


@pytest.mark.parametrize(
    ("limits", "settings", "private"),
    [({}, {}, False), ({"allow_private": True}, {}, True), ({}, {"base_url": "http://10.0.0.5/v1"}, True)],
)
def test_a_private_network_is_reached_only_where_somebody_wrote_so(tmp_path, limits, settings, private):
    """The definition's author with `allow_private`, or the operator with an address of his own."""
    found = loaded(written(tmp_path, at(settings), DEFINITION | {"limits": limits}), SMALL_TOKEN="t")
    assert found.value is not None, found.problems
    assert may_be_private(found.value.destinations[0]) is private


def test_the_address_for_tokens_is_the_operators_too(tmp_path):
    """Written in the mapping file it may be private, as that of the API may; the definition's own may not."""
    reference = {"$secret": "SMALL_TOKEN"}
    auth = {"type": "oauth2_client_credentials", "client_id": reference, "client_secret": reference}
    auth["token_url"] = "https://login.small.example/token"
    definition = DEFINITION | {"auth": auth, "limits": {"allow_hosts": ["login.small.example"]}}
    for settings, private in (({}, False), ({"token_url": "http://10.0.0.5/token"}, True)):
        found = loaded(written(tmp_path, at(settings), definition), SMALL_TOKEN="t")
        assert found.value is not None, found.problems
        assert may_be_private(found.value.destinations[0]) is private


def test_an_edited_definition_tells_what_has_to_be_rendered_anew_and_what_only_tried_again(tmp_path):
    """Its fields decide what a record is; a template or a limit only what the partner may take now."""
    small = json.loads(json.dumps(DEFINITION))
    kept = json.loads(json.dumps(SMALL)) | {"settings": {"SMALL_TOKEN": {"$env": "T"}}}
    kept["mappings"] = [{"name": "All", "sync": {"mode": "additive"}}]

    def versions(definition: dict[str, object]) -> tuple[str, str]:
        found = loaded(written(tmp_path, kept, definition), T="t").value
        assert found is not None
        (one,) = found.destinations
        return one.mappings[0].version, one.definition.version

    first = versions(small)
    assert versions(json.loads(json.dumps(small, indent=4))) == first
    small["actions"]["add"]["path"] = "/elsewhere"
    templates = versions(small)
    small["fields"]["email"]["hash"] = "sha256"
    fields = versions(small)
    assert (templates[0], fields[0] == first[0]) == (first[0], False)
    assert len({first[1], templates[1], fields[1]}) == 3
