"""Everything at once: ingest, engine and load on the same cores until every event is recorded, beside bare uvicorn.

Usage: python benchmarks/whole.py [--rounds N] [--seconds N] [--memory EVENTS] [--check]

Single Engage events of 1.5 KB by wrk on 64 connections, every messageId and every person new. Each goes through duplicates,
trigger, mapping, membership and a delivery row; the lane is paused, so that no partner is measured. The figure is events
recorded a second, from the first request until the engine has caught up, over bare uvicorn's requests a second in the
same round. `--memory` sends that many events in batches and prints the resident memory of both processes on the way.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ingest as load

RATIO_MIN = 0.20
TOKEN = "benchmark"
GROWTH_MAX = 1.1  # memory at the end over memory half-way

LUA = """
local parts, number = {}, 0
function init(args)
  number = math.floor(tonumber(args[2])) * 1000000000
  local file = io.open(args[3], "rb")
  local body = file:read("*a")
  file:close()
  local from = 1
  while true do
    local at = string.find(body, "MARK", from, true)
    if not at then break end
    parts[#parts + 1] = string.sub(body, from, at - 1)
    from = at + 16
  end
  parts[#parts + 1] = string.sub(body, from)
  wrk.method = "POST"
  wrk.headers["Authorization"] = args[1]
end
function request()
  number = number + 1
  return wrk.format(nil, nil, nil, table.concat(parts, string.format("%016d", number)))
end
""".replace("MARK", load.MARK)

MAPPING = {
    "destination": "stackadapt-audience",
    "settings": {"apiKey": {"$env": "BENCHMARK_TOKEN"}, "advertiser_id": "12345"},
    "mappings": [{"name": "Forward", "fields": {"marketing_status": "Opted-in"}, "audiences": {"*": {}}}],
}


class Role:
    """One process of the gateway."""

    def __init__(self, name: str, folder: Path) -> None:
        variables = {
            **os.environ,
            "GATEWAY_DATA": str(folder / "data"),
            "GATEWAY_MAPPINGS": str(folder / "mappings"),
            "GATEWAY_PORT": "0",
            "GATEWAY_ADMIN_PORT": "0",
            "GATEWAY_ADMIN_TOKEN": TOKEN,
            "GATEWAY_LOG_FORM": "json",
            "BENCHMARK_TOKEN": "none",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--role", name], env=variables, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.port = 0
        for line in self.process.stderr:
            said = json.loads(line)
            if said.get("event") == f"{name}.started":
                self.port = said.get("port") or said["admin_port"]
                break
        self.silence = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def resident_mib(self) -> float:
        """Resident memory now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.silence.wait()


def admin(port: int, method: str, path: str) -> dict[str, object]:
    """One call of the engine's API."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        found: dict[str, object] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


def project(folder: Path) -> tuple[Role, Role]:
    """Start both roles on a fresh project whose lane is paused."""
    (folder / "mappings").mkdir()
    (folder / "mappings" / "stackadapt.json").write_text(json.dumps(MAPPING))
    engine = Role("engine", folder)
    admin(engine.port, "POST", "/api/lanes/stackadapt/pause")
    return Role("ingest", folder), engine


def event_text() -> str:
    """One audience event of 1.5 KB with the mark in message id and user id."""
    return load.event_text().replace("usr_81f3c2", load.MARK)


def caught_up(port: int) -> None:
    """Wait until the engine has decided everything."""
    while admin(port, "GET", "/api/status")["backlog_frames"]:
        time.sleep(0.02)


def throughput(options: argparse.Namespace) -> bool:
    """Rounds in turn; whether the target is met."""
    ratios, rates = [], []
    load.LUA = LUA
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        single = folder / "single.json"
        single.write_text(event_text())
        bare = load.Running("bare", folder)
        ingest, engine = project(folder)
        try:
            for number in range(options.rounds + 1):
                plain, _ = load.by_wrk(bare.port, "/v1/track", [single], load.CONNECTIONS, options.seconds)
                started = time.perf_counter()
                accepted, p99 = load.by_wrk(ingest.port, "/v1/track", [single], load.CONNECTIONS, options.seconds)
                caught_up(engine.port)
                recorded = accepted * options.seconds / (time.perf_counter() - started)
                if number:  # the first round warms up
                    ratios.append(recorded / plain)
                    rates.append(recorded)
                    print(
                        f"{number}: bare {plain:6.0f}/s   accepted {accepted:6.0f}/s p99 {p99:5.1f} ms   "
                        f"recorded {recorded:6.0f}/s   ratio {ratios[-1]:.2f}"
                    )
        finally:
            for role in (ingest, engine, bare):
                role.stop()
    ratio = statistics.median(ratios)
    print(f"whole: {statistics.median(rates):.0f} events/s recorded, {ratio:.2f} of bare (target {RATIO_MIN})")
    return ratio >= RATIO_MIN


def memory(events: int) -> bool:
    """Send events in batches of 500 and print memory ten times; whether it stays flat."""
    text = load.event_text().replace("usr_81f3c2", load.MARK)
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        ingest, engine = project(Path(name))
        try:
            connection = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=60)
            for number in range(0, events, 500):
                batch = ",".join(text.replace(load.MARK, f"{number + index:016d}") for index in range(500))
                connection.request(
                    "POST", "/v1/batch", '{"batch":[' + batch + "]}", {"Authorization": load.AUTHORIZATION}
                )
                answer = connection.getresponse()
                answer.read()
                if answer.status == 503:
                    time.sleep(1)
                if (number // 500) % 100 == 99:
                    caught_up(engine.port)
                if (number + 500) % max(500, events // 10) == 0:
                    seen.append((ingest.resident_mib(), engine.resident_mib()))
                    print(f"{number + 500:9} events: ingest {seen[-1][0]:6.0f} MiB, engine {seen[-1][1]:6.0f} MiB")
        finally:
            for role in (ingest, engine):
                role.stop()
    # Half-way the page cache of the state (128 MiB) is full; from there on nothing may grow.
    return all(last <= GROWTH_MAX * early for last, early in zip(seen[-1], seen[4], strict=True))


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--memory", type=int, default=0, metavar="EVENTS")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    good = memory(options.memory) if options.memory else throughput(options)
    return 0 if good or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
