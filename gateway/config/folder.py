"""The folder `mappings/`: which files belong to the rulebook, and compiling the sources, which is all that ingest reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from gateway.config.files import FILES_MAX, RawFile, read_file
from gateway.config.secrets import SecretSource
from gateway.config.source_files import read_sources
from gateway.core.errors import Problem
from gateway.core.sources import Source

SOURCES_FILE = "sources.json"
DEFINITIONS_FOLDER = "destinations"

T = TypeVar("T")


class FolderText(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one folder as they lay there at one moment. unreadable: problems of files that could not be read."""

    sources: RawFile | None
    mappings: tuple[RawFile, ...]
    definitions: tuple[RawFile, ...] = ()
    unreadable: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """A short name for exactly this content."""
        hashed = hashlib.blake2b(digest_size=8)
        for path, raw in self.files():
            hashed.update(f"{path}\0{len(raw.text)}\0{raw.text}".encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()

    def files(self) -> Iterator[tuple[str, RawFile]]:
        """(path within the folder, file) of every file."""
        for raw in (*((self.sources,) if self.sources else ()), *self.mappings):
            yield f"{raw.stem}.json", raw
        for raw in self.definitions:
            yield f"{DEFINITIONS_FOLDER}/{raw.stem}.json", raw


class Loaded(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a folder compiled to. value: None when anything in it is an error."""

    value: T | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """The problems that kept it from loading."""
        return [problem for problem in self.problems if problem.severity == "error"]


def read_folder(folder: Path, *, sources_only: bool = False) -> FolderText:
    """Read the files that make a rulebook: `*.json` of the folder, `sources.json` apart, and of `destinations/`."""
    if not folder.is_dir():
        problem = Problem(file=folder.as_posix(), what="There is no such folder.", mend="`gateway init` makes one.")
        return FolderText(sources=None, mappings=(), unreadable=(problem,))
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    unreadable: list[Problem] = []
    if len(paths) > FILES_MAX:
        unreadable.append(
            Problem(file=folder.as_posix(), what=f"There are more than {FILES_MAX} files in this folder.")
        )
    sources: RawFile | None = None
    mappings: list[RawFile] = []
    definitions: list[RawFile] = []
    if not sources_only:
        paths = [*paths[:FILES_MAX], *sorted((folder / DEFINITIONS_FOLDER).glob("*.json"))[:FILES_MAX]]
    for path in paths:
        if sources_only and path.name != SOURCES_FILE:
            continue
        read = read_file(path, path.as_posix())
        if isinstance(read, Problem):
            unreadable.append(read)
        elif path.parent != folder:
            definitions.append(read)
        elif path.name == SOURCES_FILE:
            sources = read
        else:
            mappings.append(read)
    return FolderText(
        sources=sources, mappings=tuple(mappings), definitions=tuple(definitions), unreadable=tuple(unreadable)
    )


def compile_sources(text: FolderText, secrets: SecretSource) -> Loaded[dict[str, Source]]:
    """Compile sources.json alone; a folder without one has no sources."""
    problems = list(text.unreadable)
    sources: dict[str, Source] = {}
    if text.sources is not None:
        sources, found = read_sources(text.sources, secrets)
        problems.extend(found)
    failed = any(problem.severity == "error" for problem in problems)
    return Loaded(value=None if failed else sources, problems=tuple(problems))
