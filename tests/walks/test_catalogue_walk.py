"""Shipped definitions through the whole gateway: forwarded, mirrored, uploaded whole; the platform's list is the audience."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from walks_running import Walk, environment_of, until

from gateway.core.identifiers import sha256_hex
from gateway.destinations.http_audience.loading import CATALOG
from gateway.sandbox.faults import Reset, Status, Timeout
from gateway.sandbox.platforms import GoogleAds, HubSpot, Meta
from gateway.sandbox.platforms.google_ads import GoogleRefusal
from gateway.sandbox.server import SandboxThread

Begin = Callable[[dict[str, Any]], None]


@pytest.fixture
def partners() -> tuple[HubSpot, GoogleAds, Meta]:
    return HubSpot(), GoogleAds(), Meta()


@pytest.fixture
def url(partners: tuple[HubSpot, GoogleAds, Meta]) -> Iterator[str]:
    with SandboxThread(partners, port=0) as sandbox:
        yield sandbox.url


@pytest.fixture
def walk(tmp_path: Path, url: str) -> Iterator[Walk]:
    """A project folder without a mapping file."""
    made = Walk(tmp_path / "project", url)
    (made.folder / "mappings" / "stackadapt.json").unlink()
    yield made
    made.stop()


def secret(walk: Walk, text: str) -> dict[str, str]:
    """A reference to a file that holds this."""
    path = walk.folder / f"secret-{text}"
    path.write_text(text)
    return {"$file": str(path)}


def emails(numbers: range) -> set[str]:
    """Of these people."""
    return {f"person{number}@example.com" for number in numbers}


def send(walk: Walk, numbers: range, *, is_member: bool = True) -> None:
    """What a CDP says of these people, a hundred at a time."""
    events = [
        {
            "type": "identify",
            "userId": f"u-{number}",
            "messageId": f"m-{number}-{is_member}",
            "traits": {"email": f"Person{number}@Example.com", "vip": is_member},
            "context": {
                "personas": {"computation_class": "audience", "computation_key": "vip", "computation_id": "aud_vip"}
            },
        }
        for number in numbers
    ]
    for start in range(0, len(events), 100):
        assert walk.post({"batch": events[start : start + 100]}, "/v1/batch")[0] == 200


def gateway(walk: Walk, *arguments: str) -> tuple[int, str]:
    """A command in the walk's folder: exit code, and all it said."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment_of(walk.folder), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def audience_size(walk: Walk) -> int:
    """How many members the engine knows of."""
    code, text = gateway(walk, "sync", "list", "--json")
    shown = json.loads(text) if code == 0 and text.strip().startswith("[") else []
    return int(shown[0]["audience_size"]) if shown else 0


def run(walk: Walk, name: str, size: int) -> None:
    """Run the sync once the engine knows of so many members."""

    until(lambda: audience_size(walk) == size)
    code, text = gateway(walk, "sync", "run", name, "--wait")
    assert code == 0, text


def assert_private(walk: Walk) -> None:
    """No line of any process names anybody."""
    assert "@example.com" not in "".join("".join(role.text) for role in walk.roles).lower()


def test_events_forwarded_to_hubspot_make_its_list(
    walk: Walk, url: str, partners: tuple[HubSpot, GoogleAds, Meta]
) -> None:
    """By email to contacts to the list, while HubSpot is busy, breaks a connection, and finds one of them wrong."""
    hubspot = partners[0]
    hubspot.configure(b'{"refused_people": ["person7@example.com"], "calls_max": null}')
    walk.write(
        "hubspot.json",
        {
            "destination": "hubspot-list",
            "settings": {"access_token": secret(walk, "sandbox-token"), "base_url": f"{url}/hubspot"},
            "mappings": [{"name": "VIP", "audiences": {"vip": {"external_id": "4711"}}}],
        },
    )
    hubspot.faults.add(Status(status=503, target="add"))
    hubspot.faults.add(Reset(carried_out=True, target="add"))
    walk.start_ingest()
    walk.start_engine()
    send(walk, range(260))
    wanted = emails(range(260)) - {"person7@example.com"}
    hubspot.changes.wait_for_blocking(lambda: set(hubspot.members("4711")) == wanted, 60.0)
    send(walk, range(100, 200), is_member=False)
    wanted -= emails(range(100, 200))
    hubspot.changes.wait_for_blocking(lambda: set(hubspot.members("4711")) == wanted, 60.0)
    assert_private(walk)


def test_a_mirror_at_google_is_equal_after_every_run(
    walk: Walk, url: str, partners: tuple[HubSpot, GoogleAds, Meta]
) -> None:
    """Some leave, others come; the token expires in between, and the quota is used up once."""
    google = partners[1]
    walk.write(
        "google.json",
        {
            "destination": "google-ads-customer-match",
            "settings": {
                **{name: secret(walk, f"sandbox-{text}") for name, text in
                   (("client_id", "client"), ("client_secret", "secret"), ("refresh_token", "refresh"))},
                "customer_id": "1234567890",
                "login_customer_id": "1234567890",
                "terms_of_service": "ACCEPTED",
                "base_url": f"{url}/google-ads/v1",
                "token_url": f"{url}/google-ads/token",
            },
            "mappings": [
                {
                    "name": "VIP",
                    "sync": {"mode": "mirror", "schedule": {"daily": "03:00"}},
                    "audiences": {"vip": {"external_id": "8181000111"}},
                }
            ],
        },
    )  # fmt: skip
    walk.start_ingest()
    walk.start_engine()
    send(walk, range(240))
    run(walk, "google/vip/vip", 240)
    assert google.members("8181000111") == {sha256_hex(one) for one in emails(range(240))}
    google.expire_tokens()
    google.faults.add(GoogleRefusal(case="quota", target="remove"))
    send(walk, range(60), is_member=False)
    send(walk, range(240, 300))
    run(walk, "google/vip/vip", 240)
    assert google.members("8181000111") == {sha256_hex(one) for one in emails(range(60, 300))}
    assert google.counts()["tokens"] == 2
    assert_private(walk)


@pytest.fixture
def hundreds(walk: Walk, url: str, partners: tuple[HubSpot, GoogleAds, Meta]) -> Meta:
    """Whole lists at Meta by a file of the user's own: a hundred people a request."""
    definition = json.loads((CATALOG / "facebook-custom-audience-replace.json").read_text("utf-8"))
    definition |= {"slug": "meta-hundreds", "names": []}
    definition["actions"]["replace"]["batch"]["max_records"] = 100
    place = walk.folder / "mappings" / "destinations" / "meta-hundreds.json"
    place.parent.mkdir()
    place.write_text(json.dumps(definition))
    walk.write(
        "meta.json",
        {
            "destination": "meta-hundreds",
            "settings": {"access_token": secret(walk, "sandbox-token"), "base_url": f"{url}/meta/v26.0"},
            "mappings": [{"name": "VIP", "audiences": {"vip": {"external_id": "23850000000001"}}}],
        },
    )
    return partners[2]


def test_a_definition_of_whole_lists_replaces_the_list_in_a_session(walk: Walk, hundreds: Meta) -> None:
    """Each run uploads everybody, whoever was there before; a fault is got over, and a plan says what will be."""
    hundreds.lists["23850000000001"].put(["somebody-from-before"], {})
    walk.start_ingest()
    walk.start_engine()
    send(walk, range(350))
    run(walk, "meta/vip/vip", 350)
    assert known(hundreds) == emails(range(350))
    assert [one.names for one in hundreds.log] == [("replace",)] * 4
    send(walk, range(60), is_member=False)
    hundreds.faults.add(Status(status=503, target="replace"))
    run(walk, "meta/vip/vip", 290)
    assert known(hundreds) == emails(range(60, 350))
    assert parts(hundreds) == [1, 2, 3, 4, 1, 1, 2, 3]
    assert len(sessions(hundreds)) == 2
    code, text = gateway(walk, "sync", "plan", "meta/vip/vip", "--json")
    assert (code, json.loads(text)["planned"]) == (0, {"update": 290})
    assert len(hundreds.log) == 8
    assert_private(walk)


def test_an_upload_whose_engine_was_killed_goes_on_in_its_session(walk: Walk, hundreds: Meta) -> None:
    """kill -9 while the third of four requests has no answer: the next engine sends the third and the fourth."""
    replaced, calls = hundreds._replace, 0

    def third_hangs(call: Any, list_id: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            hundreds.faults.add(Timeout(target="replace"))
        return replaced(call, list_id)

    hundreds._replace = third_hangs  # type: ignore[method-assign]
    walk.start_ingest()
    walk.start_engine()
    send(walk, range(350))
    until(lambda: audience_size(walk) == 350)
    assert gateway(walk, "sync", "run", "meta/vip/vip")[0] == 0
    hundreds.changes.wait_for_blocking(lambda: len(hundreds.log) == 3 and not hundreds.faults.armed, 60.0)
    assert walk.engine is not None
    walk.engine.kill()
    hundreds.faults.clear()
    walk.start_engine()
    walk.engine.wait_for("run.finished", status="succeeded")
    assert known(hundreds) == emails(range(350))
    assert parts(hundreds) == [1, 2, 3, 3, 4]
    assert len(sessions(hundreds)) == 1


def parts(meta: Meta) -> list[int]:
    """The number of each request in its session."""
    return [json.loads(one.body or b"{}")["session"]["batch_seq"] for one in meta.log]


def sessions(meta: Meta) -> set[int]:
    """The sessions there were."""
    return {json.loads(one.body or b"{}")["session"]["session_id"] for one in meta.log}


def known(meta: Meta) -> set[str]:
    """Who is on the list, by address: whoever sends a number also sends an id, so ids come first there."""
    rows = meta.lists["23850000000001"].people.values()
    digests = {row[1] for row in rows if isinstance(row, list)}
    by_digest = {sha256_hex(one): one for one in emails(range(400))}
    assert len(rows) == len(digests)
    return {by_digest[str(digest)] for digest in digests}
