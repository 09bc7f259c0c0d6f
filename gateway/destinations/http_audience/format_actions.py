"""Reading `actions` and `audience` of a definition file: requests with their addresses, bodies, batches and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from gateway.destinations.http_audience.format_access import address_problem, host_of, read_headers, read_template
from gateway.destinations.http_audience.format_answers import compile_expression, read_response, read_save, saved_lists
from gateway.destinations.http_audience.found import Findings, entries, listed, step, whole
from gateway.destinations.http_audience.shape import (
    ACTION_NAMES,
    SESSION_KEYS,
    ActionName,
    ActionRule,
    Format,
    ListRule,
    RequestRule,
    ResponseRule,
    SessionRule,
    names_read,
)
from gateway.destinations.http_audience.templates import TextTemplate, is_path_literal
from gateway.destinations.http_audience.tree_checks import compile_body
from gateway.destinations.http_audience.trees import Body

RECORDS_MAX: Final = 100_000  # in one batch
BODY_BYTES_MAX: Final = 100_000_000
BODY_BYTES_DEFAULT: Final = 4_000_000
STEPS_MAX: Final = 10
SESSION_LIFE_S: Final = (60.0, 86_400.0)
QUERY_MAX: Final = 50
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
FORMATS: Final = ("json", "form", "ndjson", "lines")

_REQUEST: Final = ("method", "path", "query", "headers", "body", "format", "response")
_ACTION: Final = (*_REQUEST, "batch", "same_as", "session", "steps")
_STEP: Final = (*_REQUEST, "save", "stop_when")


class Surroundings:
    """What the rest of the file says that requests depend on."""

    def __init__(
        self, *, base_url: str, hosts: frozenset[str], allow_http: bool, secret_settings: frozenset[str]
    ) -> None:
        self.base_url = base_url
        self.hosts = hosts
        self.allow_http = allow_http
        self.secret_settings = secret_settings
        self.response = ResponseRule()


def read_actions(found: Findings, file: Mapping[str, object], around: Surroundings) -> dict[str, ActionRule]:
    """`actions` by the name asked for; those with `same_as` are the very action they name."""
    given = found.table(file.get("actions", {}), "/actions", ACTION_NAMES, what="`actions`")
    if not given:
        if given is not None:
            found.add("/actions" if "actions" in file else "", "There is no action.", "Add at least `add`.")
        return {}
    around.response = read_response(found, file, "")
    actions: dict[str, ActionRule] = {}
    shared: dict[str, str] = {}
    for name, entry in given.items():
        if name not in ACTION_NAMES:
            continue
        pointer = f"/actions/{name}"
        members = found.table(entry, pointer, _ACTION, what=f"the action `{name}`")
        if members is None:
            continue
        if "same_as" in members:
            shared[name] = _same_as(found, members, pointer)
        elif (action := _action(found, name, members, pointer, around)) is not None:
            actions[name] = action
    for name, other in shared.items():
        if other and other in given and other not in shared:
            if other in actions:
                actions[name] = actions[other]
        elif other:  # Such an action disables itself only: its records are told that it is not configured.
            found.warn(
                f"/actions/{name}/same_as",
                f"`{other}` is no action with requests of its own, so there is no `{name}`.",
                f"Name one of {', '.join(one for one in given if one not in shared) or 'those you add'}.",
            )
    if shared and shared.keys() == given.keys():
        found.add("/actions", "No action has requests of its own.", "Add at least `add`.")
    return {name: actions[name] for name in given if name in actions}


def _same_as(found: Findings, members: dict[str, object], pointer: str) -> str:
    for key in members:
        if key != "same_as":
            found.add(
                f"{pointer}/{key}", f"`{key}` means nothing beside `same_as`, which reuses another action entirely."
            )
    return found.text(members, "same_as", pointer)


def _action(
    found: Findings, name: ActionName, members: dict[str, object], pointer: str, around: Surroundings
) -> ActionRule | None:
    at = f"{pointer}/batch"
    batch = found.table(members.get("batch", {}), at, ("max_records", "max_bytes", "group_by"), what="`batch`") or {}
    records_max = whole(found, batch, "max_records", at, 1, RECORDS_MAX, 1)
    group_by = listed(found, batch, "group_by", at, most=20)
    if any(not isinstance(key, str) for key in group_by):
        found.add(f"{at}/group_by", "`group_by` lists names of fields.")
    if "steps" in members:
        for key in ("method", "path", "query", "headers", "body", "format"):
            if key in members:
                found.add(f"{pointer}/{key}", f"`{key}` stands in the steps, where there are `steps`.")
        response = read_response(found, members, pointer, around.response)
        requests = _steps(found, members, pointer, around, response, one_record=records_max == 1)
    else:
        one = read_request(found, members, pointer, around, around.response, one_record=records_max == 1)
        requests = () if one is None else (one,)
    session = _session(found, name, members, pointer)
    _check_session(found, requests, has_session=session is not None)
    _check_saved(found, requests)
    if not requests:
        return None
    return ActionRule(
        name=name,
        requests=requests,
        records_max=records_max,
        body_bytes_max=whole(found, batch, "max_bytes", at, 100, BODY_BYTES_MAX, BODY_BYTES_DEFAULT),
        group_by=tuple(str(key) for key in group_by),
        session=session,
    )


def _session(found: Findings, name: ActionName, members: dict[str, object], pointer: str) -> SessionRule | None:
    """`session` of `replace`: the list goes in several requests, each told its place."""
    if "session" not in members:
        return None
    at = f"{pointer}/session"
    given = found.table(members["session"], at, ("first", "life_s"), what="`session`") or {}
    if name != "replace":
        found.add(at, "Only `replace` sends a list in several requests that belong together.", "Take `session` out.")
        return None
    return SessionRule(
        first=whole(found, given, "first", at, 0, 1, 1),
        life_s=found.number(given, "life_s", at, *SESSION_LIFE_S, 3_600),
    )


def _check_session(found: Findings, requests: tuple[RequestRule, ...], *, has_session: bool) -> None:
    """`$.session` has four members, and is there only where the action has a `session`."""
    for request in requests:
        templates = [request.address, *(one for _, one in (*request.query, *request.headers))]
        for paths in (*(template.paths for template in templates), request.body.paths if request.body else ()):
            for path in paths:
                if path[0] != "session":
                    continue
                if not has_session:
                    found.add(
                        request.pointer, "`session` is known only in a `replace` that has a `session`.", "Add it."
                    )
                elif len(path) != 2 or path[1] not in SESSION_KEYS:
                    found.add(
                        request.pointer,
                        f"`{'.'.join(path)}` is nothing here.",
                        f"A session has {', '.join(SESSION_KEYS)}.",
                    )


def _check_saved(found: Findings, requests: tuple[RequestRule, ...]) -> None:
    """`$.steps` holds what the steps before saved, and nothing else."""
    saved: set[str] = set()
    for request in requests:
        for name in names_read((request,), "steps"):
            if name not in saved and name != "*":
                found.add(
                    request.pointer,
                    f"`steps.{name}` is used here, but no step before it saves it.",
                    f"Saved by then: {', '.join(f'`{one}`' for one in sorted(saved)) or 'nothing'}.",
                )
        saved |= request.save.keys()


def _steps(
    found: Findings,
    members: dict[str, object],
    pointer: str,
    around: Surroundings,
    response: ResponseRule,
    *,
    one_record: bool,
) -> tuple[RequestRule, ...]:
    given = listed(found, members, "steps", pointer, most=STEPS_MAX)
    if not given:
        found.add(f"{pointer}/steps", "`steps` is empty.")
    requests: list[RequestRule] = []
    for index, entry in enumerate(given):
        at = f"{pointer}/steps/{index}"
        step_members = found.table(entry, at, _STEP, what="a step")
        if step_members is None:
            continue
        request = read_request(found, step_members, at, around, response, one_record=one_record)
        if request is not None:
            requests.append(request)
    return tuple(requests) if len(requests) == len(given) else ()


def read_request(
    found: Findings,
    members: dict[str, object],
    pointer: str,
    around: Surroundings,
    response: ResponseRule,
    *,
    one_record: bool,
) -> RequestRule | None:
    """One request: the keys of an action, a step, or the list's life cycle."""
    if "method" not in members:
        found.add(pointer, "`method` is missing.", f"One of {', '.join(METHODS)}.")
    method = found.choice(members, "method", pointer, METHODS, "POST")
    address = read_template(found, members.get("path", ""), f"{pointer}/path")
    body = _body(found, members, pointer, one_record=one_record)
    format_name = found.choice(members, "format", pointer, FORMATS, "json")
    if body is None and format_name != "json" and "body" not in members:
        found.add(f"{pointer}/format", "`format` means nothing without a `body`.")
    if body is not None:
        _check_format(found, body, format_name, pointer)
    query = _query(found, members, pointer)
    headers = read_headers(found, members, pointer)
    if address is None:
        return None
    is_given = address.single is not None and address.single[0] == "steps"
    is_foreign = is_given or "://" in address.source
    _check_address(found, address, pointer, around, is_given=is_given, is_foreign=is_foreign)
    for where, template in (
        (f"{pointer}/path", address),
        *((f"{pointer}/query{step(name)}", one) for name, one in query),
        *((f"{pointer}/headers{step(name)}", one) for name, one in headers),
    ):
        check_roots(found, template, where, around, one_record=one_record)
    if body is not None:
        for path in body.paths:
            if path[0] == "settings" and len(path) > 1 and path[1] in around.secret_settings:
                found.add(f"{pointer}/body", f"`$.settings.{path[1]}` is a secret and cannot stand in a body.")
    return RequestRule(
        pointer=pointer,
        method=method,
        address=address,
        address_text=re.sub(r"\{\{ *", "{{", re.sub(r" *\}\}", "}}", address.source)),
        is_foreign=is_foreign,
        is_given=is_given,
        query=query,
        headers=headers,
        body=body,
        format=cast("Format", format_name),
        response=read_response(found, members, pointer, response),
        save=read_save(found, members, pointer),
        saves_lists=saved_lists(members),
        stop_when=compile_expression(found, members["stop_when"], f"{pointer}/stop_when")
        if "stop_when" in members
        else None,
    )


def check_roots(
    found: Findings, template: TextTemplate, pointer: str, around: Surroundings, *, one_record: bool
) -> None:
    """What texts around a body may look up: nothing of all records, one record only where there is one, no secrets."""
    for path in template.paths:
        if path[0] == "records" or (path[0] in {"record", "index"} and not one_record):
            found.add(
                pointer,
                f"`{'.'.join(path)}` differs from record to record, and a batch has one address.",
                'Set `"batch": {"max_records": 1}`, or leave it out.',
            )
        elif path[0] == "job" and not pointer.endswith("/poll/path"):
            found.add(pointer, "`job` is known only in `async.poll.path`.")
        elif path[0] == "settings" and len(path) > 1 and path[1] in around.secret_settings:
            found.add(pointer, f"`settings.{path[1]}` is a secret and cannot stand here.", "Use it in `auth`.")


def _check_address(
    found: Findings, address: TextTemplate, pointer: str, around: Surroundings, *, is_given: bool, is_foreign: bool
) -> None:
    at = f"{pointer}/path"
    if is_given:
        if "/steps/" not in pointer:
            found.add(at, "Only a step can go to an address that an earlier step was given.")
        return
    if not is_foreign:
        if not is_path_literal(address.literal_text):
            found.add(at, "The path holds characters that no URL has as they are.", "Write them percent-encoded.")
        if re.search(r"(^|/)\.{1,2}(/|$|\?)", address.source) or address.source.startswith("//"):
            found.add(at, "A path has no `.` or `..` segments and no `//` at its beginning.")
        return
    head, _, _ = address.source.partition("{{")
    origin = re.match(r"[a-z]+://[^/?#{]+", address.source)
    if origin is None or (len(origin[0]) == len(head) and len(head) < len(address.source)):
        found.add(at, "Scheme and host of an address must be written out; no value may choose them.")
        return
    problem = address_problem(origin[0], allow_http=around.allow_http)
    if problem:
        found.add(at, problem)
    elif host_of(origin[0]) not in around.hosts | {host_of(around.base_url or "https://x.invalid")}:
        found.add(
            at,
            f"`{host_of(origin[0])}` is not among the hosts this definition may talk to.",
            "Add it to `limits.allow_hosts`.",
        )


def _body(found: Findings, members: dict[str, object], pointer: str, *, one_record: bool) -> Body | None:
    return compile_body(found, members["body"], f"{pointer}/body", one_record=one_record) if "body" in members else None


def _check_format(found: Findings, body: Body, format_name: str, pointer: str) -> None:
    tree = body.tree
    directive = next((key for key in tree if key.startswith("@")), None) if isinstance(tree, dict) else None
    gives_list = isinstance(tree, list) or directive in {"@each", "@compact", "@arrayPath"} or directive == "@path"
    if format_name in {"ndjson", "lines"} and not gives_list:
        found.add(
            f"{pointer}/body", f"`{format_name}` is made of a list, one line for each item.", "Begin with `@each`."
        )
    if format_name == "form" and (not isinstance(tree, dict) or directive is not None):
        found.add(f"{pointer}/body", "`form` is made of a flat object.")
    if format_name == "json" and not isinstance(tree, (dict, list)):
        found.add(f"{pointer}/body", "A body is an object or a list.")


def _query(found: Findings, members: dict[str, object], pointer: str) -> tuple[tuple[str, TextTemplate], ...]:
    parameters: list[tuple[str, TextTemplate]] = []
    for name, text in entries(found, members, "query", pointer, most=QUERY_MAX, what="parameters").items():
        template = read_template(found, text, f"{pointer}/query{step(name)}")
        if template is not None:
            parameters.append((name, template))
    return tuple(parameters)


def read_lists(found: Findings, file: Mapping[str, object], around: Surroundings) -> ListRule:
    """`audience`: how a list is found, made and deleted."""
    given = found.table(file.get("audience", {}), "/audience", ("get", "create", "delete"), what="`audience`") or {}
    made: dict[str, RequestRule | None] = {}
    for name, entry in given.items():
        if name not in {"get", "create", "delete"}:
            continue
        pointer = f"/audience/{name}"
        members = found.table(entry, pointer, _STEP, what=f"`audience.{name}`")
        request = None
        if members is not None:
            request = read_request(found, members, pointer, around, ResponseRule(), one_record=False)
            _check_saved(found, () if request is None else (request,))
            if name != "delete" and request is not None and "audience_id" not in request.save:
                found.add(
                    pointer, "`save` must tell where the list's id stands.", 'Add `"save": {"audience_id": "body.id"}`.'
                )
        made[name] = request
    return ListRule(get=made.get("get"), create=made.get("create"), delete=made.get("delete"))
