"""`python -m gateway.conformance`: JSON lines in, JSON lines out, so that anyone can hold the gateway against a reference.

One line is one question, `{"id": …, "kind": …, …}`; answers come in the same order: `{"id": …, "ok": true, "result": …}` (no
`result` when the value is undefined) or `{"id": …, "ok": false, "error": {"messages": […]}}`. Kinds: `fql`, `fql-parse`,
`fql-ast`, `fql-gen`, `map`, `map-batch`, `keys`, `wire`, `member`; `docs/conformance.md` says what each takes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from gateway.core import fql
from gateway.core.javascript import UNDEFINED, json_text, parse_json
from gateway.core.mapping import MappingError, transform, transform_batch, value_keys
from gateway.destinations.rehearsal import MemberCase, WireCase, member_result, wire_result

Question = dict[str, object]


def answer(question: Question) -> object:
    """The result of one question. Raises FqlError, TriggerError, MappingError or LookupError where there is none."""
    kind = question.get("kind")
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise LookupError(f"There is no kind {kind!r}; there are {', '.join(_KINDS)}.")
    return known(question)


def _event(question: Question) -> object:
    return question.get("event", UNDEFINED)


def _fql_parse(question: Question) -> object:
    return fql.parse_json(str(question["fql"]))


def _fql(question: Question) -> object:
    return fql.evaluate(str(question["fql"]), _event(question))


def _fql_tree(question: Question) -> object:
    return fql.evaluate_tree(question.get("ast"), _event(question))


def _fql_generate(question: Question) -> object:
    return fql.generate(question.get("ast"))


def _map(question: Question) -> object:
    return transform(question.get("mapping"), _event(question))


def _map_batch(question: Question) -> object:
    return transform_batch(question.get("mapping"), question.get("events", UNDEFINED))


def _keys(question: Question) -> object:
    return value_keys(question.get("value"))


def _wire(question: Question) -> object:
    known = {name: value for name, value in question.items() if name in WireCase.__struct_fields__}
    return asyncio.run(wire_result(msgspec.convert(known, WireCase)))


def _member(question: Question) -> object:
    known = {name: value for name, value in question.items() if name in MemberCase.__struct_fields__}
    return member_result(msgspec.convert(known, MemberCase))


_KINDS: dict[str, Callable[[Question], object]] = {
    "fql": _fql,
    "fql-parse": _fql_parse,
    "fql-ast": _fql_tree,
    "fql-gen": _fql_generate,
    "map": _map,
    "map-batch": _map_batch,
    "keys": _keys,
    "wire": _wire,
    "member": _member,
}


def answer_line(line: bytes) -> bytes:
    """Answer one line; a line that is no question is answered as an error, never raised."""
    try:
        question = parse_json(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        return _failed(None, [f"This line is not JSON: {error}"])
    if not isinstance(question, dict):
        return _failed(None, ["A question is a JSON object."])
    known = question.get("id")
    try:
        result = answer(question)
    except (MappingError, fql.FqlError) as error:
        return _failed(known, list(error.messages))
    except fql.TriggerError as error:
        return _failed(known, [str(error)])
    except Exception as error:  # noqa: BLE001  (one question must not cost the others their answers)
        return _failed(known, [f"{type(error).__name__}: {error}"])
    good: dict[str, object] = {"id": known, "ok": True}
    if result is not UNDEFINED:
        good["result"] = result
    return _encoded(good)


def _failed(known: object, messages: list[str]) -> bytes:
    return _encoded({"id": known, "ok": False, "error": {"messages": messages}})


def _encoded(answer: dict[str, object]) -> bytes:
    return str(json_text(answer)).encode("utf-8", "surrogatepass")


def main(source: BinaryIO, target: BinaryIO) -> None:
    """Answer every line of `source`, in order; lines end at line feeds only."""
    for line in source:
        if line.strip():
            target.write(answer_line(line) + b"\n")
            target.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
