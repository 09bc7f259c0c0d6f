"""Docs are held to the code: every command, setting, metric and log event stands in its page."""

import re
from pathlib import Path

import pytest

from gateway.cli import _COMMANDS
from gateway.config.environment import VARIABLES
from gateway.config.schema import mapping_file_schema
from gateway.core.routing import SKIPPED_BECAUSE
from gateway.observe import metrics
from gateway.service.shelf import shipped

ROOT = Path(__file__).parent.parent
_LOG_CALL = re.compile(r"\b(?:log|_log|logger\(\))\s*\.\s*(?:debug|info|warning|error)\(\s*(f?)\"([^\"]+)\"")


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_is_described(command):
    """In docs/commands.md, as a heading of its own."""
    assert f"\n### gateway {command}\n" in page("commands.md")


@pytest.mark.parametrize("variable", [one.name for one in VARIABLES])
def test_every_setting_is_described(variable):
    """In docs/operating.md, with its default."""
    assert f"| `GATEWAY_{variable}` |" in page("operating.md")


def test_every_metric_is_described_and_no_other():
    """In docs/metrics.md."""
    names = {
        one._name + ("_total" if one._type == "counter" else "")
        for one in vars(metrics).values()
        if hasattr(one, "_documentation")
    }
    assert set(re.findall(r"^\| `(gateway_[a-z_]+)` \|", page("metrics.md"), re.MULTILINE)) == names


def test_every_log_event_is_described_and_no_other():
    """In docs/metrics.md; names made from parts stand there with each of their parts."""
    found: set[str] = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for made, name in _LOG_CALL.findall(path.read_text(encoding="utf-8")):
            found |= {name.replace("{what}", what) for what in ("rulebook", "sources")} if made else {name}
    assert set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page("metrics.md"), re.MULTILINE)) == found


@pytest.mark.parametrize("code", sorted(SKIPPED_BECAUSE))
def test_every_reason_for_not_sending_is_described(code):
    """In docs/events.md."""
    assert f"| `{code}` |" in page("events.md")


def test_the_schema_for_editors_is_current():
    """`make schema` renews gateway/config/mapping.schema.json."""
    import msgspec

    made = mapping_file_schema(one.definition for one in shipped().values())
    kept = msgspec.json.decode((ROOT / "gateway/config/mapping.schema.json").read_bytes())
    assert kept == msgspec.json.decode(msgspec.json.encode(made))


def test_links_between_pages_lead_somewhere():
    """Every relative link of README and docs/ names a file that is there."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [
        (path, target)
        for path in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    ]
    assert [f"{path.name} → {target}" for path, target in links if not (path.parent / target).exists()] == []
