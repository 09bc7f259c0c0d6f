"""Reading the files of `mappings/`: text, places, and a list that collects what is wrong with one file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from gateway.config.positions import FILE_BYTES_MAX, Document, JsonSyntaxError, escape, read_json
from gateway.core.errors import Problem

FILES_MAX = 1000  # mapping files in one folder


class RawFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it lies there. name: path shown to people, with forward slashes."""

    name: str
    stem: str
    text: str


class Findings:
    """Collects the problems of one file, each with line, column and pointer."""

    def __init__(self, file: str, document: Document | None = None) -> None:
        self.file = file
        self.document = document
        self.problems: list[Problem] = []

    @property
    def has_errors(self) -> bool:
        """Whether anything found keeps the file from loading."""
        return any(problem.severity == "error" for problem in self.problems)

    def add(self, pointer: str, what: str, mend: str = "", *, severity: str = "error", column_offset: int = 0) -> None:
        """Keep one problem. column_offset: columns into the text value at `pointer`, from 1; 0 for the value itself."""
        line, column = self.document.place(pointer) if self.document else (0, 0)
        if column_offset:
            column += column_offset  # the opening quote is the value's first column
        self.problems.append(
            Problem(what=what, mend=mend, file=self.file, pointer=pointer, line=line, column=column, severity=severity)
        )

    def warn(self, pointer: str, what: str, mend: str = "", *, column_offset: int = 0) -> None:
        """Keep one warning."""
        self.add(pointer, what, mend, severity="warning", column_offset=column_offset)

    def table(self, value: object, pointer: str, known: Iterable[str], *, what: str) -> dict[str, object] | None:
        """Return `value` if it is an object; unknown members are errors with the likeliest right name."""
        if not isinstance(value, dict):
            self.add(pointer, f"{what} must be an object, but it is {kind(value)}.")
            return None
        names = list(known)
        for key in value:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                mend = f"Did you mean `{near[0]}`?" if near else f"Known members: {', '.join(names)}."
                self.add(f"{pointer}/{escape(key)}", f"`{key}` is not a member of {what}.", mend)
        return value

    def text(self, owner: Mapping[str, object], key: str, pointer: str, *, default: str | None = None) -> str:
        """Return a text member; a missing one without default, or one of another type, is an error."""
        if key not in owner:
            if default is None:
                self.add(pointer, f"`{key}` is missing.", f'Add `"{key}": "…"`.')
            return default or ""
        value = owner[key]
        if not isinstance(value, str) or not value.strip():
            self.add(f"{pointer}/{key}", f"`{key}` must be a text that is not empty, but it is {kind(value)}.")
            return default or ""
        return value

    def flag(self, owner: Mapping[str, object], key: str, pointer: str, *, default: bool) -> bool:
        """Return a boolean member or its default; another type is an error."""
        value = owner.get(key, default)
        if not isinstance(value, bool):
            self.add(f"{pointer}/{key}", f"`{key}` must be true or false, but it is {kind(value)}.")
            return default
        return value

    def choice(
        self, owner: Mapping[str, object], key: str, pointer: str, choices: tuple[str, ...], default: str
    ) -> str:
        """Return a text member that is one of `choices`; anything else is an error."""
        value = owner.get(key, default)
        if not isinstance(value, str) or value not in choices:
            shown = f"`{value}`" if isinstance(value, str) else kind(value)
            self.add(f"{pointer}/{key}", f"`{key}` must be one of {', '.join(choices)}, but it is {shown}.")
            return default
        return value

    def number(
        self, owner: Mapping[str, object], key: str, pointer: str, low: float, high: float, default: float
    ) -> float:
        """Return a number member within bounds, or its default; anything else is an error."""
        value = owner.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.add(f"{pointer}/{key}", f"`{key}` must be a number from {low:g} to {high:g}.")
            return default
        return value


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    words = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    found = words[type(value)]
    return "an empty text" if value == "" else found


def read_file(path: Path, name: str) -> RawFile | Problem:
    """Read one file, or say why it cannot be read."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            return Problem(file=name, what=f"The file is larger than {FILE_BYTES_MAX} bytes.", mend="Split it.")
        return RawFile(name=name, stem=path.stem, text=path.read_text(encoding="utf-8-sig"))
    except UnicodeError:
        return Problem(file=name, what="The file is not UTF-8 text.", mend="Save it as UTF-8.")
    except OSError as error:
        return Problem(file=name, what=f"The file cannot be read: {error.strerror or type(error).__name__}.")


def parse_file(raw: RawFile) -> Findings:
    """Parse a file: the findings hold its document, or the syntax error."""
    try:
        document = read_json(raw.text)
    except JsonSyntaxError as error:
        findings = Findings(raw.name)
        findings.problems.append(
            Problem(file=raw.name, what=f"This is not JSON: {error.what}", line=error.line, column=error.column)
        )
        return findings
    findings = Findings(raw.name, document)
    for pointer in document.repeated:
        findings.add(pointer, "This member stands here twice.", "Keep one of them; JSON would silently use the last.")
    return findings
