"""How fast ingest acknowledges durably, beside bare uvicorn that reads the body and answers a constant.

Usage: python benchmarks/ingest.py [--rounds N] [--seconds N] [--generator wrk|own] [--check]

Single Engage events of 1.5 KB, every messageId new, 64 connections; and batches of 300 and 500. Both servers run in
processes of their own, with the same parser and loop; rounds take turns, so that a noisy machine disturbs both alike, and
the median of the ratios counts. The load comes from wrk where it is installed, else from a generator of our own, which is
slower than wrk and so flatters the ratio; which one it was stands in the output. `--check` exits 1 below the targets.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from gateway.core.sources import Source
from gateway.ingest.routes import create_ingest_app
from gateway.ingest.server import IngestServer
from gateway.ingest.source_table import SourceTable
from gateway.service.starting import calm_collector
from gateway.store.sqlite.inbox_writer import SqliteInboxWriter

RATIO_MIN = 0.45  # of bare uvicorn, acknowledged durably
P99_MAX = 5.0  # times bare uvicorn's
BATCH_EVENTS_MIN = 80_000  # a second
CONNECTIONS = 64
BATCH_CONNECTIONS = 16
BATCHES = (300, 500)
BODIES = 32  # distinct batch bodies, sent in turn
EVENT_BYTES = 1_536
KEY = "wk_benchmark"
AUTHORIZATION = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
MARK = "0000000000000000"  # where the number of a message goes

Result = tuple[float, float]  # requests a second, p99 in ms


def event_text() -> str:
    """One audience event, padded to EVENT_BYTES, with MARK in its messageId."""
    event: dict[str, Any] = {
        "type": "track",
        "event": "Audience Entered",
        "userId": "usr_81f3c2",
        "anonymousId": None,
        "messageId": f"personas_{MARK}",
        "properties": {"audience_key": "vip", "vip": True, "email": "ann@example.com", "note": ""},
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_2mPqX7vLr4TzW9kCj3HsYbNd6Fg",
                "computation_key": "vip",
                "namespace": "spa_k3Vt9QmZ2xLw8RbN5pDfJh",
                "space_id": "spa_k3Vt9QmZ2xLw8RbN5pDfJh",
            },
            "traits": {"email": "ann@example.com"},
            "externalIds": [{"id": "ann@example.com", "type": "email", "collection": "users", "encoding": "none"}],
        },
        "integrations": {"All": False, "Webhooks (Actions)": True},
        "timestamp": "2026-11-20T12:00:00.000Z",
        "originalTimestamp": "2026-11-20T12:00:00.000Z",
        "receivedAt": "2026-11-20T12:00:00.000Z",
        "sentAt": "2026-11-20T12:00:00.000Z",
        "version": 2,
    }
    missing = EVENT_BYTES - len(json.dumps(event, separators=(",", ":")))
    event["properties"]["note"] = "x" * missing
    return json.dumps(event, separators=(",", ":"))


# --- The two servers, each in its own process ---


async def bare(_scope: Any, receive: Any, send: Any) -> None:
    """Read the body, answer a constant."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"16")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"success":true}'})


async def serve(which: str, folder: Path) -> None:
    """Run one of the two and print its port."""
    if which == "bare":
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off", "ws": "none"}
        config = uvicorn.Config(
            bare, http="httptools", server_header=False, date_header=False, proxy_headers=False, **options
        )
        print(listener.getsockname()[1], flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])
        return
    table = SourceTable([Source(name="benchmark", write_keys=(KEY,))])
    inbox = SqliteInboxWriter(folder)
    app = create_ingest_app(lambda: table, inbox, key=b"benchmark", now_us=lambda: time.time_ns() // 1000)
    calm_collector()  # as the ingest role does at its start
    print(await IngestServer(app, "127.0.0.1", 0).start(), flush=True)
    await asyncio.Event().wait()


class Running:
    """A server process and its port."""

    def __init__(self, which: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", which, "--folder", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu_s(self) -> float:
        """Processor time the server has used; 0.0 where the system does not tell."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


# --- The load ---

LUA = """
local body, first, last, number = nil, nil, nil, 0
local bodies = {}
function init(args)
  local seed = math.floor(tonumber(args[2]))
  number = seed * 1000000000
  for index = 3, #args do
    local file = io.open(args[index], "rb")
    bodies[#bodies + 1] = file:read("*a")
    file:close()
  end
  wrk.method = "POST"
  wrk.headers["Authorization"] = args[1]
  if #bodies == 1 then
    local at = string.find(bodies[1], "MARK", 1, true)
    first, last = string.sub(bodies[1], 1, at - 1), string.sub(bodies[1], at + 16)
  end
end
function request()
  number = number + 1
  if first then return wrk.format(nil, nil, nil, first .. string.format("%016d", number) .. last) end
  return wrk.format(nil, nil, nil, bodies[number % #bodies + 1])
end
""".replace("MARK", MARK)
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_seeds = iter(range(1, 10**6))


def by_wrk(port: int, path: str, bodies: list[Path], connections: int, seconds: float) -> Result:
    """One round of wrk with one thread."""
    script = bodies[0].parent / "load.lua"
    script.write_text(LUA)
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:.0f}s",
        "--latency",
        "--timeout",
        "10s",
        "-s",
        str(script),
    ]
    command += [f"http://127.0.0.1:{port}{path}", "--", AUTHORIZATION, str(next(_seeds)), *map(str, bodies)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"The server refused requests:\n{text}")
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None
    assert p99 is not None
    return float(rate[1]), float(p99[1]) * _UNITS[p99[2]]


def by_ourselves(port: int, path: str, bodies: list[Path], connections: int, seconds: float) -> Result:
    """One round of raw sockets and epoll, in a process of its own."""
    command = [sys.executable, __file__, "--load", str(port), path, str(connections), str(seconds), str(next(_seeds))]
    done = subprocess.run([*command, *map(str, bodies)], capture_output=True, text=True, check=True)
    rate, p99 = done.stdout.split()
    return float(rate), float(p99)


def requests_of(path: str, bodies: list[bytes], seed: int) -> Iterator[bytes]:
    """Requests without end; a single body gets a new number each time."""
    number = seed * 10**9
    marks = [body.replace(MARK.encode(), b"%016d") if len(bodies) == 1 else body for body in bodies]
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZATION}\r\nContent-Length: "
    heads = [f"{head}{len(body)}\r\n\r\n".encode() for body in bodies]
    while True:
        number += 1
        which = number % len(bodies)
        yield heads[which] + (marks[0] % number if len(bodies) == 1 else bodies[which])


def load(port: int, path: str, connections: int, seconds: float, seed: int, files: list[str]) -> Result:
    """Keep `connections` requests under way and measure each until its answer."""
    requests = requests_of(path, [Path(file).read_bytes() for file in files], seed)
    poll = select.epoll()
    sockets, begun, took = {}, {}, []
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        sockets[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    started = time.perf_counter()
    for number, connection in sockets.items():
        begun[number] = time.perf_counter()
        connection.sendall(next(requests))
    while (now := time.perf_counter()) < started + seconds:
        for number, _ in poll.poll(1.0):
            connection = sockets[number]
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise SystemExit("The server refused a request.")
            now = time.perf_counter()
            took.append(now - begun[number])
            begun[number] = now
            connection.sendall(next(requests))
    return len(took) / (now - started), sorted(took)[int(len(took) * 0.99)] * 1000


# --- The measurement ---


def timed(
    run: Callable[[int, str, list[Path], int, float], Result],
    server: Running,
    path: str,
    bodies: list[Path],
    connections: int,
    options: argparse.Namespace,
) -> tuple[Result, float]:
    """One round, and the server's processor time for each request in microseconds (a busy machine disturbs it least)."""
    before = server.cpu_s()
    result = run(server.port, path, bodies, connections, options.seconds)
    return result, (server.cpu_s() - before) / max(1.0, result[0] * options.seconds) * 1e6


def compare(
    name: str,
    servers: tuple[Running, Running],
    path: str,
    bodies: list[Path],
    options: argparse.Namespace,
    connections: int,
) -> tuple[float, float, float]:
    """Rounds in turn; (median ratio of rates, of p99s, median rate of the gateway)."""
    run = by_wrk if options.generator == "wrk" else by_ourselves
    for server in servers:
        run(server.port, path, bodies, connections, 1)  # warm
    rates, tails, ours = [], [], []
    for number in range(1, options.rounds + 1):
        (plain, plain_us), (kept, kept_us) = (
            timed(run, server, path, bodies, connections, options) for server in servers
        )
        rates.append(kept[0] / plain[0])
        tails.append(kept[1] / plain[1])
        ours.append(kept[0])
        print(
            f"{name:9} {number}: bare {plain[0]:6.0f}/s p99 {plain[1]:6.1f} ms cpu {plain_us:5.0f} us   "
            f"gateway {kept[0]:6.0f}/s p99 {kept[1]:6.1f} ms cpu {kept_us:5.0f} us   ratio {rates[-1]:.2f}, p99 {tails[-1]:.1f}x"
        )
    return statistics.median(rates), statistics.median(tails), statistics.median(ours)


def measure(options: argparse.Namespace) -> bool:
    """Print all figures; whether the targets are met."""
    print(f"load by {options.generator}, {options.rounds} rounds of {options.seconds} s each")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = (Running("bare", folder), Running("gateway", folder))
        try:
            single = folder / "single.json"
            single.write_text(event_text())
            ratio, tail, rate = compare("single", servers, "/v1/track", [single], options, CONNECTIONS)
            good = ratio >= RATIO_MIN and tail <= P99_MAX
            print(
                f"single: {rate:.0f} events/s, {ratio:.2f} of bare (target {RATIO_MIN}), p99 {tail:.1f}x ({P99_MAX}x)"
            )
            for size in BATCHES:
                files = [folder / f"batch-{size}-{number}.json" for number in range(BODIES)]
                for number, file in enumerate(files):
                    events = [event_text().replace(MARK, f"{number:08d}{index:08d}") for index in range(size)]
                    file.write_text('{"batch":[' + ",".join(events) + "]}")
                _, _, rate = compare(f"batch {size}", servers, "/v1/batch", files, options, BATCH_CONNECTIONS)
                good &= rate * size >= BATCH_EVENTS_MIN
                print(f"batch {size}: {rate * size:.0f} events/s (target {BATCH_EVENTS_MIN})")
                for file in files:
                    file.unlink()
        finally:
            for server in servers:
                server.stop()
    return good


def main() -> int:
    """Run what the command line says."""
    if sys.argv[1:2] == ["--load"]:
        port, path, connections, seconds, seed, *files = sys.argv[2:]
        print(*load(int(port), path, int(connections), float(seconds), int(seed), files))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--generator", choices=["wrk", "own"], default="wrk" if shutil.which("wrk") else "own")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve", choices=["bare", "gateway"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve, options.folder))
        return 0
    return 0 if measure(options) or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
