"""Full disks, locks, rights and a partner that is down, slow or lying, through the whole system: nothing accepted is lost."""

import ctypes
import json
import os
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from walks_running import WAIT_S, Role, Walk, audience_event, until

from gateway.sandbox.faults import Bandwidth, Down, Latency, Reset, Slices, SlowClose, Status, Truncate
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.stackadapt.partner_faults import Errors, UserErrors

LANE = "stackadapt"
NO_LIMIT = resource.RLIM_INFINITY
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture(scope="module")
def shop_partner() -> StackAdapt:
    """The fake StackAdapt that is told to fail."""
    return StackAdapt()


@pytest.fixture(scope="module")
def running_shop(tmp_path_factory: pytest.TempPathFactory, shop_partner: StackAdapt) -> Iterator[Walk]:
    """One running gateway, both roles."""
    with SandboxThread([shop_partner], port=0, upload_port=0) as sandbox:
        made = Walk(tmp_path_factory.mktemp("faults") / "project", sandbox.url)
        try:
            made.start_ingest()
            made.start_engine(SECOND_TOKEN="second-token")
            yield made
        finally:
            made.stop()


@pytest.fixture
def shop(running_shop: Walk, shop_partner: StackAdapt) -> Iterator[Walk]:
    """The running gateway, its lane free and its partner well again after each test."""
    yield running_shop
    shop_partner.faults.clear()
    assert running_shop.admin("POST", f"/api/lanes/{LANE}/resume")[0] == 200


def send(walk: Walk, user: str) -> int:
    """The status of one event of a person who enters."""
    return walk.post(audience_event(user, is_member=True, message_id=f"in-{user}"), "/v1/identify")[0]


def arrives(partner: StackAdapt, *users: str) -> None:
    """Wait until the partner's list holds them all."""
    wanted = {f"{user}@example.com" for user in users}
    partner.changes.wait_for_blocking(lambda: wanted <= partner.members("aud_cart_rescue"), WAIT_S)


def engine_of(walk: Walk) -> Role:
    """The engine's process."""
    assert walk.engine is not None
    return walk.engine


def ingest_of(walk: Walk) -> Role:
    """The ingest process."""
    assert walk.ingest is not None
    return walk.ingest


def newest(walk: Walk) -> dict[str, object]:
    """The delivery that was owed last."""
    *_, found = walk.admin("GET", f"/api/deliveries?lane={LANE}")[1]["deliveries"]
    return found


def lane(walk: Walk) -> dict[str, object]:
    """The lane as the API shows it."""
    (found,) = walk.admin("GET", "/api/lanes")[1]["lanes"]
    return found


@pytest.mark.parametrize(
    "fault",
    [
        Down(),
        Reset(),
        Reset(when="during"),
        Truncate(),
        Status(status=500),
        Status(status=503, body="html"),
        Status(status=200, body="html"),
        Status(status=200, body="empty"),
        Status(status=204, body="empty"),
        Latency(delay_s=0.3),
        Bandwidth(bytes_per_s=500),
        Slices(slice_bytes=8),
        SlowClose(delay_s=0.3),
    ],
    ids=lambda fault: f"{fault.kind}-{getattr(fault, 'status', getattr(fault, 'when', ''))}",
)
def test_a_partner_that_is_down_slow_or_lying_gets_it_again_until_it_has_it(
    shop: Walk, shop_partner: StackAdapt, fault: object
) -> None:
    """One request meets the fault; the person is on the list in the end, and nothing is dead."""
    user = f"user-{shop_partner.faults.shown}-{len(shop_partner.log)}"
    shop_partner.faults.add(fault)
    assert send(shop, user) == 200
    arrives(shop_partner, user)
    assert lane(shop)["dead"] == 0
    assert (
        shop.admin("POST", f"/api/lanes/{LANE}/resume")[0] == 200
    )  # forgets the failures, so that the breaker stays shut


def test_what_the_partner_refuses_ends_dead_with_its_cause_and_can_be_retried(
    shop: Walk, shop_partner: StackAdapt
) -> None:
    """`userErrors` in a 200: the delivery is dead, `gateway dead` tells why; after mending, `gateway retry` delivers it."""
    ends = engine_of(shop).count("delivery.attempted", outcome="refused")
    shop_partner.faults.add(UserErrors(target="upsertProfiles", times=None))
    shop_partner.faults.add(Errors(times=None, message="Something is wrong with this document"))
    assert send(shop, "refused") == 200
    engine_of(shop).wait_for("delivery.attempted", outcome="refused", times=ends + 1)
    until(lambda: lane(shop)["dead"] == 1)
    shop_partner.faults.clear()
    dead = shop.command("dead", "--json")
    assert dead.returncode == 0, dead.stderr
    assert LANE in dead.stdout
    retried = shop.command("retry", "--lane", LANE)
    assert (retried.returncode, retried.stdout.strip()) == (0, "1 due again")
    arrives(shop_partner, "refused")
    assert shop_partner.violations == ()
    assert lane(shop)["dead"] == 0


def test_refused_credentials_hold_the_lane_and_nothing_dies(shop: Walk, shop_partner: StackAdapt) -> None:
    """401: one request, then none; events go on being accepted; `gateway resume` frees everything, in order."""
    holds = engine_of(shop).count("lane.held")
    shop_partner.faults.add(Status(status=401, times=None))
    assert send(shop, "held-0") == 200
    engine_of(shop).wait_for("lane.held", times=holds + 1)
    shown = shop_partner.faults.shown
    users = [f"held-{number}" for number in range(1, 20)]
    assert {send(shop, user) for user in users} == {200}
    standing = lane(shop)
    assert (standing["standing"], standing["hold"], standing["dead"]) == ("held", "unauthorized", 0)
    doctor = shop.command("doctor")
    assert doctor.returncode == 1
    assert "gateway resume stackadapt" in doctor.stdout
    assert shop_partner.faults.shown == shown
    shop_partner.faults.clear()
    resumed = shop.command("resume", LANE)
    assert (resumed.returncode, resumed.stdout.strip()) == (0, "stackadapt sends again")
    arrives(shop_partner, "held-0", *users)
    assert lane(shop)["dead"] == 0


def test_a_probe_frees_a_held_lane_when_it_is_taken(shop: Walk, shop_partner: StackAdapt) -> None:
    """`gateway resume --probe` sends one delivery: refused again, it stays held; taken, the rest follows."""
    holds = engine_of(shop).count("lane.held")
    shop_partner.faults.add(Status(status=401, times=2))
    assert send(shop, "probe-0") == 200
    engine_of(shop).wait_for("lane.held", times=holds + 1)
    assert send(shop, "probe-1") == 200
    assert shop.command("resume", LANE, "--probe").returncode == 0
    engine_of(shop).wait_for("lane.held", times=holds + 2)
    assert shop.command("resume", LANE, "--probe").returncode == 0
    arrives(shop_partner, "probe-0", "probe-1")


def test_new_credentials_free_a_lane_that_was_held(shop: Walk, shop_partner: StackAdapt) -> None:
    """A file that names another secret is worth a try by itself; one that was renewed behind `$file` is read at a resume."""
    before = (shop.folder / "mappings" / "stackadapt.json").read_text()
    engine = engine_of(shop)
    renewed = shop.folder / "token"
    renewed.write_text("third-token\n")

    def only(token: str) -> None:
        scopes = {"12345": ["READ", "WRITE"]}
        shop_partner.configure(json.dumps({"tokens": [{"token": token, "scopes": scopes}]}).encode())

    def held(user: str) -> None:
        holds = engine.count("lane.held")
        assert send(shop, user) == 200
        engine.wait_for("lane.held", times=holds + 1)

    try:
        only("second-token")
        held("renewed-1")
        shop.write("stackadapt.json", before.replace('{"$env": "STACKADAPT_TOKEN"}', '{"$env": "SECOND_TOKEN"}'))
        arrives(shop_partner, "renewed-1")
        swaps = engine.count("rulebook.swapped")
        shop.write(
            "stackadapt.json", before.replace('{"$env": "STACKADAPT_TOKEN"}', json.dumps({"$file": str(renewed)}))
        )
        engine.wait_for("rulebook.swapped", times=swaps + 1)
        only("fourth-token")
        held("renewed-2")
        renewed.write_text("fourth-token\n")
        assert shop.command("resume", LANE).returncode == 0
        arrives(shop_partner, "renewed-2")
    finally:
        only("sandbox-token")
        swaps = engine.count("rulebook.swapped")
        shop.write("stackadapt.json", before)
        engine.wait_for("rulebook.swapped", times=swaps + 1)
    assert lane(shop)["dead"] == 0


# What `Retry-After` says, how the attempt is read, and the longest wait in seconds.
RETRY_AFTER = [
    ("1", "deferred", 1.0),
    ("0", "deferred", 1.0),
    ("Fri, 31 Dec 1999 23:59:59 GMT", "deferred", 1.0),
    ("2.5", "unreachable", 1.0),
    ("-5", "unreachable", 1.0),
    ("soon", "unreachable", 1.0),
    ("Fri, 31 Foo 2099 23:59:59 GMT", "unreachable", 1.0),
    (None, "unreachable", 1.0),
    ("in 50 minutes", "deferred", 3000.0),
    ("99999999", "deferred", 3600.0),
    ("9" * 60, "deferred", 3600.0),
    ("Thu, 31 Dec 2099 23:59:59 GMT", "deferred", 3600.0),
]


@pytest.mark.parametrize(("header", "outcome", "most_s"), RETRY_AFTER, ids=[str(row[0]) for row in RETRY_AFTER])
def test_too_many_requests_are_waited_for_within_bounds(
    shop: Walk, shop_partner: StackAdapt, header: str | None, outcome: str, most_s: float
) -> None:
    """429 with every form of Retry-After: what can be read is obeyed up to an hour and uses up nothing; else the usual pause."""
    attempts = engine_of(shop).count("delivery.attempted", outcome=outcome)
    text = formatdate(time.time() + 3000, usegmt=True) if header == "in 50 minutes" else header
    shop_partner.faults.add(Status(status=429, retry_after=text))
    user = f"wait-{RETRY_AFTER.index((header, outcome, most_s))}"
    assert send(shop, user) == 200
    attempt = engine_of(shop).wait_for("delivery.attempted", outcome=outcome, times=attempts + 1)
    wait_s = float(str(attempt["retry_in_s"]))
    assert wait_s <= most_s
    if most_s > 60:
        assert wait_s > most_s - 60
        assert lane(shop)["standing"] == "waiting"
        until(lambda: (owed := newest(shop))["state"] == "due" and (owed["failures"], owed["status"]) == (0, 429))
        assert shop.admin("POST", f"/api/lanes/{LANE}/resume")[0] == 200
    arrives(shop_partner, user)  # nothing is left under way that could meet the fault of the next test


def test_a_disk_without_room_is_told_before_it_is_full(walk: Walk, partner: StackAdapt) -> None:
    """Below GATEWAY_DISK_FREE_MIB: 503 with Retry-After; with room again everything goes on, and nothing was half kept."""
    role = walk.start_ingest(GATEWAY_DISK_FREE_MIB=str(1024 * 1024))
    heard = walk.exchange(audience_event("early", is_member=True, message_id="m"), "/v1/identify")
    assert (heard.status, heard.headers["retry-after"]) == (503, "60")
    assert heard.json["code"] == "storage_unavailable"
    assert role.stop() == 0
    walk.start_ingest()
    walk.start_engine()
    assert send(walk, "later") == 200
    arrives(partner, "later")
    assert partner.members("aud_cart_rescue") == {"later@example.com"}


def limit_writes(role: Role, size: int) -> None:
    """No file of the process may grow beyond `size` bytes, as if its disk were full."""
    resource.prlimit(role.process.pid, resource.RLIMIT_FSIZE, (size, NO_LIMIT))


def test_a_write_that_fails_half_way_leaves_nothing_behind(shop: Walk, shop_partner: StackAdapt) -> None:
    """The inbox cannot grow: 503; once it can, the same process accepts again, and what it refused is nowhere."""
    limit_writes(ingest_of(shop), 40_000)  # room for the beginning of the frame, not for all of it
    try:
        big = [audience_event(f"full-{number}", is_member=True, message_id=f"full-{number}") for number in range(200)]
        statuses = [shop.exchange({"batch": big}, "/v1/batch") for _ in range(3)]
        assert {heard.status for heard in statuses} == {503}
        assert all(1 <= int(heard.headers["retry-after"]) <= 300 for heard in statuses)
    finally:
        limit_writes(ingest_of(shop), NO_LIMIT)
    assert send(shop, "after-full") == 200
    arrives(shop_partner, "after-full")
    assert not {one for one in shop_partner.members("aud_cart_rescue") if one.startswith("full-")}


def test_an_engine_that_cannot_write_waits_and_loses_nothing(shop: Walk, shop_partner: StackAdapt) -> None:
    """state.db cannot grow: events go on being accepted; with room again they are decided and delivered once."""
    wal = shop.folder / "data" / "state.db-wal"
    before = engine_of(shop).count("decisions.waiting")
    limit_writes(engine_of(shop), wal.stat().st_size + 1)
    try:
        users = [f"waiting-{number}" for number in range(30)]
        assert {send(shop, user) for user in users} == {200}
        engine_of(shop).wait_for("decisions.waiting", times=before + 1)
    finally:
        limit_writes(engine_of(shop), NO_LIMIT)
    arrives(shop_partner, *users)


def test_a_locked_inbox_is_told_to_senders_and_recovers(shop: Walk, shop_partner: StackAdapt) -> None:
    """Another program holds the write lock: 503, not a hang and not a half; when it lets go, the next event is kept."""
    path = max((shop.folder / "data").glob("inbox-0-*.db"))
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")
    heard = shop.exchange(audience_event("locked-out", is_member=True, message_id="locked-out"), "/v1/identify")
    stranger.execute("ROLLBACK")
    stranger.close()
    assert (heard.status, int(heard.headers["retry-after"]) >= 1) == (503, True)
    assert send(shop, "let-in") == 200
    arrives(shop_partner, "let-in")
    assert "locked-out@example.com" not in shop_partner.members("aud_cart_rescue")


def test_a_locked_state_holds_up_nobody_at_the_door(shop: Walk, shop_partner: StackAdapt) -> None:
    """Senders get their 200; the engine waits and goes on by itself."""
    before = engine_of(shop).count("decisions.waiting")
    stranger = sqlite3.connect(shop.folder / "data" / "state.db", isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")
    assert send(shop, "patient") == 200
    engine_of(shop).wait_for("decisions.waiting", times=before + 1)
    stranger.execute("ROLLBACK")
    stranger.close()
    arrives(shop_partner, "patient")


def give_up_rights_of_root() -> None:
    """From here on modes of files count for root, too. Raises OSError where the system does not let it."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def test_a_data_folder_that_cannot_be_written_is_refused(walk: Walk, left_out: list[str]) -> None:
    """Each role says what it cannot write, and starts nothing."""
    data = walk.folder / "data"
    data.mkdir()
    data.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        for role in ("ingest", "engine"):
            try:
                refused = Role("--role", role, folder=walk.folder, before=give_up_rights_of_root)
            except Exception as error:
                left_out.append(f"a data folder without the right to write: root keeps its rights here ({error})")
                return
            assert refused.process.wait(WAIT_S) == 2
            said = refused.everything()
            assert str(data) in said
            assert "Traceback" not in said
    finally:
        data.chmod(stat.S_IRWXU)
    assert list(Path(data).iterdir()) == []
