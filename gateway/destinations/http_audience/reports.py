"""The verbs of `gateway destination` as values: what a check tells, what a file's own samples come to. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.errors import Problem
from gateway.destinations.http_audience.rehearsing import Given, Setting, preview
from gateway.destinations.http_audience.shape import AUDIENCE_ID, AUDIENCE_NAME, DefinitionFile, TargetKey

STAND_IN_ADDRESS = "https://partner.example.com"
STAND_INS = ("1", "sample", "a", "EU")  # for target values that a sample needs and nobody gave


def check_report(file: DefinitionFile | None, problems: Sequence[Problem]) -> dict[str, object]:
    """`{"valid", "errors", "warnings", "record_fields", "target_keys"}`."""
    actions = file.actions if file is not None else {}
    keys = dict.fromkeys(key for action in actions.values() for key in action.target_keys)
    return {
        "valid": file is not None,
        "errors": [_told(problem) for problem in problems if problem.severity == "error"],
        "warnings": [_told(problem) for problem in problems if problem.severity != "error"],
        "record_fields": {name: action.record_fields for name, action in actions.items()},
        "target_keys": list(keys),
    }


def _told(problem: Problem) -> dict[str, object]:
    return {
        "pointer": problem.pointer,
        "code": "config_invalid" if problem.severity == "error" else "config_warning",
        "message": f"{problem.what} {problem.mend}".strip(),
        "line": problem.line,
        "column": problem.column,
    }


async def sample_report(file: DefinitionFile, setting: Setting | None = None) -> dict[str, object]:
    """Run the file's samples: each must be sent, or refused with the code it names. `{"passed", "samples", "requests"}`."""
    records = [Given(id=one.id, action=one.action, fields=one.fields) for one in file.samples]
    shown = await preview(file, records, setting or stand_in(file))
    rejected = shown["rejected"]
    assert isinstance(rejected, list)
    codes = {str(one["record_id"]): one for one in rejected}
    samples = []
    for sample in file.samples:
        got = codes.get(sample.id)
        code = got["code"] if got else ""
        samples.append(
            {
                "id": sample.id,
                "passed": code == sample.rejected,
                "expected": sample.rejected or "sent",
                "got": code or "sent",
                "message": got["message"] if got else "",
            }
        )
    return {"passed": all(one["passed"] for one in samples), "samples": samples, "requests": shown["requests"]}


def stand_in(file: DefinitionFile) -> Setting:
    """A target for trying a file without a sync: defaults, else the first stand-in that fits."""
    entry: dict[str, object] = {}
    settings: dict[str, object] = {
        one.key: one.example or STAND_INS[0] for one in file.settings if not one.secret and one.default is None
    }
    if file.asked_address is not None:
        settings["base_url"] = file.asked_address.example or STAND_IN_ADDRESS
    for key in file.target:
        if key.default is None:
            entry[{AUDIENCE_ID: "external_id", AUDIENCE_NAME: "name"}.get(key.key, key.key)] = _fitting(key)
    return Setting(entry=entry, settings=settings)


def _fitting(key: TargetKey) -> str:
    if key.example:
        return key.example
    return next((text for text in STAND_INS if key.fits is None or key.fits(text)), STAND_INS[0])
