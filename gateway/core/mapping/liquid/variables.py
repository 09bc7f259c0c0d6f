"""Which variables a template reads, in all its branches, as editors list them."""

import re
from collections.abc import Iterator

from gateway.core.javascript import code_units, in_key_order, number_text
from gateway.core.mapping.liquid.expressions import Constant, Filtered, Variable, filtered_variables, variables_of
from gateway.core.mapping.liquid.nodes import Assign, Body, Capture, Choice, Cycle, Group, Output

_DOTTED = re.compile("[\u0080-\uffffa-zA-Z_][\u0080-\uffffa-zA-Z0-9_-]*")

Path = list[object]  # of texts, numbers, and the paths of computed keys


def variable_names(body: Body) -> list[str]:
    """The distinct variables: by root, those of one root together, roots in JavaScript's order of keys; computed keys too."""
    by_root: dict[str, list[str]] = {}
    for variable in _read_in(body):
        _note(_path(variable), by_root)
    return list(dict.fromkeys(name for root in in_key_order({**by_root}) for name in by_root[root]))


def filter_names(body: Body) -> list[str]:
    """The distinct names of the filters a template uses, in order."""
    return list(dict.fromkeys(each.name for filtered in _filtered_in(body) for each in filtered.filters))


def _filtered_in(body: Body) -> Iterator[Filtered]:
    for node in body:
        if isinstance(node, (Output, Assign)) and node.value is not None:
            yield node.value
        elif isinstance(node, Choice):
            for branch in node.branches:
                yield branch.condition
                yield from _filtered_in(branch.body)
            yield from _filtered_in(node.otherwise)
        elif isinstance(node, (Capture, Group)):
            yield from _filtered_in(node.body)


def _note(path: Path, by_root: dict[str, list[str]]) -> None:
    """List a path under its root, then the paths that compute some of its keys."""
    by_root.setdefault(_written(path[:1]), []).append(_written(path, brackets_root=True))
    for segment in path:
        if isinstance(segment, list):
            _note(segment, by_root)


def _read_in(body: Body) -> Iterator[Variable]:
    for node in body:
        if isinstance(node, (Output, Assign)) and node.value is not None:
            yield from filtered_variables(node.value)
        elif isinstance(node, Choice):
            for branch in node.branches:
                yield from filtered_variables(branch.condition)
            for inner in (*(branch.body for branch in node.branches), node.otherwise):
                yield from _read_in(inner)
        elif isinstance(node, Cycle):
            for value in (*node.values, node.group):
                yield from variables_of(value)
        elif isinstance(node, (Capture, Group)):
            yield from _read_in(node.body)


def _path(variable: Variable) -> Path:
    """The path of a variable. One that begins in brackets with another begins with all of that one."""
    path: Path = []
    for index, step in enumerate(variable.steps):
        if isinstance(step, Constant):
            path.append(step.value)
        elif isinstance(step, Variable):
            path += _path(step) if index == 0 else [_path(step)]
    return path


def _written(path: Path, *, brackets_root: bool = False) -> str:
    """A path as it would stand in a template; a root that is no text is not written."""
    text = ""
    for index, segment in enumerate(path):
        if isinstance(segment, list):
            text += f"[{_written(segment)}]" if index else ""
        elif isinstance(segment, str):
            dotted = _DOTTED.fullmatch(code_units(segment)) is not None
            if index == 0:
                text += segment if dotted or not brackets_root else f"['{segment}']"
            else:
                text += f".{segment}" if dotted else f"['{segment}']"
        elif index and isinstance(segment, (int, float)):
            text += f"[{number_text(segment)}]"
    return text
