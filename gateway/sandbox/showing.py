"""A logged request as people and tests see it, the same for every fake partner: as plain values, and as a row of its page."""

import msgspec

from gateway.sandbox.request_log import LoggedRequest

PAGE_BODY_CHARACTERS_MAX = 6_000
PAGE_BODY_BYTES_MAX = 256 * 1024  # a larger body is not decoded for a page

Json = dict[str, object]


def described(logged: LoggedRequest, **more: object) -> Json:
    """One request: as it came, and what became of it. more: what a partner can tell beside that."""
    return {
        "number": logged.number,
        "at": logged.at,
        "method": logged.method,
        "path": logged.path,
        "call": next(iter(logged.names), None),
        "headers": logged.headers,
        "status": logged.status,
        "is_done": logged.is_done,
        "fault": logged.fault,
        "problem": logged.problem,
        "violations": [msgspec.to_builtins(violation) for violation in logged.violations],
        "body_bytes": logged.body_bytes,
        "body": None if logged.body is None else logged.body.decode("utf-8", "replace"),
        **more,
    }


def row(logged: LoggedRequest, body: str | None) -> Json:
    """One request for `templates/partner.html`. body: as `readable` or the partner lays it out."""
    return {
        "number": logged.number,
        "at": logged.at.strftime("%H:%M:%S"),
        "method": logged.method,
        "path": logged.path,
        "names": logged.names,
        "status": logged.status,
        "is_done": logged.is_done,
        "fault": logged.fault,
        "problem": logged.problem,
        "violations": logged.violations,
        "body_bytes": logged.body_bytes,
        "body": body,
    }


def readable(
    body: bytes | None, decoded: object = None, *, characters_max: int = PAGE_BODY_CHARACTERS_MAX
) -> str | None:
    """A body for reading, cut where it is long: `decoded` laid out as JSON where there is such a value, else as it came."""
    if not body:
        return None
    text = (
        msgspec.json.format(msgspec.json.encode(decoded)).decode()
        if decoded
        else body[: 4 * characters_max + 4].decode("utf-8", "replace")
    )
    if len(text) <= characters_max:
        return text
    more = max(len(text), len(body)) - characters_max
    return f"{text[:characters_max]}\n… {more} characters more"


def decoded_json(body: bytes | None) -> object:
    """A body's JSON value; None where it holds none or is too large to be laid out on a page."""
    if not body or len(body) > PAGE_BODY_BYTES_MAX:
        return None
    try:
        value: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return value
