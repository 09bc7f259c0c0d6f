"""`mappings/cases/<file>.json`: for each mapping of a file, events and what they must give; run by `gateway check` and `test`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.config.files import FILES_MAX, Findings, kind, parse_file, read_file
from gateway.core.errors import Problem

CASES_FOLDER = "cases"
CASES_MAX = 10_000  # in one file

_members = ("name", "mapping", "event", "expect")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One example of one mapping. event: bytes of the event's JSON. One of payload, skipped and kept: what it must give.

    kept: "in" or "out", what a mapping with a sync keeps of the member until its next run.

    file, pointer: where it stands. destination: stem of the mapping file it belongs to. mapping: name as written.
    """

    name: str
    file: str
    pointer: str
    line: int
    destination: str
    mapping: str
    event: bytes
    payload: object = msgspec.UNSET
    skipped: str = ""
    kept: str = ""


def read_cases(mappings: Path, fixtures: Path) -> tuple[list[Case], list[Problem]]:
    """Read all case files. fixtures: folder that event file names are relative to."""
    cases: list[Case] = []
    problems: list[Problem] = []
    for path in sorted((mappings / CASES_FOLDER).glob("*.json"))[:FILES_MAX]:
        raw = read_file(path, path.as_posix())
        if isinstance(raw, Problem):
            problems.append(raw)
            continue
        findings = parse_file(raw)
        if findings.document is not None:
            cases.extend(_cases(findings, path.stem, fixtures))
        problems.extend(findings.problems)
    return cases, problems


def _cases(findings: Findings, stem: str, fixtures: Path) -> list[Case]:
    assert findings.document is not None
    entries = findings.document.value
    if not isinstance(entries, list) or len(entries) > CASES_MAX:
        findings.add("", f"A case file is a list of at most {CASES_MAX} cases, but here is {kind(entries)}.")
        return []
    found = [_case(entry, f"/{index}", findings, stem, fixtures) for index, entry in enumerate(entries)]
    return [case for case in found if case is not None]


def _case(entry: object, pointer: str, findings: Findings, stem: str, fixtures: Path) -> Case | None:
    members = findings.table(entry, pointer, _members, what="a case")
    if members is None:
        return None
    name = findings.text(members, "name", pointer)
    mapping = findings.text(members, "mapping", pointer)
    event = _event(members.get("event"), f"{pointer}/event", findings, fixtures)
    expect = findings.table(
        members.get("expect", {}), f"{pointer}/expect", ("payload", "skipped", "kept"), what="expect"
    )
    if event is None or expect is None:
        return None
    if len(expect) != 1:
        findings.add(f"{pointer}/expect", "A case expects a `payload`, to be `skipped`, or (with a sync) to be `kept`.")
        return None
    skipped = expect.get("skipped", "")
    if not isinstance(skipped, str) or ("skipped" in expect and not skipped):
        findings.add(f"{pointer}/expect/skipped", "`skipped` is the reason's code, such as `not_matching`.")
        return None
    kept = findings.choice(expect, "kept", f"{pointer}/expect", ("in", "out"), "in") if "kept" in expect else ""
    line, _ = findings.document.place(pointer) if findings.document else (0, 0)
    return Case(
        name=name,
        file=findings.file,
        pointer=pointer,
        line=line,
        destination=stem,
        mapping=mapping,
        event=event,
        payload=expect.get("payload", msgspec.UNSET),
        skipped=skipped,
        kept=kept,
    )


def _event(value: object, pointer: str, findings: Findings, fixtures: Path) -> bytes | None:
    if isinstance(value, dict):
        return msgspec.json.encode(value)
    if not isinstance(value, str):
        findings.add(pointer, "`event` must be an event, or the name of a file in fixtures/.")
        return None
    path = fixtures / value
    try:
        inside = path.resolve().is_relative_to(fixtures.resolve())
        text = path.read_bytes() if inside else None
    except OSError:
        text = None
    if text is None:
        findings.add(pointer, f"There is no file `{value}` in {fixtures.as_posix()}.")
    return text
