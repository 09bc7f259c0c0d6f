"""Acceptance 9: a canary is kept on three lists, refused and erased again; nothing that operators read of it names her."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lists_running import LISTS, ListWalk, Partners, address, write_lists
from walks_running import WAIT_S, Walk, until

from gateway.sandbox.faults import Status
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt.partner_faults import UserErrors
from gateway.sandbox.taboola.partner_faults import Refusal

USER = "uid-canary-7f3a9"
EMAIL = address(USER)
PERSONAL = (
    "canary",
    *(hashlib.new(name, EMAIL.encode()).hexdigest() for name in ("sha256", "md5")),
    "sandbox-secret",
    "sandbox-token",
    "walk-token",
)


def leaks(text: str) -> list[str]:
    """Which of her values a text names, with the words around the first."""
    plain = text.lower()
    return [text[max(0, plain.index(one) - 80) : plain.index(one) + 80] for one in PERSONAL if one in plain]


def test_nothing_that_is_told_of_syncs_names_a_person(tmp_path: Path) -> None:
    """Planned, sent, refused with her address quoted, changed, held, removed, erased: API, commands, metrics and logs."""
    partners = Partners()
    heard: dict[str, str] = {}
    with SandboxThread([partners.stackadapt, partners.taboola, partners.northwind], port=0, upload_port=0) as sandbox:
        walk = Walk(tmp_path / "project", sandbox.url)
        write_lists(walk, sandbox.url, {"mode": "mirror", "schedule": {"manual": True}}, partners)
        try:
            walk.start_ingest(GATEWAY_LOG_LEVEL="debug")
            walk.start_engine(
                TABOOLA_CLIENT="sandbox-client", TABOOLA_SECRET="sandbox-secret", GATEWAY_LOG_LEVEL="debug"
            )
            _live_through(ListWalk(walk, partners), heard)
        finally:
            walk.stop()
    for role in walk.roles:
        role.process.wait(WAIT_S)
        heard[f"log of process {role.process.pid}"] = role.everything()
    assert sum(len(text) for text in heard.values()) > 10_000
    found = {where: leaks(text) for where, text in heard.items() if leaks(text)}
    assert found == {}, found


def _live_through(lists: ListWalk, heard: dict[str, str]) -> None:
    partners, quoted = lists.partners, f"{EMAIL} of {USER} is not valid"
    lists.events(lists.member(USER), lists.member("bob"))
    partners.stackadapt.faults.add(UserErrors(target="upsertProfiles", times=2, message=quoted, path=("input", EMAIL)))
    partners.taboola.faults.add(Refusal(times=5, target="users", message=quoted, offending_field=EMAIL))
    partners.northwind.faults.add(Status(status=400, times=3))
    _listen(lists, heard, "before the first run")
    lists.run(ends_as=("succeeded", "partial", "failed"))
    _listen(lists, heard, "after a refusal")
    for partner in (partners.stackadapt, partners.taboola, partners.northwind):
        partner.faults.clear()
        lists.walk.admin("POST", f"/api/lanes/{partner.name.partition('-')[0]}/probe")
    for name in LISTS:
        assert lists.walk.admin("POST", f"/api/syncs/{name}/sync/vip:retry", {})[0] == 200
    lists.run()
    lists.events(lists.member(USER, is_member=False), lists.member("bob", is_member=False))
    lists.run(ends_as=("held",))
    _listen(lists, heard, "held, as nobody is left")
    _listen_to_commands(lists, heard)
    lists.events({"type": "delete", "userId": USER, "messageId": "m-erase"})
    until(lambda: all(USER not in listed for listed in lists.partners.lists().values()))
    _listen(lists, heard, "erased")


def _listen(lists: ListWalk, heard: dict[str, str], when: str) -> None:
    """All that the API and the commands tell without being asked to reveal anything."""
    walk = lists.walk
    paths = ["/api/syncs", "/api/runs", "/api/alerts", "/api/status", "/api/attempts", "/api/deliveries"]
    runs = walk.admin("GET", "/api/runs")[1]["runs"]
    assert isinstance(runs, list)
    paths += [f"/api/runs/{run['id']}{more}" for run in runs for more in ("", "/log")]
    paths += [f"/api/syncs/{name}/sync/vip{more}" for name in LISTS for more in ("", "/runs", "/problems")]
    for path in paths:
        heard[f"{path} {when}"] = json.dumps(walk.admin("GET", path)[1])
    for name in LISTS:
        heard[f"plan of {name} {when}"] = json.dumps(walk.admin("POST", f"/api/syncs/{name}/sync/vip:plan", {})[1])
        wrong = walk.admin("POST", f"/api/syncs/{name}/sync/vip:run", {"kind": EMAIL, "by": USER})[1]
        heard[f"wrong order {name} {when}"] = json.dumps(wrong)
    heard[f"metrics {when}"] = Walk.metrics(walk.admin_port)


def _listen_to_commands(lists: ListWalk, heard: dict[str, str]) -> None:
    sync = f"{LISTS[0]}/sync/vip"
    commands = [
        ("sync", "list"),
        ("sync", "show", sync),
        ("sync", "plan", sync),
        ("run", "list"),
        ("run", "list", "--json"),
    ]
    commands += [("run", "log", "1"), ("run", "show", "1")]
    for arguments, ran in zip(commands, lists.walk.together(*commands), strict=True):
        assert ran.returncode in (0, 1, 3, 4), ran  # as the run shown has ended
        heard[" ".join(arguments)] = ran.stdout + ran.stderr
