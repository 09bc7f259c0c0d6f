"""Hashes that a platform takes and finds nobody by: on the delivery, and in `gateway doctor`, never with a value."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import Walk, environment_of, until

from gateway.sandbox.server import SandboxThread
from gateway.sandbox.taboola import Taboola

CANARY = "quetzalbird@canarymail.example"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# code: what the sender gives for each of two people.
FAULTS: dict[str, tuple[str, str]] = {
    "hash_upper_case": (sha256(CANARY).upper(), sha256("b@example.org")),
    "hash_wrong_algorithm": (hashlib.md5(CANARY.encode(), usedforsecurity=False).hexdigest(), sha256("b@example.org")),
    "hash_of_nothing": (sha256(""), sha256("b@example.org")),
    "hash_not_normalised": ("Quetzalbird@Canarymail.example", sha256("Quetzalbird@Canarymail.example")),
    "hashed_and_plain": (CANARY, sha256("b@example.org")),
    "hashed_twice": (sha256(CANARY), sha256(sha256(CANARY))),
}


@pytest.fixture
def fake() -> Taboola:
    return Taboola()


@pytest.fixture
def walk(tmp_path: Path, fake: Taboola) -> Iterator[Walk]:
    """A project folder that forwards to the sandbox's Taboola, an audience for each fault, a batch a time."""
    with SandboxThread([fake], port=0) as sandbox:
        made = Walk(tmp_path / "project", sandbox.url)
        (made.folder / "mappings" / "stackadapt.json").unlink()
        made.write(
            "taboola.json",
            {
                "destination": "taboola",
                "settings": {
                    "client_id": "sandbox-client",
                    "client_secret": {"$env": "TABOOLA_SECRET"},
                    "backstage_base_url": f"{sandbox.url}/taboola/backstage",
                },
                "mappings": [{"name": "Sync", "audiences": {"*": {"account_id": "demo-advertiser", "create": True}}}],
            },
        )
        yield made
        made.stop()


def event(audience: str, number: int, email: str) -> dict[str, object]:
    return {
        "type": "track", "event": "Audience Entered", "userId": f"{audience}-{number}", "messageId": f"m-{audience}-{number}",
        "properties": {audience: True},
        "context": {
            "traits": {"email": email},
            "personas": {"computation_class": "audience", "computation_key": audience, "computation_id": audience},
        },
    }  # fmt: skip


def test_each_fault_of_hashes_shows_on_its_delivery_and_in_the_doctors_list(
    walk: Walk, fake: Taboola, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people of each kind are sent in one request; every one of them is delivered all the same."""
    monkeypatch.setenv("TABOOLA_SECRET", "sandbox-secret")
    walk.start_ingest()
    walk.start_engine()
    for code, values in FAULTS.items():
        batch = [event(code, number, value) for number, value in enumerate(values)]
        assert walk.post({"batch": batch}, "/v1/batch")[0] == 200
    until(lambda: sum(len(one.members) for one in dict(fake.audiences).values()) >= 2 * len(FAULTS) - 1)

    def asked(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            env=environment_of(walk.folder), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    found = ""

    def is_told() -> bool:
        nonlocal found
        found = asked("doctor")
        return all(code in found for code in FAULTS)

    until(is_told)
    assert "user_email" in found
    warned = {
        code
        for role in walk.roles
        for line in role.text
        if '"delivery.attempted"' in line
        for code in json.loads(line).get("warnings") or ()
    }
    assert warned == set(FAULTS)
    said = [line for role in walk.roles for line in role.text]
    for trace in ("quetzal", "canarymail", sha256(CANARY)):
        assert trace not in "".join([found.casefold(), *said])
