"""Compiling everything in the folder `mappings/` into one rulebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.config.advice import Advisor
from gateway.config.folder import FolderText, Loaded, compile_sources
from gateway.config.mapping_files import compile_file
from gateway.config.secrets import SecretSource
from gateway.config.sync_blocks import shared_targets
from gateway.core.definitions import Definition
from gateway.core.errors import Problem
from gateway.core.rulebook import CompiledDestination, MembershipRules, Rulebook

Definitions = Callable[[FolderText], tuple[Mapping[str, Definition], list[Problem]]]
"""Gives the destination definitions by every slug; those that the folder itself brings are compiled from it."""


def compile_rulebook(
    text: FolderText, definitions: Definitions, secrets: SecretSource, advisor: Advisor | None = None
) -> Loaded[Rulebook]:
    """Compile everything, reporting all problems of all files at once. advisor: what destinations say of their settings."""
    sources = compile_sources(text, secrets)
    known, found = definitions(text)
    problems = [*sources.problems, *found]
    destinations: list[CompiledDestination] = []
    for raw in text.mappings:
        compiled = compile_file(raw, known, secrets, advisor)
        problems.extend(compiled.problems)
        if compiled.destination is not None:
            destinations.append(compiled.destination)
    problems.extend(shared_targets(destinations))
    if any(problem.severity == "error" for problem in problems):
        return Loaded(value=None, problems=tuple(problems))
    rulebook = Rulebook(
        version=text.digest,
        destinations=tuple(destinations),
        sources=sources.value or {},
        membership=MembershipRules(),
    )
    return Loaded(value=rulebook, problems=tuple(problems))
