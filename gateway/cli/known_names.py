"""Names given on the command line held against those that exist, where nothing was found by them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from gateway.cli.output import EXIT_INVALID, fail
from gateway.cli.settings import environment
from gateway.config.folder import FolderText, compile_sources, read_folder
from gateway.config.secrets import SecretSource
from gateway.service.known_names import UNCONFIGURED, listed
from gateway.store.api import StateView


def refuse_unknown_lane(view: StateView, lane: str) -> None:
    """End with 2 where neither a file nor anything kept has this name."""
    known = {one.stem for one in _folder().mappings} | {row.lane for row in view.lanes()}
    if lane not in known:
        fail(f"No destination is called `{lane}`; there are {listed(known)}.", code=EXIT_INVALID)


def refuse_unknown_mapping(mapping: str) -> None:
    """End with 2 where no file has such a mapping. Nothing that is kept has the name, since nothing was found by it."""
    known = set(_mappings(_folder()))
    if mapping not in known:
        fail(f"No mapping is called `{mapping}`; there are {listed(known)}.", code=EXIT_INVALID)


def refuse_unknown_source(source: str) -> None:
    """End with 2 where `sources.json` does not name it. No event that is kept came by it, since none was found."""
    loaded = compile_sources(read_folder(environment().mappings, sources_only=True), _any_secrets())
    if loaded.value is None:
        return  # a file that is broken tells nothing; `gateway check` tells why
    known = set(loaded.value) or {UNCONFIGURED}
    if source not in known:
        fail(f"No source is called `{source}`; there are {listed(known)}.", code=EXIT_INVALID)


def _folder() -> FolderText:
    return read_folder(environment().mappings)


def _any_secrets() -> SecretSource:
    return SecretSource(variables=os.environ, strict=False)


def _mappings(folder: FolderText) -> Iterator[str]:
    """Ids of the mappings of all files, compiled or not."""
    from gateway.config.mapping_entries import slug_of  # noqa: PLC0415 # it takes long to load, and few come here

    for raw in folder.mappings:
        try:
            file = msgspec.json.decode(raw.text, type=_File)
        except msgspec.DecodeError:
            continue
        for one in file.mappings:
            yield f"{raw.stem}/{slug_of(one.name)}"


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _File(msgspec.Struct, frozen=True):
    mappings: list[_Named] = []
