"""`gateway demo`: the whole walk on this machine, with no account anywhere and nothing to configure.

A sandbox of fake partners, the gateway as its own processes on a project folder made for the purpose, fixture events
streamed to it, and every delivery printed as the partner gets it. The gateway then stays up to be played with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.cli.api_client import AdminClient, NotAnsweredError, post
from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, err, fail, out, table
from gateway.cli.project import STARTER_FOLDERS, copy_starter
from gateway.core.freshening import freshened
from gateway.sandbox.partner import Partner
from gateway.sandbox.server import SandboxServer, shipped_partners
from gateway.service.run_files import kept_key, read_run_file

START_S = 60.0
DELIVERED_S = 60.0

# Mapping file → the setting that holds the platform's address, and where the sandbox stands in for it.
PLACES = {
    "stackadapt": ("api_url", "/stackadapt/graphql"),
    "taboola": ("backstage_base_url", "/taboola/backstage"),
    "the-trade-desk": ("api_base_url", "/the-trade-desk/v3"),
    "northwind": ("base_url", "/audience-api/v3"),
}
CREDENTIALS = {  # the sandbox guards nothing
    "STACKADAPT_TOKEN": "sandbox-token",
    "TABOOLA_CLIENT_ID": "sandbox-client",
    "TABOOLA_CLIENT_SECRET": "sandbox-secret",
    "THE_TRADE_DESK_TOKEN": "sandbox-token",
    "NORTHWIND_TOKEN": "sandbox-token",
}

# Audience events as a CDP sends them, and what the gateway must take in its stride beside them.
STREAM = (
    "audience_entered_track.json",
    "identify_enter.json",
    "enriched_entered_track.json",
    "enriched_enter_identify.json",
    "custom_event_name.json",
    "non_ascii_names.json",
    "email_uppercase_and_spaces.json",
    "with_mobile_ids_android.json",
    "journey_v2_all_events_entered.json",
    "webhook_actions_array.json",
    "missing_email.json",
    "computed_trait_identify.json",
    "identify_exit.json",
    "audience_exited_track.json",
)


LIST_AUDIENCE = "vip_customers"
LIST_PEOPLE = 1_600  # The Trade Desk takes no list of fewer than 1,500 people
LIST_BATCH = 400


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("data/demo"), show_default=True
)
@click.option("--exit", "leave", is_flag=True, help="End after the summary instead of staying up.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Another one is taken if it is in use.",
)
def demo(folder: Path, port: int, *, leave: bool) -> None:
    """Run sandbox, gateway and a stream of fixture events; print each delivery. The folder is made anew each time."""
    _make_project(folder)
    try:
        code = asyncio.run(_Demo(folder, port=_free(port), admin_port=_free(8081), leave=leave).run())
    except OSError as error:
        fail(f"The demo cannot run: {error}.", code=EXIT_FAILED)
    raise click.exceptions.Exit(code)


def _make_project(folder: Path) -> None:
    if read_run_file(folder / "state", "engine") is not None:
        fail(f"A demo already runs in {folder}; end it first, or give another --folder.")
    for name in (*STARTER_FOLDERS, "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    copy_starter(folder)


def _point_at(folder: Path, url: str) -> None:
    """Let the example mappings call the sandbox; those that it has no partner for go, so that none calls a real platform."""
    for path in (folder / "mappings").glob("*.json"):
        place = PLACES.get(path.stem)
        if place is None:
            path.unlink()
            continue
        setting, address = place
        file: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        file["settings"][setting] = f"{url}{address}"
        file["enabled"] = True
        path.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")


def _free(wanted: int) -> int:
    """`wanted` if nobody listens there, else 0 for any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


class _Demo:
    def __init__(self, folder: Path, *, port: int, admin_port: int, leave: bool) -> None:
        self.folder = folder
        self.port = port
        self.admin_port = admin_port
        self.leave = leave
        self.shown: Counter[str] = Counter()
        self.stop = asyncio.Event()

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)
        started = time.monotonic()
        partners = shipped_partners()
        async with SandboxServer(partners, port=_free(8090), upload_port=_free(8091)) as sandbox:
            _point_at(self.folder, sandbox.url)
            process = await self._start_gateway()
            try:
                if not await self._ready(process):
                    err.print("[red]error[/red]  The gateway did not start; its own words stand above.")
                    return EXIT_FAILED
                out.print(f"[bold]sandbox[/bold]  {sandbox.url}   its lists, requests and faults, in a browser")
                out.print(
                    f"[bold]gateway[/bold]  http://127.0.0.1:{self.port}   ready after {time.monotonic() - started:.1f} s"
                )
                code = await self._shown(partners)
                if code == EXIT_GOOD and not self.leave and not self.stop.is_set():
                    self._next_steps()
                    await self._follow(partners)
            finally:
                await _end(process)
        return code

    async def _start_gateway(self) -> asyncio.subprocess.Process:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
            **CREDENTIALS,
            "GATEWAY_DATA": str(self.folder / "state"),
            "GATEWAY_MAPPINGS": str(self.folder / "mappings"),
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_ADMIN_PORT": str(self.admin_port),
            "GATEWAY_LOG_LEVEL": "error",
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "serve",
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _ready(self, process: asyncio.subprocess.Process) -> bool:
        """Wait until both roles say that they are ready; False when that does not come.

        Where they listen is read in their run files: at a port that somebody else took first, somebody else would answer.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.returncode is None:
            runs = [read_run_file(self.folder / "state", role) for role in ("ingest-0", "engine")]
            ports = [run.port for run in runs if run is not None]
            if len(ports) == len(runs) and await asyncio.to_thread(_all_ready, ports):
                self.port = ports[0]
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.05)
        return False

    async def _shown(self, partners: list[Partner]) -> int:
        """Show it all; a gateway that ends in the middle has said why itself."""
        try:
            return await self._show(partners)
        except NotAnsweredError as error:
            err.print(f"[red]error[/red]  {escape(str(error))}", soft_wrap=True)
            return EXIT_FAILED

    async def _show(self, partners: list[Partner]) -> int:
        """Stream the fixtures, print what arrives, sum it up."""
        started = time.monotonic()
        bodies = [(name, (self.folder / "fixtures" / name).read_bytes()) for name in STREAM]
        answers: Counter[int] = Counter()
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=out, transient=True
        ) as progress:
            bar = progress.add_task("sending events", total=len(bodies))
            for name, body in bodies:
                answers[await asyncio.to_thread(self._send, body)] += 1
                progress.update(bar, advance=1, description=f"sent {name}")
                self._print_new(partners)
            owed = await self._settled(partners)
        answers.update(await self._fill_list())
        owed = owed and await self._settled(partners)
        owed = owed and await asyncio.to_thread(self._order_list) and await self._settled(partners)
        out.print()
        table("What came of it", ("", ""), self._summary(answers, partners, time.monotonic() - started, settled=owed))
        self._print_lists(partners)
        return EXIT_GOOD if owed and set(answers) == {200} and self.shown else EXIT_FAILED

    def _send(self, body: bytes) -> int:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fresh = freshened(body, now=now, new_id=lambda: f"demo-{uuid.uuid4()}")
        status, _ = post(f"http://127.0.0.1:{self.port}/webhook/demo", fresh, {"Content-Type": "application/json"})
        return status

    async def _fill_list(self) -> Counter[int]:
        """An audience large enough for a platform that takes whole lists."""
        answers: Counter[int] = Counter()
        for first in range(0, LIST_PEOPLE, LIST_BATCH):
            people = [_person(number) for number in range(first, min(first + LIST_BATCH, LIST_PEOPLE))]
            answers[await asyncio.to_thread(self._send, msgspec.json.encode(people))] += 1
        out.print(f"  {LIST_PEOPLE:,} people entered `{LIST_AUDIENCE}`; now its daily list for The Trade Desk, by hand")
        return answers

    def _order_list(self) -> bool:
        """Have the whole list sent now instead of at three in the morning."""
        client = _admin(self.folder / "state")
        if client is None:
            return False
        syncs = client.call("GET", "/api/syncs", dict[str, Any])["syncs"]
        wanted = [
            one["name"] for one in syncs if one["name"].startswith("the-trade-desk/") and LIST_AUDIENCE in one["name"]
        ]
        for name in wanted:
            client.call("POST", f"/api/syncs/{name}:run", dict[str, Any], {})
        return bool(wanted)

    async def _settled(self, partners: list[Partner]) -> bool:
        """Wait until the engine has decided everything and owes nothing; print what arrives meanwhile."""
        deadline = time.monotonic() + DELIVERED_S
        while time.monotonic() < deadline and not self.stop.is_set():
            self._print_new(partners)
            if await asyncio.to_thread(_owes_nothing, self.folder / "state"):
                self._print_new(partners)
                return True
            await asyncio.sleep(0.1)
        return False

    def _print_new(self, partners: list[Partner]) -> None:
        """Print each request that a partner answered since the last call."""
        for partner in partners:
            with partner.changes.reading():
                fresh = [one for one in partner.log if one.is_done and one.number > self.shown[partner.name]]
            for request in fresh:
                self.shown[partner.name] = request.number
                colour = "green" if request.status is not None and request.status < HTTPStatus.BAD_REQUEST else "red"
                said = partner.headline(request)
                out.print(
                    f"  [{colour}]→ {escape(partner.title)}[/{colour}]  {request.status}  {escape(said)}",
                    soft_wrap=True,
                )

    def _summary(
        self, answers: Counter[int], partners: list[Partner], took_s: float, *, settled: bool
    ) -> list[tuple[str, str]]:
        rows = [("requests answered 200", f"{answers[200]} of {sum(answers.values())}")]
        rows += [(f"{partner.title}: requests", str(len(partner.log))) for partner in partners if len(partner.log)]
        rows.append(("everything delivered", f"yes, after {took_s:.1f} s" if settled else "no"))
        return rows

    def _print_lists(self, partners: list[Partner]) -> None:
        for partner in (one for one in partners if len(one.log)):
            out.print()
            table(f"Lists at {partner.title}", ("audience", "people in it"), partner.list_sizes())

    def _next_steps(self) -> None:
        mapping = self.folder / "mappings" / "stackadapt.json"
        event = self.folder / "fixtures" / "examples" / "cart_rescue_entered.json"
        command = f"GATEWAY_DATA={self.folder / 'state'} {_program()}"
        out.print("\n[bold]Try next[/bold], in another terminal; deliveries go on being printed here:", soft_wrap=True)
        out.print(f"\n  curl -u local: --data @{event} http://127.0.0.1:{self.port}/v1/identify\n", soft_wrap=True)
        out.print(
            f"  Then edit {mapping}, say the name `plan`, save it, and run the same curl again: the change is in force",
            soft_wrap=True,
        )
        out.print("  within a second. A mistake in the file would keep the old version in force and be shown here.\n")
        out.print(f"  {command} tail     what became of each event, and why", soft_wrap=True)
        out.print(
            f"  {command} send {self.folder / 'fixtures' / 'examples'}/cart_rescue_exited.json     she leaves again\n",
            soft_wrap=True,
        )
        out.print("[dim]Ctrl-C ends the demo.[/dim]")

    async def _follow(self, partners: list[Partner]) -> None:
        while not self.stop.is_set():
            self._print_new(partners)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 0.2)


def _program() -> str:
    """How this program is called: by its name where the path has it, else as it was called now."""
    if shutil.which("gateway"):
        return "gateway"
    return f"{sys.executable} -m gateway" if sys.argv[0].endswith(".py") else sys.argv[0]


def _all_ready(ports: list[int]) -> bool:
    try:
        return all(post(f"http://127.0.0.1:{port}/readyz", b"", {}, method="GET")[0] == 200 for port in ports)
    except NotAnsweredError:
        return False


def _person(number: int) -> dict[str, object]:
    """Somebody invented who enters the large audience, as Engage says it."""
    email = f"member{number}@example.com"
    return {
        "type": "track",
        "event": "Audience Entered",
        "userId": f"member-{number}",
        "properties": {"audience_key": LIST_AUDIENCE, LIST_AUDIENCE: True, "email": email},
        "context": {
            "traits": {"email": email},
            "personas": {
                "computation_class": "audience",
                "computation_id": LIST_AUDIENCE,
                "computation_key": LIST_AUDIENCE,
            },
        },
    }


def _admin(data: Path) -> AdminClient | None:
    run = read_run_file(data, "engine")
    return AdminClient(f"http://127.0.0.1:{run.port}", kept_key(data, "admin", "")) if run else None


def _owes_nothing(data: Path) -> bool:
    """Whether everything is decided and sent, and no run is under way."""
    client = _admin(data)
    if client is None:
        return False
    status = client.call("GET", "/api/status", dict[str, Any])
    if status["backlog_frames"] or any(lane["due"] + lane["in_flight"] for lane in status["lanes"]):
        return False
    runs = client.call("GET", "/api/runs", dict[str, Any])["runs"]
    return not any(run["status"] in ("queued", "planning", "sending") for run in runs)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()
