"""`gateway sync …`, `gateway run …` and `gateway openapi` as a person runs them: sentences, JSON, files and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_running import Project, Sandbox, json_of
from walks_running import until

NAME = "stackadapt/forward-audience-event/vip"
PEOPLE = 4


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """`gateway sandbox`, ended by SIGTERM."""
    made = Sandbox()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Project]:
    """A running project whose StackAdapt mapping keeps a list by runs, with some people in its audience."""
    made = Project(tmp_path_factory.mktemp("cli") / "project", sandbox.url)
    mapping = made.read("stackadapt.json")
    mappings: Any = mapping["mappings"]
    mappings[0]["sync"] = {"mode": "mirror", "schedule": {"manual": True}}
    made.write("stackadapt.json", mapping)
    try:
        made.serve("--single")
        for number in range(PEOPLE):
            (made.folder / f"e{number}.json").write_text(json.dumps(event(number)))
        assert made.command("send", *(f"e{number}.json" for number in range(PEOPLE))).returncode == 0
        until(lambda: any(one["audience_size"] == PEOPLE for one in made.admin("GET", "/api/syncs")[1]["syncs"]))
        yield made
    finally:
        made.stop()


def event(number: int, *, is_member: bool = True) -> dict[str, Any]:
    user = f"lovelace-{number}"
    personas = {"computation_class": "audience", "computation_key": "vip", "computation_id": "aud_1"}
    return {
        "type": "track",
        "event": "Audience Entered" if is_member else "Audience Exited",
        "userId": user,
        "context": {"traits": {"email": f"{user}@example.com"}, "personas": personas},
        "properties": {"vip": is_member, "audience_key": "vip"},
    }


def test_a_sync_is_planned_run_shown_and_explained(project: Project) -> None:
    """From the plan to the log, nobody's address anywhere unless it is asked for."""
    listed, planned, explained = project.together(
        ["sync", "list"], ["sync", "plan", NAME], ["sync", "explain", NAME, "--member", "user_id:lovelace-1"]
    )
    assert NAME in listed.stdout
    assert f"{PEOPLE} add" in planned.stdout
    assert "to_add" in explained.stdout
    ran = project.command("sync", "run", NAME, "--wait", "--json")
    run = json_of(ran)
    assert isinstance(run, dict)
    assert (run["status"], run["sums_hold"]) == ("succeeded", True)
    number = str(run["id"])
    shown, page, log, person, everything = project.together(
        ["sync", "show", NAME, "--json"], ["run", "show", number], ["run", "log", number, "--format", "csv"],
        ["sync", "explain", NAME, "--member", "user_id:lovelace-1", "--json"], ["sync", "log", NAME],
    )  # fmt: skip
    sync = json_of(shown)
    assert isinstance(sync, dict)
    assert (sync["list_size"], sync["health"], sync["freshness_s"]) == (PEOPLE, "healthy", 0)
    assert "the sums hold" in page.stdout
    assert len(list(csv.DictReader(io.StringIO(log.stdout)))) == PEOPLE
    assert len(everything.stdout.splitlines()) == PEOPLE
    found = json_of(person)
    assert isinstance(found, dict)
    assert found["code"] == "listed"
    assert all(
        "lovelace" not in one.stdout for one in (listed, planned, explained, shown, page, log, person, everything)
    )
    revealed = project.command("sync", "explain", NAME, "--member", "user_id:lovelace-1", "--reveal")
    assert "lovelace-1@example.com" in revealed.stdout


def test_a_log_becomes_a_file_that_is_there_whole(project: Project) -> None:
    """`--out`, for a run and for a time; a folder that is not there is refused."""
    out = project.folder / "log.ndjson"
    assert project.command("sync", "log", NAME, "--since", "2020-01-01", "--out", str(out)).returncode == 0
    assert {json.loads(line)["status"] for line in out.read_text().splitlines()} == {"accepted"}
    refused = project.command("sync", "log", NAME, "--out", str(project.folder / "nowhere" / "x"))
    assert (refused.returncode, "cannot be written" in refused.stderr) == (2, True)


def test_pause_resume_delete_and_undelete(project: Project) -> None:
    """Each says what it did; what cannot be done says why and what to do first."""
    assert project.command("sync", "pause", NAME, "--now").returncode == 0
    refused = project.command("sync", "run", NAME)
    assert (refused.returncode, "--while-paused" in refused.stderr) == (1, True)
    assert project.command("sync", "resume", NAME).returncode == 0
    assert project.command("sync", "delete", NAME, "--leave").returncode == 0
    refused = project.command("sync", "resume", NAME)
    assert (refused.returncode, "undelete" in refused.stderr) == (1, True)
    assert project.command("sync", "undelete", NAME).returncode == 0
    restored = project.command("sync", "restore-state", "1", "--json")
    assert json_of(restored) == {"sync": NAME, "run": 1, "same": PEOPLE, "unsure": 0, "lost": 0}


def test_a_held_run_exits_with_three_and_an_approved_one_with_its_end(project: Project) -> None:
    """`empty_audience` holds when everybody has left."""
    for number in range(PEOPLE):
        (project.folder / f"o{number}.json").write_text(json.dumps(event(number, is_member=False)))
    assert project.command("send", *(f"o{number}.json" for number in range(PEOPLE))).returncode == 0
    until(lambda: project.admin("GET", "/api/syncs")[1]["syncs"][0]["audience_size"] == 0)
    held = project.command("sync", "run", NAME, "--wait", "--json")
    run = json_of(held, 3)
    assert isinstance(run, dict)
    page = project.command("run", "show", str(run["id"]))
    assert (page.returncode, "empty_audience" in page.stdout) == (3, True)
    assert "held" in project.command("sync", "show", NAME).stdout
    assert f"run approve {run['id']}" in page.stdout
    told, of_one, whole, looked = project.together(
        ("sync", "alerts"), ("sync", "alerts", NAME, "--json"), ("sync", "plan", NAME, "--json"), ("doctor", "--json")
    )
    assert [one["level"] for one in json_of(looked, 1) if one["what"].startswith(f"{NAME}: held. ")] == ["bad"]
    assert (told.returncode, "empty_audience" in told.stdout or "held" in told.stdout) == (0, True)
    (alert,) = json_of(of_one)
    assert (alert["sync"], alert["name"], alert["level"]) == (NAME, "held", "critical")
    planned = json_of(whole, 3)
    assert page.stdout.count(planned["plan_digest"]) == 1
    assert project.command("run", "approve", str(run["id"]), "--wait").returncode == 0


def test_what_asks_the_engine_says_so_where_none_answers(tmp_path: Path) -> None:
    """None runs; or one died and somebody else has its number. Exit code 1, one sentence, nothing else."""
    project = Project(tmp_path / "project", "http://127.0.0.1:9")
    folder = project.folder / "data" / "run"
    folder.mkdir(parents=True)
    asked = (
        ("sync", "plan", NAME),
        ("sync", "plan", NAME, "--json"),
        ("sync", "explain", NAME, "--member", "user_id:u-1"),
    )
    for ran in project.together(*asked):
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
        assert "No engine runs" in ran.stderr
        assert "gateway serve" in ran.stderr
    left = {"role": "engine", "pid": os.getpid(), "host": "127.0.0.1", "port": 9}
    (folder / "engine.json").write_text(json.dumps(left))
    for ran in project.together(*asked):
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
        assert "does not answer" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync", "show", "no/such/sync"],
        ["sync", "run", "no/such/sync"],
        ["sync", "explain", "no/such/sync", "--member", "user_id:x"],
        ["sync", "explain", NAME, "--member", "x"],
        ["member", ""],
        ["sync", "log", "no/such/sync"],
        ["sync", "log", NAME, "--since", "yesterday"],
        ["sync", "restore-state", "77"],
        ["sync", "resolve", NAME],
        ["run", "show", "77"],
        ["sync", "diff-runs", "77", "78"],
        ["run", "log", "77"],
        ["run", "log", "77", "--format", "csv"],
        ["run", "approve", "77"],
    ],
    ids=lambda given: "-".join(given)[:40],
)
def test_what_cannot_be_used_is_refused_with_two(project: Project, arguments: list[str]) -> None:
    """With a sentence on standard error."""
    ran = project.command(*arguments)
    assert (ran.returncode, ran.stderr.startswith("error")) == (2, True), ran.stderr


def test_a_person_is_shown_and_erased(project: Project) -> None:
    """Masked unless asked for in clear; deleted once that is confirmed; unknown people are told. Nobody stands in the log."""
    (project.folder / "person.json").write_text(json.dumps(event(77)))
    assert project.command("send", "person.json").returncode == 0
    until(lambda: project.command("member", "lovelace-77").returncode == 0)
    shown, clear, as_json, would, unsure, unknown, elsewhere = project.together(
        ("member", "lovelace-77"), ("member", "user_id:lovelace-77", "--reveal"), ("member", "lovelace-77", "--json"),
        ("erase", "lovelace-77", "--dry-run"), ("erase", "lovelace-77"), ("erase", "lovelace-99", "--yes"),
        ("member", "lovelace-77", "--source", "shopp"),
    )  # fmt: skip
    assert all(one in shown.stdout for one in ("vip", " in since ", f"{NAME}  to_add: ", "Owed or given up"))
    assert "lovelace-77@example.com" in clear.stdout
    found = json_of(as_json)
    assert isinstance(found, dict)
    assert found["audiences"][0]["syncs"][0]["sync"] == NAME
    assert "would be deleted: out of 1 audience, and at 1 destination (stackadapt): 1 delivery at once." in would.stdout
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert (unknown.returncode, "Nothing is known" in unknown.stderr) == (1, True)
    assert (elsewhere.returncode, "there are `local`" in elsewhere.stderr) == (2, True)
    erased = json_of(project.command("erase", "lovelace-77", "--yes", "--json"))
    assert isinstance(erased, dict)
    assert (erased["outcome"], erased["destinations"]) == ("erased", ["stackadapt"])
    gone, again = project.together(("member", "lovelace-77"), ("erase", "lovelace-77", "--yes"))
    assert (gone.returncode, "was deleted at" in gone.stdout, again.returncode) == (0, True, 0)
    assert "deleted before, at" in again.stdout or "nothing is left" in again.stdout
    told = (shown, as_json, would, unsure, unknown, gone, again)
    assert all("lovelace" not in one.stdout + one.stderr for one in told)
    assert all("lovelace" not in "".join(role.text) for role in project.roles)


def test_the_document_is_the_same_with_and_without_an_engine(project: Project) -> None:
    """`gateway openapi` and `/api/openapi.json`."""
    printed = json_of(project.command("openapi"))
    status, served = project.admin("GET", "/api/openapi.json")
    assert (status, served) == (200, printed)
