"""A project made by `gateway init`, cut down to one destination, and commands run in it as a person would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from walks_running import WAIT_S, Ran, Walk


class Project(Walk):
    """A walk whose folder `gateway init` made; its StackAdapt is at `sandbox_url`."""

    def __init__(self, folder: Path, sandbox_url: str) -> None:
        super().__init__(folder, sandbox_url)
        shutil.rmtree(folder / "mappings")
        made = self.command("init", ".")
        assert made.returncode == 0, made.stderr
        for path in [*folder.glob("mappings/*.json"), *folder.glob("mappings/cases/*.json")]:
            if path.name != "stackadapt.json":
                path.unlink()
        mapping = self.read("stackadapt.json")
        settings = mapping["settings"]
        assert isinstance(settings, dict)
        settings["api_url"] = f"{sandbox_url}/stackadapt/graphql"
        self.write("stackadapt.json", mapping)


class Sandbox:
    """`gateway sandbox` as its own process."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "sandbox", "--port", "0", "--upload-port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[0-9.]+:[0-9]+", line)
        assert found is not None, line
        self.url = found.group()
        self._drain = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._drain.start()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(WAIT_S)
        self._drain.join(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def json_of(ran: Ran, code: int = 0) -> object:
    """The JSON document a command printed."""
    assert ran.returncode == code, ran.stdout + ran.stderr
    return json.loads(ran.stdout)
