"""README's shell lines, run; and its mapping file, compiled. What is run otherwise than it stands there is listed below."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_running import Project
from walks_running import WAIT_S, environment_of

from gateway.config.files import RawFile
from gateway.config.mapping_files import compile_file
from gateway.config.secrets import SecretSource
from gateway.destinations import REGISTRY
from gateway.sandbox.server import SandboxThread
from gateway.sandbox.stackadapt import StackAdapt

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = [line.partition("  #")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]

# The beginning of a line → what is run in its place, and why.
RUN_AS = {
    "make demo": "true",  # test_commands.py runs the demo, to its end
    ". .venv/bin/activate": "true",  # the path is set below
    # The project's own fixtures; a refusal must fail the line.
    "curl -u local: --data @data/demo/fixtures/": "curl --silent --show-error --fail -u local: --data @fixtures/",
    "export STACKADAPT_TOKEN=": "true",  # the token of the sandbox is set
    "gateway serve": "true",  # it runs already: `project` started it
    "gateway tail": "gateway tail --no-follow",  # it would go on for ever
    "gateway backup /backups/monday": "gateway backup monday",  # a folder of the test's own
}


def as_run(line: str, port: int) -> str:
    """The line as it is run here."""
    for beginning, instead in RUN_AS.items():
        if line.startswith(beginning):
            rest = line[len(beginning) :] if instead != "true" else ""
            return (instead + rest).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    return line


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of the examples with a running gateway whose StackAdapt is the sandbox."""
    with SandboxThread([StackAdapt()], port=0, upload_port=0) as sandbox:
        made = Project(tmp_path_factory.mktemp("readme") / "project", sandbox.url)
        try:
            made.serve("--single")
            yield made
        finally:
            made.stop()


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_readme_does_what_it_says(project: Project, line: str, left_out: list[str]) -> None:
    """Exit code 0, in a project with the examples and a running gateway."""
    run = as_run(line, project.port)
    if run.startswith("curl") and shutil.which("curl") is None:
        left_out.append("README's curl line: there is no curl here")
        return
    environment = environment_of(project.folder)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = subprocess.run(
        ["/bin/sh", "-c", run],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, f"{run}\n{ran.stdout}{ran.stderr}"
    if run.startswith("curl"):
        assert ran.stdout == '{"success":true}'


def test_every_substitution_is_needed() -> None:
    """A line that README has no more is no more run otherwise."""
    assert [beginning for beginning in RUN_AS if not any(line.startswith(beginning) for line in LINES)] == []


def test_the_mapping_file_of_the_readme_compiles() -> None:
    """As it stands there, without a warning."""
    known = {one.definition.slug: one.definition for one in REGISTRY.values()}
    for text in [text for kind, text in BLOCKS if kind == "json"]:
        raw = RawFile(name="README.md", stem="readme", text=text)
        found = compile_file(raw, known, SecretSource(variables={"STACKADAPT_TOKEN": "x"}))
        assert (found.problems, found.destination is not None) == ([], True)
