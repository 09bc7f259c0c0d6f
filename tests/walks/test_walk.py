"""The whole walk with real processes: event in, delivery out; files edited while it runs; starts, stops and supervision."""

import hashlib
import hmac
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from walks_running import WAIT_S, Walk, audience_event

from gateway.config.keeper import LOOK_EVERY_MS
from gateway.sandbox.faults import Timeout
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt import StackAdapt

SECRET = "engage-shared-secret"


@pytest.fixture(scope="module")
def shop_partner() -> StackAdapt:
    """The fake StackAdapt behind the gateway that the first tests share."""
    return StackAdapt()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shop_partner: StackAdapt) -> Iterator[Walk]:
    """One running gateway, both roles; each test leaves its files as it found them."""
    with SandboxThread([shop_partner], port=0, upload_port=0) as sandbox:
        made = Walk(tmp_path_factory.mktemp("shop") / "project", sandbox.url)
        try:
            made.start_ingest(ENGAGE_SECRET=SECRET)
            made.start_engine(ENGAGE_SECRET=SECRET)
            yield made
        finally:
            made.stop()


def profiles(partner: StackAdapt) -> dict[str, dict[str, object]]:
    """The latest profile that the partner took of each user id."""
    found: dict[str, dict[str, object]] = {}
    with partner.changes.reading():
        requests = [request for request in partner.log if request.is_done]
    for request in requests:
        for field in partner.describe(request)["fields"]:
            for profile in (field["arguments"].get("input") or {}).get("profiles") or []:
                found[profile["userId"]] = profile
    return found


def arrives(partner: StackAdapt, user: str) -> dict[str, object]:
    """Wait until the partner has taken the person; the profile."""
    partner.changes.wait_for_blocking(lambda: user in profiles(partner), WAIT_S)
    return profiles(partner)[user]


def send(walk: Walk, user: str, *, is_member: bool = True, **traits: object) -> None:
    """One accepted event of a person."""
    event = audience_event(user, is_member=is_member, message_id=f"{user}-{is_member}", **traits)
    assert walk.post(event, "/v1/identify") == (200, {"success": True})


def test_an_event_goes_in_and_the_partners_list_follows(shop: Walk, shop_partner: StackAdapt) -> None:
    """Two people enter, one leaves."""
    for user, is_member in (("ann", True), ("bob", True), ("bob", False)):
        send(shop, user, is_member=is_member)
    shop_partner.changes.wait_for_blocking(
        lambda: len(profiles(shop_partner)) == 2 and shop_partner.members("aud_cart_rescue") == {"ann@example.com"},
        WAIT_S,
    )
    assert shop_partner.violations == ()


def test_an_edit_counts_from_the_next_delivery_on(shop: Walk, shop_partner: StackAdapt) -> None:
    """A field is added to the file while both processes run; the first event after the swap carries it."""
    assert shop.engine is not None
    before = shop.read("stackadapt.json")
    swaps = shop.engine.count("rulebook.swapped")
    send(shop, "before-edit", city="Ghent")
    assert "shirt" not in json.dumps(arrives(shop_partner, "before-edit"))
    edited = json.loads(json.dumps(before))
    edited["mappings"][0]["fields"]["custom_user_properties"] = [
        {"name": "shirt", "type": "STRING", "value": {"@path": "$.traits.shirt"}}
    ]
    shop.write("stackadapt.json", edited)
    shop.engine.wait_for("rulebook.swapped", times=swaps + 1)
    send(shop, "after-edit", shirt="large")
    assert "shirt" in json.dumps(arrives(shop_partner, "after-edit"))
    shop.write("stackadapt.json", before)
    shop.engine.wait_for("rulebook.swapped", times=swaps + 2)


def test_a_broken_edit_keeps_the_old_rules_and_says_where(shop: Walk, shop_partner: StackAdapt) -> None:
    """Log and /readyz name file, line and column; deliveries go on; mending the file is told, and counts."""
    assert shop.engine is not None
    before = (shop.folder / "mappings" / "stackadapt.json").read_text()
    refusals, swaps = shop.engine.count("rulebook.refused"), shop.engine.count("rulebook.swapped")
    shop.write("stackadapt.json", '{\n  "name": "StackAdapt",\n  "destination": stackadapt-audience"\n}')
    said = str(shop.engine.wait_for("rulebook.refused", times=refusals + 1)["problems"])
    assert "stackadapt.json" in said
    assert "(line 3, column 18)" in said
    status, ready = shop.admin("GET", "/readyz")
    assert (status, ready["status"]) == (200, "ready")
    (problem,) = ready["problems"]
    assert (Path(problem["file"]).name, problem["line"], problem["column"]) == ("stackadapt.json", 3, 18)
    send(shop, "while-broken")
    assert arrives(shop_partner, "while-broken")["email"] == "while-broken@example.com"
    shop.write("stackadapt.json", before)
    shop.engine.wait_for("rulebook.mended")
    assert shop.admin("GET", "/readyz")[1]["problems"] == []
    shop.write("stackadapt.json", before.replace('"12345"', '"54321"'))
    shop.engine.wait_for("rulebook.swapped", times=swaps + 1)
    send(shop, "after-mending")
    arrives(shop_partner, "after-mending")
    assert "54321" in str([shop_partner.describe(request) for request in shop_partner.log.latest(1)])
    shop.write("stackadapt.json", before)
    shop.engine.wait_for("rulebook.swapped", times=swaps + 2)


def test_a_folder_put_anew_is_followed_too(shop: Walk) -> None:
    """A deployment that moves a whole new folder into place is noticed, also by a change after that."""
    assert shop.engine is not None
    swaps = shop.engine.count("rulebook.swapped")
    folder = shop.folder / "mappings"
    fresh = shop.folder / "fresh"
    fresh.mkdir()
    text = (folder / "stackadapt.json").read_text()
    (fresh / "stackadapt.json").write_text(text.replace('"StackAdapt"', '"StackAdapt anew"'))
    folder.rename(shop.folder / "old")
    fresh.rename(folder)
    shop.engine.wait_for("rulebook.swapped", times=swaps + 1)
    shop.write("stackadapt.json", text)
    shop.engine.wait_for("rulebook.swapped", times=swaps + 2)
    assert LOOK_EVERY_MS < WAIT_S * 1000


def test_sources_are_reloaded_and_hold_senders_to_their_credentials(shop: Walk, shop_partner: StackAdapt) -> None:
    """A new write key works, an unknown one is refused, a webhook needs its signature; a broken file changes nothing."""
    assert shop.ingest is not None
    assert shop.engine is not None
    swaps = shop.ingest.count("sources.swapped")
    of_engine = shop.engine.count("rulebook.swapped")
    shop.write(
        "sources.json",
        {
            "server": {"kind": "server", "write_keys": ["wk_server"]},
            "engage": {"kind": "webhook", "auth": {"x_signature": [{"$env": "ENGAGE_SECRET"}]}},
        },
    )
    shop.ingest.wait_for("sources.swapped", times=swaps + 1)
    shop.engine.wait_for("rulebook.swapped", times=of_engine + 1)
    event = audience_event("signed", is_member=True, message_id="signed-1")
    body = json.dumps(event).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    statuses = [
        shop.exchange(event, "/v1/identify", key="wk_server").status,
        shop.exchange(event, "/v1/identify", key="wk_other").status,
        shop.exchange(body, "/webhook/engage", key="", headers={"X-Signature": signature}).status,
        shop.exchange(body, "/webhook/engage", key="", headers={"X-Signature": signature[::-1]}).status,
        shop.exchange(body, "/webhook/engage", key="").status,
        shop.exchange(body, "/webhook/nobody", key="").status,
    ]
    assert statuses == [200, 401, 200, 401, 401, 404]
    arrives(shop_partner, "signed")
    shop.write("sources.json", '{"server": {"kind": "sever", "write_keys": ["wk_server"]}}')
    shop.ingest.wait_for("sources.refused")
    ready = shop.exchange(b"", "/readyz", method="GET")
    assert (ready.status, ready.json["ready"]) == (200, True)
    assert "sources.json#/server/kind (line 1, column 21)" in str(ready.json["problems"])
    assert shop.exchange(event, "/v1/identify", key="wk_server").status == 200
    (shop.folder / "mappings" / "sources.json").unlink()
    shop.ingest.wait_for("sources.swapped", times=swaps + 2)
    shop.engine.wait_for("rulebook.swapped", times=of_engine + 2)


def test_a_second_writer_of_the_same_folder_is_refused(shop: Walk) -> None:
    """Of either file; the sentence names the file and the process that has it."""
    assert shop.ingest is not None
    assert shop.engine is not None
    attempts = [
        (shop.spawn("--role", "ingest"), shop.ingest, "inbox-0"),
        (shop.spawn("--role", "engine"), shop.engine, "state.db"),
    ]
    for second, holder, file in attempts:
        assert second.process.wait(WAIT_S) == 2
        said = second.everything()
        assert str(shop.folder / "data" / file) in said
        assert f"(pid {holder.process.pid})" in said


def test_a_port_that_is_taken_is_named(shop: Walk, tmp_path: Path) -> None:
    """Of ingest or of the engine, with the setting that changes it."""
    attempts = [
        (shop.spawn("--role", role, GATEWAY_DATA=str(tmp_path / role), **{variable: str(port)}), variable, port)
        for role, variable, port in (
            ("ingest", "GATEWAY_PORT", shop.port),
            ("engine", "GATEWAY_ADMIN_PORT", shop.admin_port),
        )
    ]
    for second, variable, port in attempts:
        assert second.process.wait(WAIT_S) == 2
        assert f"port {port}" in second.everything()
        assert variable in second.everything()


def test_a_public_address_without_sources_is_refused(shop: Walk, tmp_path: Path) -> None:
    """Without sources anyone could send anything, so that only this machine may reach the port."""
    open_to_all = shop.spawn("--role", "ingest", GATEWAY_DATA=str(tmp_path / "data"), GATEWAY_HOST="0.0.0.0")
    assert open_to_all.process.wait(WAIT_S) == 2
    assert "no sources are configured" in open_to_all.everything()


def test_broken_files_at_a_first_start_refuse_it_with_every_problem(walk: Walk) -> None:
    """`serve` ends with 2; each problem of each file is printed with its place."""
    walk.write("stackadapt.json", '{"destination": "stackadapt-audience", "settings": {}, "mapings": []}')
    walk.write("other.json", '{"destination": "nowhere", "mappings": [{"name": "x"}],\n "mappings": []}')
    walk.write("third.json", "{")
    walk.write("sources.json", '{"site": {"kind": "browser"}}')
    role = walk.spawn()
    assert role.process.wait(WAIT_S) == 2
    said = role.everything()
    for part in (
        "stackadapt.json#/mapings",
        "Did you mean `mappings`?",
        "The setting `apiKey`",
        "other.json#/destination",
        "There is no destination `nowhere`.",
        "stands here twice",
        "third.json",
        "This is not JSON",
        "sources.json#/site",
        "no write key",
    ):
        assert part in said, said
    assert not (walk.folder / "data" / "last-good" / "rulebook" / "current").exists()


def test_files_broken_at_a_restart_leave_the_last_good_ones_in_force(walk: Walk, partner: StackAdapt) -> None:
    """`--single` starts on the copy it kept, says so, and delivers; without any folder, too."""
    role = walk.serve("--single")
    send(walk, "first")
    arrives(partner, "first")
    assert role.stop() == 0
    walk.write("stackadapt.json", "{}")
    walk.write("sources.json", "[]")
    again = walk.serve("--single")
    again.wait_for("rulebook.refused")
    again.wait_for("sources.refused")
    status, ready = walk.admin("GET", "/readyz")
    assert status == 200
    assert len(ready["problems"]) >= 2
    assert walk.exchange(b"", "/readyz", method="GET").json["problems"] != []
    send(walk, "second")
    arrives(partner, "second")
    assert again.stop() == 0
    (walk.folder / "mappings").rename(walk.folder / "away")
    third = walk.serve("--single")
    send(walk, "third")
    arrives(partner, "third")
    assert third.stop() == 0


def test_a_data_folder_that_is_a_file_is_refused_with_a_sentence(walk: Walk) -> None:
    """Nothing could be kept there; even root cannot make it a folder."""
    (walk.folder / "data").write_text("not a folder")
    role = walk.spawn("--single")
    assert role.process.wait(WAIT_S) == 2
    assert "cannot be the data folder: it is a file" in role.everything()


class Pump(threading.Thread):
    """Sends one event after the other until told to stop; remembers what was answered 200."""

    def __init__(self, walk: Walk, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self.walk = walk
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            user = f"{self.name}-{number}"
            try:
                status, _ = self.walk.post(audience_event(user, is_member=True, message_id=user), "/v1/identify")
            except (OSError, ValueError):
                return  # the port is closed
            if status == 200:
                self.accepted.append(user)
            else:
                self.refused.append(status)


def test_a_stop_under_load_is_in_time_and_loses_nothing(walk: Walk, partner: StackAdapt) -> None:
    """SIGTERM while senders send and the partner hangs: exit code 0 in time, 503 at worst; after a start all arrive."""
    stop_s = 4
    role = walk.serve(GATEWAY_STOP_S=str(stop_s))
    send(walk, "warm")
    arrives(partner, "warm")
    partner.faults.add(Timeout(times=None, carried_out=False))
    pumps = [Pump(walk, f"pump{number}") for number in range(4)]
    for pump in pumps:
        pump.start()
    shown = partner.faults.shown
    partner.changes.wait_for_blocking(lambda: partner.faults.shown > shown, WAIT_S)
    role.process.send_signal(signal.SIGTERM)
    assert role.process.wait(10) == 0
    for pump in pumps:
        pump.ended.set()
        pump.join(WAIT_S)
    assert {status for pump in pumps for status in pump.refused} <= {503}
    assert role.count("role.killed") == 0
    assert not list((walk.folder / "data" / "run").iterdir())
    accepted = {user for pump in pumps for user in pump.accepted}
    assert accepted
    partner.faults.clear()
    walk.serve()
    partner.changes.wait_for_blocking(lambda: accepted <= set(profiles(partner)), WAIT_S)


def pids(walk: Walk) -> dict[str, int]:
    """Process ids of the roles, as the run files tell them."""
    folder = walk.folder / "data" / "run"
    return {path.stem: json.loads(path.read_bytes())["pid"] for path in folder.glob("*.json")}


def test_the_supervisor_restarts_what_dies_and_takes_all_along_when_it_dies(walk: Walk, partner: StackAdapt) -> None:
    """kill -9 of each child brings a new one; kill -9 of the supervisor ends the children by themselves."""
    role = walk.serve()
    before = pids(walk)
    for name in ("engine", "ingest-0"):
        os.kill(before[name], signal.SIGKILL)
    role.wait_for("role.ended", times=2)
    walk.port = int(str(role.wait_for("ingest.started", times=2)["port"]))
    role.wait_for("engine.started", times=2)
    after = pids(walk)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    send(walk, "after-restart")
    arrives(partner, "after-restart")
    role.process.kill()
    role.process.wait(WAIT_S)
    role.wait_for("engine.stopped")
    role.wait_for("ingest.stopped")
    assert role.everything()  # comes back once nobody holds the log any more: all have ended


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_several_ingest_processes_share_the_port_and_one_engine_reads_them_all(walk: Walk, partner: StackAdapt) -> None:
    """Connections go to either process; each keeps its own file; everything is delivered, and the backlog is nothing."""
    role = walk.serve(GATEWAY_INGEST_PROCESSES="2", GATEWAY_PORT=str(free_port()))
    role.wait_for("ingest.started", times=2)
    sent: list[str] = []
    while len(list((walk.folder / "data").glob("inbox-*.db"))) < 2 or len(sent) < 40:
        sent.append(f"person-{len(sent)}")
        send(walk, sent[-1])
        assert len(sent) < 400
    partner.changes.wait_for_blocking(lambda: set(sent) == set(profiles(partner)), WAIT_S)
    status = walk.admin("GET", "/api/status")[1]
    assert (status["ready"], status["backlog_frames"], status["problems"]) == (True, 0, [])
    assert status["lanes"][0]["standing"] in ("idle", "sending")
    assert role.stop() == 0


def test_settings_that_contradict_each_other_are_told(walk: Walk) -> None:
    """--single with a role or with several processes; several processes without a port."""
    attempts = [
        (walk.spawn("--single", "--role", "engine"), "--single"),
        (walk.spawn("--single", GATEWAY_INGEST_PROCESSES="2", GATEWAY_PORT="8080"), "GATEWAY_INGEST_PROCESSES"),
        (walk.spawn(GATEWAY_INGEST_PROCESSES="2"), "GATEWAY_PORT must name it"),
        (walk.spawn(GATEWAY_PROT="1"), "GATEWAY_PROT is not a setting"),
    ]
    for role, says in attempts:
        assert role.process.wait(WAIT_S) == 2
        assert says in role.everything()
