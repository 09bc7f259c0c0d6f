"""sources.json: what a source may say, and every problem it can have."""

import json

import pytest

from gateway.config.files import RawFile
from gateway.config.secrets import SecretSource
from gateway.config.source_files import read_sources
from gateway.core.sources import WebhookAuth

SECRETS = SecretSource(variables={"SHARED": "shared-secret", "OLD": "old-secret"})


def read(value):
    """Sources and problems of a sources.json."""
    return read_sources(RawFile(name="mappings/sources.json", stem="sources", text=json.dumps(value)), SECRETS)


def test_a_whole_source_is_read_with_its_secrets_resolved():
    """Every member lands where it belongs; secrets are lists, any of them may match."""
    sources, problems = read(
        {
            "engage": {
                "kind": "webhook",
                "auth": {"x_signature": [{"$env": "SHARED"}, {"$env": "OLD"}], "header": {"X-Key": {"$env": "SHARED"}}},
                "extras_keys": ["region"],
                "space": "brand-a",
            },
            "site": {
                "kind": "browser",
                "write_keys": ["wk_site_1"],
                "origins": ["https://shop.example.com"],
                "rate_per_s": 50,
            },
        }
    )
    assert problems == []
    assert sources["engage"].auth == WebhookAuth(
        x_signature=("shared-secret", "old-secret"), header=(("x-key", ("shared-secret",)),)
    )
    assert (sources["engage"].extras_keys, sources["engage"].space) == (("region",), "brand-a")
    assert (sources["site"].kind, sources["site"].write_keys, sources["site"].rate_per_s) == (
        "browser",
        ("wk_site_1",),
        50.0,
    )


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kind": "webhook"}, "how its requests are authenticated"),
        ({"kind": "webhook", "auth": {}}, "names no check"),
        ({"kind": "webhook", "auth": {"bearer": ["in-clear"]}}, "in clear"),
        ({"kind": "webhook", "auth": {"bearer": [{"$env": "MISSING"}]}}, "MISSING is not set"),
        ({"kind": "webhook", "auth": {"path_token": [{"$env": "SHARED"}], "tokn": []}}, "`tokn` is not a member"),
        ({"kind": "server"}, "no write key"),
        ({"kind": "sever", "write_keys": ["k"]}, "must be one of server, browser, webhook"),
        ({"write_keys": ["k"], "rate_per_s": -1}, "number from 0"),
        ({"write_keys": ["k"], "membership": {"off": ["E9"]}}, "not a membership rule"),
        ({"write_keys": ["k"], "trust_membership": "yes"}, "true or false"),
        ([], "must be an object"),
    ],
)
def test_a_problem_is_named_with_its_place(entry, says):
    """One bad source, one clear problem with pointer and line."""
    _, problems = read({"one": entry})
    assert any(says in problem.what and problem.pointer.startswith("/one") and problem.line for problem in problems), (
        problems
    )


def test_two_sources_cannot_share_a_write_key():
    """Nobody could tell whose the event is."""
    _, problems = read({"a": {"write_keys": ["wk"]}, "b": {"write_keys": ["wk"]}})
    assert [problem.pointer for problem in problems] == ["/b/write_keys/0"]


def test_webhooks_may_say_that_nothing_is_checked():
    """Only in so many words."""
    sources, problems = read({"open": {"kind": "webhook", "auth": "none"}})
    assert (problems, sources["open"].auth.none) == ([], True)
