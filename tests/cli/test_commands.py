"""Every command, run as its own process against a running project: what it prints, its JSON, its exit code, its errors."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from cli_running import Project, Sandbox, json_of
from click.testing import CliRunner
from walks_running import WAIT_S, Role, until

from gateway.cli import _COMMANDS, main

EVENT = {"type": "track", "event": "Audience Entered", "userId": "u-1", "messageId": "m-1", "properties": {}}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """`gateway sandbox`, ended by SIGTERM."""
    made = Sandbox()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Project]:
    """A project from `gateway init` with `gateway serve` running in it."""
    made = Project(tmp_path_factory.mktemp("cli") / "project", sandbox.url)
    try:
        made.serve()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Project:
    """A project in which nothing ever ran."""
    return Project(tmp_path_factory.mktemp("idle") / "project", sandbox.url)


def members(sandbox: Sandbox, audience: str) -> set[str]:
    """Who is in an audience at the partner now."""
    address = urlsplit(sandbox.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=WAIT_S)
    try:
        connection.request("GET", "/sandbox/stackadapt/state")
        state = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return {one["email"] for one in state["audiences"].get(audience, {}).get("in", [])}


def settled(project: Project) -> None:
    """Wait until everything accepted is decided and delivered."""

    def owes_nothing() -> bool:
        status = project.admin("GET", "/api/status")[1]
        owed = sum(lane["due"] + lane["in_flight"] for lane in status["lanes"])
        return status["backlog_frames"] == 0 and owed == 0

    until(owes_nothing)


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_has_help(name: str) -> None:
    """A sentence, its options, exit code 0."""
    found = CliRunner().invoke(main, [name, "--help"])
    assert found.exit_code == 0, found.output
    assert "Usage: " in found.output
    assert len(found.output.splitlines()) > 4


def test_help_lists_every_command_and_the_exit_codes(idle: Project) -> None:
    """`gateway --help`; and a misspelt command is refused with 2."""
    helped, versioned, misspelt = idle.together(["--help"], ["--version"], ["sned"])
    assert helped.returncode == 0
    assert all(f"\n  {name} " in helped.stdout for name in _COMMANDS)
    assert "Exit codes: 0 good" in helped.stdout
    assert "..." not in helped.stdout.partition("Commands:")[2], "a line does not fit beside its command"
    assert versioned.stdout.startswith("gateway, version ")
    assert (misspelt.returncode, "No such command" in misspelt.stderr) == (2, True)


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("gateway.cli", {"msgspec", "rich", "asyncio"}),
        ("gateway.cli.syncs", {"structlog", "sqlite_utils", "httpx", "gateway.core.fql", "gateway.destinations"}),
        ("gateway.cli.operating", {"structlog", "sqlite_utils", "httpx", "gateway.core.fql", "gateway.destinations"}),
        ("gateway.service.ingest_role", {"sqlite_utils", "httpx", "gateway.core.fql", "gateway.destinations"}),
    ],
)
def test_a_start_does_not_wait_for_what_it_does_not_use(module: str, without: set[str]) -> None:
    """Libraries that take long to load; `gateway sync list` once took a second for them."""
    asked = f"import sys, {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert without & set(ran.stdout.split()) == set()


def test_init_makes_a_project_and_touches_nothing_that_is_there(idle: Project) -> None:
    """The new folder checks well; a second time is refused."""
    made, again = idle.command("init", "other"), idle.command("init", "other")
    assert (made.returncode, again.returncode) == (0, 2)
    assert "already there" in again.stderr
    assert (idle.folder / "other" / "mappings" / "stackadapt.json").is_file()
    assert (idle.folder / "other" / "fixtures" / "identify_enter.json").is_file()
    for mapping in (idle.folder / "other" / "mappings").glob("*.json"):
        schema = json.loads(mapping.read_bytes()).get("$schema")  # editors look for it beside the file
        assert schema is None or (mapping.parent / schema).is_file()


def test_every_case_that_ships_passes(idle: Project) -> None:
    """All four destinations as `gateway init` lays them out, each with cases; `idle` itself has StackAdapt alone."""
    assert idle.command("init", "whole").returncode == 0
    checked = idle.command("check", "--json", "--mappings", "whole/mappings", "--fixtures", "whole/fixtures")
    assert checked.returncode == 0, checked.stdout
    cases = json_of(checked)["cases"]
    assert [case["name"] for case in cases if not case["passed"]] == []
    with_cases = {case["file"].rpartition("/")[2] for case in cases}
    assert with_cases == {"northwind.json", "stackadapt.json", "taboola.json", "the-trade-desk.json"}


def test_check_and_test_pass_on_what_ships(idle: Project) -> None:
    """Text and JSON; `test` takes words to choose cases by."""
    checked, as_json, tested, chosen, none = idle.together(
        ["check"], ["check", "--json"], ["test"], ["test", "--json", "leaves"], ["test", "no such case"]
    )
    assert checked.returncode == 0, checked.stdout
    assert "1 destination, 1 mapping, " in checked.stdout
    assert "0 errors" in checked.stdout
    found = json_of(as_json)
    assert isinstance(found, dict)
    assert (found["valid"], {case["passed"] for case in found["cases"]}) == (True, {True})
    assert tested.returncode == 0
    assert f"{len(found['cases'])} of {len(found['cases'])} cases pass" in tested.stdout
    assert {case["passed"] for case in json_of(chosen)} == {True}
    assert none.returncode == 2


def test_a_mistake_a_failing_case_and_a_missing_secret_are_told_apart(idle: Project) -> None:
    """2 for a file that would not load, 1 for a case that fails; a secret that is not set is a warning, or an error if asked."""
    before = (idle.folder / "mappings" / "stackadapt.json").read_text()
    cases = idle.folder / "mappings" / "cases" / "stackadapt.json"
    kept = cases.read_text()
    idle.write("stackadapt.json", before.replace('"mappings"', '"mapings"'))
    broken, as_json, tested = idle.together(["check"], ["check", "--json"], ["test"])
    idle.write("stackadapt.json", before)
    assert (broken.returncode, tested.returncode) == (2, 2)
    assert "Did you mean `mappings`?" in broken.stdout
    found = json_of(as_json, 2)
    assert isinstance(found, dict)
    assert [found["valid"], *(problem["pointer"] for problem in found["problems"])][:2] == [False, "/mapings"]
    cases.write_text(
        json.dumps([{"name": "x", "mapping": "Forward Audience Event", "event": EVENT, "expect": {"payload": {}}}])
    )
    failing, tested = idle.together(["check"], ["test"])
    assert (failing.returncode, tested.returncode) == (1, 1)
    assert "cases/stackadapt.json#/0" in failing.stdout
    assert "FAIL" in tested.stdout
    cases.write_text(kept)
    unset, strict = idle.together(["check"], ["check", "--secrets"], STACKADAPT_TOKEN="")
    assert (unset.returncode, strict.returncode) == (0, 2)
    assert "STACKADAPT_TOKEN is not set" in unset.stdout
    assert "#/settings/apiKey  line" in strict.stdout


def test_schema_is_json_schema_printed_or_written(idle: Project) -> None:
    """The same document both ways."""
    printed, written = idle.together(["schema"], ["schema", "--write", "made.json"])
    assert written.returncode == 0
    assert json_of(printed) == json.loads((idle.folder / "made.json").read_text())


def test_try_shows_the_request_or_says_why_there_is_none(idle: Project) -> None:
    """0 where something would be sent, 1 where not, 2 where mapping or event cannot be used; secrets are not shown."""
    (idle.folder / "plain.json").write_text(json.dumps({**EVENT, "type": "page"}))
    (idle.folder / "nonsense.json").write_text("{")
    sent, as_json, skipped, unknown, missing, nonsense = idle.together(
        ["try", "Forward Audience Event", "identify_enter.json"],
        ["try", "stackadapt/forward-audience-event", "identify_enter.json", "--json"],
        ["try", "Forward Audience Event", "plain.json"],
        ["try", "Forwrd", "identify_enter.json"],
        ["try", "Forward Audience Event", "not-there.json"],
        ["try", "Forward Audience Event", "nonsense.json"],
    )
    assert [ran.returncode for ran in (sent, skipped, unknown, missing, nonsense)] == [0, 1, 2, 2, 2]
    assert "POST" in sent.stdout
    assert "upsertProfiles" in sent.stdout
    assert "sandbox-token" not in sent.stdout + as_json.stdout
    found = json_of(as_json)
    assert isinstance(found, dict)
    assert [request["method"] for request in found["requests"]] == ["POST"]
    assert "stackadapt/forward-audience-event" in unknown.stderr
    piped = idle.command("try", "Forward Audience Event", "-", text=json.dumps({**EVENT, "type": "page"}))
    assert piped.returncode == 1


def test_commands_that_need_a_gateway_say_so(idle: Project) -> None:
    """One sentence with the way out, exit code 1, no traceback."""
    commands = (
        ["send", "fixtures/identify_enter.json"],
        ["tail", "--no-follow"],
        ["explain", "m-1"],
        ["lanes"],
        ["pause", "stackadapt"],
        ["resume", "stackadapt"],
        ["deliveries"],
        ["dead"],
        ["retry", "--lane", "stackadapt"],
        ["replay", "--from", "2026-01-01"],
        ["backup", "saved"],
    )
    for arguments, ran in zip(commands, idle.together(*commands), strict=True):
        assert ran.returncode == 1, (arguments, ran)
        assert ran.stderr.startswith("error  "), (arguments, ran)
        assert "Traceback" not in ran.stderr
    doctor = idle.command("doctor", "--json")
    assert {"warning"} <= {one["level"] for one in json_of(doctor)}
    assert any("no engine runs" in one["what"] for one in json_of(doctor))


def test_what_cannot_be_used_is_refused_with_two(project: Project) -> None:
    """Options and arguments that make no sense, each with a sentence."""
    commands = (
        (["retry"], "Say which"),
        (["retry", "0"], "0"),
        (["replay", "--from", "yesterday"], "is not a time"),
        (["replay", "--from", "2026-01-01", "--mapping", "nope"], "No file and no mapping is called `nope`"),
        (["replay", "--from", "2026-01-02", "--to", "2026-01-01"], "ends before it begins"),
        (["replay", "--from", "2026-01-01", "--source", "nope"], "No source is called `nope`; there are `local`"),
        *(
            ([*command, "--lane", "nope"], "No destination is called `nope`; there are `stackadapt`")
            for command in (["dead"], ["deliveries"], ["retry"], ["retry", "--drop"])
        ),
        *(
            ([*command, "--mapping", "stackadapt/nope"], "there are `stackadapt/forward-audience-event`")
            for command in (["dead"], ["deliveries"], ["retry"])
        ),
        (["pause", "nope"], "`nope`"),
        (["resume", "nope"], "`nope`"),
        (["tail", "--no-follow", "--source", "nope"], "No source is called `nope`; there are `local`"),
        (["tail", "--no-follow", "--outcome", "nope"], "set_aside"),
        (["explain"], "message id"),
        (["explain", "--place", "1.2"], "is no place"),
        (["explain", "--place", "9999999.1.1"], "is no place"),
        (["send", "--header", "nonsense", "fixtures/identify_enter.json"], "is not a header"),
        (["send", "not-there.json"], "not-there.json"),
        (["deliveries", "--limit", "0"], "0"),
        (["completion", "tcsh"], "tcsh"),
        (["restore", "not-there"], "not-there"),
        (["serve", "--role", "cook"], "cook"),
        (["restore", "fixtures"], ""),
    )
    for (arguments, says), ran in zip(commands, project.together(*(one for one, _ in commands)), strict=True):
        assert ran.returncode in ((2,) if says else (1, 2)), (arguments, ran)
        assert says in ran.stderr
        assert "Traceback" not in ran.stderr


def test_send_tail_explain_and_replay_follow_one_person(project: Project, sandbox: Sandbox) -> None:
    """She enters, leaves, and no replay of her entering brings her back."""
    entered = {
        "type": "track",
        "event": "Audience Entered",
        "userId": "ann",
        "messageId": "ann-in",
        "timestamp": "2026-01-01T00:00:00Z",
        "properties": {"audience_key": "vip", "vip": True, "email": "ann@example.com"},
        "context": {
            "traits": {"email": "ann@example.com"},
            "personas": {"computation_class": "audience", "computation_id": "aud_vip", "computation_key": "vip"},
        },
    }
    (project.folder / "in.json").write_text(json.dumps(entered))
    left = json.loads(json.dumps(entered)) | {"event": "Audience Exited", "messageId": "ann-out"}
    left["properties"]["vip"] = False
    left["timestamp"] = "2026-01-02T00:00:00Z"
    (project.folder / "out.json").write_text(json.dumps(left))
    bad = {**entered, "messageId": "x", "userId": None, "properties": "none"}
    (project.folder / "bad.json").write_text(json.dumps(bad))
    sent = project.command("send", "in.json", "--as-is")
    assert (sent.returncode, "200" in sent.stdout) == (0, True), sent.stdout + sent.stderr
    project.roles[0].wait_for("delivery.attempted")
    settled(project)
    assert members(sandbox, "aud_vip") == {"ann@example.com"}
    out, refused, elsewhere = project.together(
        ["send", "out.json", "--as-is"],
        ["send", "bad.json"],
        ["send", "in.json", "--url", "http://127.0.0.1:1"],
    )
    assert [ran.returncode for ran in (out, refused, elsewhere)] == [0, 1, 1]
    assert "400" in refused.stdout
    assert "does not answer" in elsewhere.stderr
    project.roles[0].wait_for("delivery.attempted", times=2)
    settled(project)
    assert members(sandbox, "aud_vip") == set()
    tailed, shown, rejected, explained, unknown, placed = project.together(
        ["tail", "--no-follow", "--json"],
        ["tail", "--no-follow", "--outcome", "decided"],
        ["tail", "--no-follow", "--outcome", "rejected"],
        ["explain", "ann-in", "--json"],
        ["explain", "nobody"],
        ["explain", "--place", "1.1.0"],
    )
    lines = [json.loads(line) for line in tailed.stdout.splitlines()]
    assert [line["outcome"] for line in lines].count("decided") == 2
    assert "rejected" in rejected.stdout
    came, went = shown.stdout.splitlines()
    delivered = "stackadapt/forward-audience-event → delivered"
    assert came.endswith(f'decided   track "Audience Entered" (message ann-in); vip: entered; {delivered}'), came
    assert went.endswith(f'decided   track "Audience Exited" (message ann-out); vip: left; {delivered}'), went
    assert "ann@example.com" not in shown.stdout
    (found,) = json_of(explained)
    assert (found["trace"]["outcome"], found["trace"]["deliveries"]) == ("decided", 1)
    assert "ann@example.com" not in explained.stdout
    assert (unknown.returncode, "gateway tail" in unknown.stderr) == (1, True)
    assert placed.returncode == 0, placed.stderr
    assert placed.stdout.splitlines()[1] == f"  vip: entered; {delivered}"
    counted = json_of(project.command("replay", "--from", "2020-01-01", "--dry-run", "--json"))
    done = json_of(project.command("replay", "--from", "2020-01-01", "--json"))
    assert counted == done
    assert isinstance(done, dict)
    assert (done["events"], done["deliveries"], done["kept_back"]) == (2, 1, 1)
    project.roles[0].wait_for("delivery.attempted", times=3)
    settled(project)
    assert members(sandbox, "aud_vip") == set(), "a replay brought back someone who had left"


def test_a_lane_is_paused_seen_and_resumed(project: Project) -> None:
    """What is owed waits meanwhile and is listed."""
    attempts = project.roles[0].count("delivery.attempted")
    paused = project.command("pause", "stackadapt")
    assert (paused.returncode, paused.stdout.strip()) == (0, "stackadapt is paused")
    assert project.command("send", "fixtures/examples/cart_rescue_entered.json").returncode == 0
    until(lambda: project.admin("GET", "/api/lanes")[1]["lanes"][0]["due"] == 1)
    shown, as_json, owed, listed, unknown = project.together(
        ["lanes"], ["lanes", "--json"], ["deliveries", "--json"], ["deliveries"], ["pause", "nowhere/else"]
    )
    assert "paused" in shown.stdout
    (row,) = json_of(as_json)
    assert (row["standing"], row["due"], row["paused"]) == ("paused", 1, True)
    found = json_of(owed)
    assert isinstance(found, dict)
    assert [one["state"] for one in found["deliveries"]] == ["due"]
    assert "stackadapt/forward-audience-event" in listed.stdout
    assert (unknown.returncode, "`gateway lanes` lists them" in unknown.stderr) == (2, True)
    assert project.command("resume", "stackadapt").returncode == 0
    project.roles[0].wait_for("delivery.attempted", times=attempts + 1)
    settled(project)


def test_dead_deliveries_are_listed_retried_and_dropped(project: Project, sandbox: Sandbox) -> None:
    """By id, by lane, by reason; a retry sends them, a drop forgets them."""
    address = urlsplit(sandbox.url)
    engine = project.roles[0]

    def told(method: str, path: str, body: object = None) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=WAIT_S)
        connection.request(method, f"/sandbox/stackadapt/{path}", None if body is None else json.dumps(body))
        assert connection.getresponse().status < 300
        connection.close()

    told("POST", "faults", {"kind": "errors", "times": None})
    refusals = engine.count("delivery.attempted", outcome="refused")
    assert project.command("send", "--times", "2", "fixtures/examples/cart_rescue_entered.json").returncode == 0
    engine.wait_for("delivery.attempted", outcome="refused", times=refusals + 1)
    settled(project)
    told("DELETE", "faults")
    rows = json_of(project.command("dead", "--json"))
    assert isinstance(rows, list)
    assert len(rows) == 2
    assert all(row["reason"] and row["state"] == "dead" for row in rows)
    attempts = engine.count("delivery.attempted")
    retried = project.command("retry", str(rows[0]["id"]), "--json")
    assert json_of(retried) == {"changed": 1}
    engine.wait_for("delivery.attempted", times=attempts + 1)
    dropped = project.command("retry", "--drop", "--reason", "refused")
    none = project.command("retry", "--lane", "stackadapt")
    assert dropped.stdout.strip() == "1 dropped"
    assert none.stdout.strip() == "0 due again"
    assert "none" in project.command("dead").stdout


def test_a_backup_is_made_while_it_runs_verified_and_restored(project: Project, idle: Project) -> None:
    """A damaged copy is refused with 1, a folder in use with 2; the good one starts as another gateway."""
    made = project.command("backup", "saved", "--json")
    assert isinstance(json_of(made), dict)
    again, verified, in_use = project.together(
        ["backup", "saved"], ["restore", "--verify", "saved"], ["restore", "saved"]
    )
    assert (again.returncode, verified.returncode, in_use.returncode) == (1, 0, 2)
    assert "stop it first" in in_use.stderr
    data = str(project.folder / "elsewhere")
    restored = project.command("restore", "saved", GATEWAY_DATA=data)
    assert restored.returncode == 0, restored.stderr
    refused = project.command("restore", "saved", GATEWAY_DATA=data)
    assert refused.returncode == 2
    traces = project.command("tail", "--no-follow", "--json", GATEWAY_DATA=data)
    assert len(traces.stdout.splitlines()) >= 2
    second = Role("--single", folder=project.folder, variables={"GATEWAY_DATA": data})
    second.wait_for("engine.started")
    assert second.stop() == 0
    largest = max((project.folder / "saved").rglob("*.db"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.chmod(0o600)
    largest.write_bytes(content)
    damaged = project.command("restore", "--verify", "saved")
    assert (damaged.returncode, "bad" in damaged.stdout) == (1, True)
    assert idle.folder != project.folder


def test_doctor_finds_nothing_wrong_with_a_running_project(project: Project) -> None:
    """Text and JSON; a mistake in a file is found."""
    well, as_json, recount = project.together(["doctor"], ["doctor", "--json"], ["doctor", "--recount"])
    assert well.returncode == 0, well.stdout
    assert "the engine is ready" in well.stdout
    assert "records are right" in well.stdout
    assert (recount.returncode, "another process" in recount.stderr) == (2, True)
    assert {one["level"] for one in json_of(as_json)} <= {"good", "warning"}
    ill = project.command("doctor", STACKADAPT_TOKEN="")
    assert (ill.returncode, "STACKADAPT_TOKEN" in ill.stdout) == (1, True)


def test_completion_is_printed_for_each_shell(idle: Project) -> None:
    """Scripts that name the program."""
    for ran in idle.together(["completion", "bash"], ["completion", "zsh"], ["completion", "fish"]):
        assert ran.returncode == 0
        assert "_GATEWAY_COMPLETE" in ran.stdout


def test_settings_that_are_wrong_are_all_told_by_any_command(idle: Project) -> None:
    """Exit code 2 and one line for each."""
    ran = idle.command("lanes", GATEWAY_PORT="many", GATEWAY_PROT="1")
    assert ran.returncode == 2
    assert "GATEWAY_PORT must be" in ran.stderr
    assert "GATEWAY_PROT is not" in ran.stderr


def test_the_demo_delivers_and_ends_by_itself(idle: Project) -> None:
    """`gateway demo --exit`: every request answered 200, everything delivered, lists shown, exit code 0."""
    ran = idle.command("demo", "--exit", "--folder", "demo")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "everything delivered" in ran.stdout
    assert "Lists at StackAdapt" in ran.stdout
