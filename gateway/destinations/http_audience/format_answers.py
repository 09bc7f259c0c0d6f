"""Reading `response`, `save` and their JMESPath expressions: how answers will be understood."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Final

import jmespath
import jmespath.exceptions
import jmespath.parser

from gateway.destinations.http_audience.format_access import read_template
from gateway.destinations.http_audience.found import Findings, entries, listed, step, whole
from gateway.destinations.http_audience.shape import (
    ACTION_NAMES,
    AnswerError,
    Expression,
    Job,
    Pointing,
    RecordErrors,
    RecordIds,
    Remember,
    ResponseRule,
)
from gateway.destinations.http_audience.templates import is_path_literal

EXPRESSION_CHARS_MAX: Final = 1_000
STATUSES_MAX: Final = 100
SAVED_MAX: Final = 20
POLL_EVERY_S: Final = (0.05, 300.0)
POLL_TIMEOUT_S: Final = (1.0, 480.0)  # a lane gives a batch ten minutes in all

_RESPONSE: Final = (
    "success", "ok_statuses", "record_errors", "record_ids", "retry_statuses", "auth_statuses", "split_statuses", "retry_when",
    "auth_when", "whole_when", "async", "remember",
)  # fmt: skip
_LISTS: Final = ("projection", "filter_projection", "value_projection", "flatten", "multi_select_list")
_INTO_BODY: Final = re.compile(r"\bbody\s*[.\[]")
_POINTING: Final = ("index", "index_base", "match", "in_order")


def read_response(
    found: Findings, owner: Mapping[str, object], pointer: str, base: ResponseRule | None = None
) -> ResponseRule:
    """`response` of the file, or of an action or step: its keys over those of `base`."""
    base = base or ResponseRule()
    if "response" not in owner:
        return base
    at = f"{pointer}/response"
    members = found.table(owner["response"], at, _RESPONSE, what="`response`")
    if members is None:
        return base
    return ResponseRule(
        success=_optional(found, members, "success", at) if "success" in members else base.success,
        success_needs_json=_looks_into_body(members["success"]) if "success" in members else base.success_needs_json,
        ok_statuses=_ok_statuses(found, members, at) if "ok_statuses" in members else base.ok_statuses,
        record_errors=_record_errors(found, members, at) if "record_errors" in members else base.record_errors,
        record_ids=_record_ids(found, members, at) if "record_ids" in members else base.record_ids,
        retry_statuses=_statuses(found, members, "retry_statuses", at, base.retry_statuses),
        auth_statuses=_statuses(found, members, "auth_statuses", at, base.auth_statuses),
        split_statuses=_statuses(found, members, "split_statuses", at, base.split_statuses),
        retry_when=_optional(found, members, "retry_when", at) or base.retry_when,
        auth_when=_optional(found, members, "auth_when", at) or base.auth_when,
        whole_when=_optional(found, members, "whole_when", at) or base.whole_when,
        job=_job(found, members, at) if "async" in members else base.job,
        remember=_remember(found, members, at) if "remember" in members else base.remember,
    )


def read_save(found: Findings, owner: Mapping[str, object], pointer: str) -> dict[str, Expression]:
    """`save`: name → expression on the answer."""
    saved: dict[str, Expression] = {}
    for name, text in entries(found, owner, "save", pointer, most=SAVED_MAX, what="values").items():
        place = f"{pointer}/save{step(name)}"
        if not name.isidentifier():
            found.add(place, f"`{name}` cannot be a name here.")
        expression = compile_expression(found, text, place)
        if expression is not None:
            saved[name] = expression
    return saved


def saved_lists(owner: Mapping[str, object]) -> frozenset[str]:
    """Names in `save` whose expressions give lists, by what they are made of; read after `read_save`, which reports."""
    save = owner.get("save")
    texts = save.items() if isinstance(save, dict) else ()
    names: set[str] = set()
    for name, text in texts:
        with contextlib.suppress(
            jmespath.exceptions.JMESPathError, RecursionError, ValueError, TypeError, AttributeError
        ):
            if _gives_list(jmespath.compile(text).parsed):
                names.add(str(name))
    return frozenset(names)


def _gives_list(node: Mapping[str, object]) -> bool:
    children = node["children"]
    if node["type"] in ("subexpression", "pipe") and isinstance(children, list) and children:
        return _gives_list(children[-1])
    return node["type"] in _LISTS


def compile_expression(found: Findings, text: object, pointer: str) -> Expression | None:
    """A JMESPath expression as a function, or None after reporting why it is none."""
    if not isinstance(text, str) or not text.strip() or len(text) > EXPRESSION_CHARS_MAX:
        found.add(pointer, f"This must be a JMESPath expression of at most {EXPRESSION_CHARS_MAX} characters.")
        return None
    try:
        compiled = jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError) as error:
        at = getattr(error, "lex_position", None) or getattr(error, "lexer_position", None) or 0
        found.add(
            pointer,
            "This is no JMESPath expression.",
            "See the JMESPath tutorial; names with dashes stand in double quotes.",
            column_offset=int(at) + 1,
        )
        return None

    def search(data: object) -> object:
        try:
            result: object = compiled.search(data)
        except (jmespath.exceptions.JMESPathError, RecursionError, ValueError, TypeError, AttributeError):
            raise AnswerError(f"the expression `{text}` cannot work on the answer") from None
        return result

    return search


def _optional(found: Findings, members: Mapping[str, object], key: str, pointer: str) -> Expression | None:
    return compile_expression(found, members[key], f"{pointer}/{key}") if key in members else None


def _looks_into_body(expression: object) -> bool:
    """Whether an expression reads members of the body, not the body as a text."""
    return _INTO_BODY.search(str(expression)) is not None


def _required(found: Findings, members: Mapping[str, object], key: str, pointer: str) -> Expression | None:
    if key not in members:
        found.add(pointer, f"`{key}` is missing: a JMESPath expression.")
        return None
    return _optional(found, members, key, pointer)


def _ok_statuses(found: Findings, members: Mapping[str, object], pointer: str) -> dict[str, frozenset[int]]:
    at = f"{pointer}/ok_statuses"
    table = found.table(members["ok_statuses"], at, ACTION_NAMES, what="`ok_statuses`") or {}
    return {name: _statuses(found, table, name, at, frozenset()) for name in table if name in ACTION_NAMES}


def _statuses(
    found: Findings, members: Mapping[str, object], key: str, pointer: str, default: frozenset[int]
) -> frozenset[int]:
    if key not in members:
        return default
    statuses = listed(found, members, key, pointer, most=STATUSES_MAX)
    good = [one for one in statuses if isinstance(one, int) and not isinstance(one, bool) and 100 <= one <= 599]
    if len(good) != len(statuses):
        found.add(f"{pointer}/{key}", "Statuses are whole numbers from 100 to 599.")
    return frozenset(good)


def _pointing(found: Findings, members: Mapping[str, object], pointer: str) -> Pointing:
    match = found.table(members.get("match", {}), f"{pointer}/match", ("field", "value"), what="`match`") or {}
    in_order = found.flag(members, "in_order", pointer, default=False)
    if ("index" in members) + ("match" in members) + in_order != 1:
        found.add(pointer, "Give one of `index`, `match` and `in_order`: how an item points back at its record.")
    matched = "match" in members
    return Pointing(
        in_order=in_order,
        index=_optional(found, members, "index", pointer),
        index_base=whole(found, members, "index_base", pointer, -1_000_000, 1_000_000, 0),
        match_field=found.text(match, "field", f"{pointer}/match") if matched else "",
        match_value=_required(found, match, "value", f"{pointer}/match") if matched else None,
    )


def _record_errors(found: Findings, members: Mapping[str, object], pointer: str) -> RecordErrors | None:
    at = f"{pointer}/record_errors"
    known = ("items", *_POINTING, "when", "code", "message", "retryable")
    given = found.table(members["record_errors"], at, known, what="`record_errors`")
    if given is None:
        return None
    items = _required(found, given, "items", at)
    pointing = _pointing(found, given, at)
    if items is None:
        return None
    return RecordErrors(
        items=items,
        pointing=pointing,
        when=_optional(found, given, "when", at),
        code=_optional(found, given, "code", at),
        message=_optional(found, given, "message", at),
        retryable=_optional(found, given, "retryable", at),
    )


def _record_ids(found: Findings, members: Mapping[str, object], pointer: str) -> RecordIds | None:
    at, given = f"{pointer}/record_ids", members["record_ids"]
    if isinstance(given, str):
        items, field = compile_expression(found, given, at), ""
    else:
        table = found.table(given, at, ("items", "field"), what="`record_ids`")
        if table is None:
            return None
        items, field = _required(found, table, "items", at), found.text(table, "field", at, default="")
    return None if items is None else RecordIds(items=items, field=field)


def _remember(found: Findings, members: Mapping[str, object], pointer: str) -> Remember | None:
    at = f"{pointer}/remember"
    given = found.table(members["remember"], at, ("items", *_POINTING, "values"), what="`remember`")
    if given is None:
        return None
    items = _required(found, given, "items", at)
    pointing = _pointing(found, given, at)
    values: dict[str, Expression] = {}
    for name, text in entries(found, given, "values", at, most=SAVED_MAX, what="values").items():
        expression = compile_expression(found, text, f"{at}/values{step(name)}")
        if expression is not None:
            values[name] = expression
    return None if items is None else Remember(items=items, pointing=pointing, values=values)


def _job(found: Findings, members: Mapping[str, object], pointer: str) -> Job | None:
    at = f"{pointer}/async"
    given = found.table(members["async"], at, ("job", "poll"), what="`async`")
    if given is None:
        return None
    known = ("path", "every_s", "until", "failed", "timeout_s")
    poll = found.table(given.get("poll", {}), f"{at}/poll", known, what="`poll`") or {}
    job, until = _required(found, given, "job", at), _required(found, poll, "until", f"{at}/poll")
    path = read_template(found, poll.get("path"), f"{at}/poll/path")
    failed = _optional(found, poll, "failed", f"{at}/poll")
    every_s = found.number(poll, "every_s", f"{at}/poll", *POLL_EVERY_S, 5)
    timeout_s = found.number(poll, "timeout_s", f"{at}/poll", *POLL_TIMEOUT_S, 300)
    if job is None or until is None or path is None:
        return None
    if "://" in path.source or not is_path_literal(path.literal_text):
        found.add(f"{at}/poll/path", "This must be a path below `base_url`.")
    for pieces in path.paths:
        if pieces[0] in {"records", "record", "index", "settings"}:
            found.add(f"{at}/poll/path", f"`{'.'.join(pieces)}` cannot stand in the path that asks for a job.")
    return Job(job=job, path=path, until=until, failed=failed, every_s=every_s, timeout_s=timeout_s)
