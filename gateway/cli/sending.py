"""`gateway send`: put events in by hand."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.markup import escape

from gateway.cli.api_client import NotAnsweredError, post, running_ingest
from gateway.cli.output import EXIT_FAILED, EXIT_GOOD, EXIT_INVALID, fail, out
from gateway.cli.settings import environment
from gateway.core.freshening import freshened

_ROUTES = {
    "track": "/v1/track",
    "identify": "/v1/identify",
    "page": "/v1/page",
    "screen": "/v1/screen",
    "group": "/v1/group",
    "alias": "/v1/alias",
}


@click.command()
@click.argument("fixtures", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--url", default="", help="Base URL of ingest; default: the gateway that runs here.")
@click.option("--write-key", default="local", show_default=True, help="Write key of the source, for /v1.")
@click.option("--webhook", default="", help="Send to /webhook/NAME (or NAME/TOKEN) instead of /v1.")
@click.option("--header", "headers", multiple=True, help="A further header, as `Name: value`.")
@click.option(
    "--times", type=click.IntRange(1, 100_000), default=1, show_default=True, help="How often each file is sent."
)
@click.option("--as-is", is_flag=True, help="Byte for byte, with the ids and times of the file.")
def send(
    fixtures: tuple[Path, ...],
    url: str,
    write_key: str,
    webhook: str,
    headers: tuple[str, ...],
    *,
    times: int,
    as_is: bool,
) -> None:
    """Send event files to the gateway and print each answer.

    Ids and times are made new, so that a file sent twice is two events; --as-is keeps them.
    """
    base = url or running_ingest(environment().data)
    if not base:
        fail("No gateway runs here. Start it with `gateway serve`, or give --url.")
    given = _headers(headers)
    code = EXIT_GOOD
    for path in (one for one in fixtures for _ in range(times)):
        data = path.read_bytes()
        body = (
            data
            if as_is
            else freshened(
                data, now=datetime.now(UTC).isoformat(timespec="milliseconds"), new_id=lambda: str(uuid.uuid4())
            )
        )
        target = f"/webhook/{webhook}" if webhook else route_of(body)
        try:
            status, answer = post(base.rstrip("/") + target, body, {**_credentials(write_key, webhook), **given})
        except NotAnsweredError as error:
            fail(str(error))
        colour = "green" if status == 200 else "red"
        out.print(
            f"[{colour}]{status}[/{colour}]  {escape(str(path))} → {escape(target)}  {escape(answer.decode(errors='replace'))}",
            soft_wrap=True,
        )
        code = code if status == 200 else EXIT_FAILED
    raise click.exceptions.Exit(code)


def route_of(body: bytes) -> str:
    """The route an SDK would use for this body; what has no place under /v1 goes to the webhook of the source `local`."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "/v1/track"
    if isinstance(value, dict) and "batch" in value:
        return "/v1/batch"
    kind = value.get("type") if isinstance(value, dict) else None
    return _ROUTES.get(kind, "/webhook/local") if isinstance(kind, str) else "/webhook/local"


def _credentials(write_key: str, webhook: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if not webhook:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{write_key}:'.encode()).decode()}"
    return headers


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            fail(f"`{one}` is not a header; write `Name: value`.", code=EXIT_INVALID)
        found[name.strip()] = value.strip()
    return found
