"""`fixtures/manifest.json` as data for tests: which request each file is, and what it must give."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures"
MANIFEST: dict[str, Any] = json.loads((FIXTURES / "manifest.json").read_bytes())
SERVER_KEY: str = MANIFEST["parameters"]["server_write_key"]
BROWSER_KEY: str = MANIFEST["parameters"]["browser_write_key"]
WEBHOOK_SOURCE: str = MANIFEST["parameters"]["source"]
SHARED_SECRET: str = MANIFEST["parameters"]["shared_secret"]

# Warnings that only the ledger of memberships can know; ingest and reading never give them.
LEDGER_WARNINGS = frozenset({"membership_name_mismatch", "membership_not_trusted", "message_id_reused"})


class Fixture:
    """One entry of the manifest. `entry` is the manifest's own object, with every member that applies."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.file: str = entry["file"]
        self.route: str = entry["route"]
        self.auth: str = entry.get("auth", "basic")
        self.status: int = entry["status"]
        self.accepted: int = entry["accepted"]
        self.codes: list[str] = entry.get("code_any_of", [entry["code"]] if "code" in entry else [])
        self.rejected: list[tuple[int, str]] = [(each["index"], each["code"]) for each in entry.get("rejected", [])]
        self.events: list[dict[str, Any]] = entry.get("events", [])

    def __repr__(self) -> str:
        return self.file

    @property
    def body(self) -> bytes:
        """The request body, byte for byte."""
        return (FIXTURES / self.file).read_bytes()

    @property
    def is_webhook(self) -> bool:
        """Whether it is posted to a webhook route."""
        return self.route.startswith("/webhook/")

    def path(self, source: str = WEBHOOK_SOURCE) -> str:
        """The path to post to."""
        return self.route.replace("{source}", source)

    def headers(self) -> dict[str, str]:
        """The headers the manifest asks for, without credentials."""
        found = {"Content-Type": self.entry["content_type"]}
        if "content_encoding" in self.entry:
            found["Content-Encoding"] = self.entry["content_encoding"]
        if self.auth == "x_signature":
            found["X-Signature"] = self.entry["x_signature"]
        return found


ALL = [Fixture(entry) for entry in MANIFEST["fixtures"]]
BY_FILE = {fixture.file: fixture for fixture in ALL}
GENERATED: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in MANIFEST["generated"]}


def with_events() -> list[Fixture]:
    """Fixtures for which the manifest says what each accepted event means."""
    return [fixture for fixture in ALL if fixture.events]
