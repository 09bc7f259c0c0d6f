"""From a rendered tree to the bytes of a body: JSON, a form, lines of JSON, lines of text. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from gateway.core.javascript import UNDEFINED, is_number, json_text, number_text
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.shape import Format, RequestRule
from gateway.destinations.http_audience.trees import Body, Failure

CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "ndjson": "application/x-ndjson",
    "lines": "text/plain; charset=utf-8",
}


def body_bytes(
    request: RequestRule, scope: dict[str, object], records: int
) -> tuple[bytes | None, dict[int, Rejection], Rejection | None]:
    """The encoded body (None: no body), what single records failed with, and what the whole of it failed with."""
    if request.body is None:
        return None, {}, None
    rendered = request.body.render(scope)
    failed = {index: _failure(failure) for index, failure in rendered.failed.items()}
    if rendered.whole is not None:
        return None, failed, _failure(rendered.whole)
    if failed:
        return None, failed, None
    if rendered.value is UNDEFINED:
        return None, {}, template_failed(request.body.pointer, "it gives nothing")
    match request.format:
        case "json":
            return encoded(rendered.value), {}, None
        case "form":
            return _form(rendered.value, request.body)
        case "ndjson" | "lines":
            return _lines(rendered.value, request.body, records, as_json=request.format == "ndjson")


def encoded(value: object) -> bytes:
    """A JSON value as UTF-8 bytes; absent list items are null. What JSON has no form for is written as JavaScript would."""
    try:
        return msgspec.json.encode(value, enc_hook=_null)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        return str(json_text(value)).encode("utf-8", "replace")


def _null(value: object) -> None:
    if value is not UNDEFINED:
        raise TypeError(type(value).__name__)


def _form(value: object, body: Body) -> tuple[bytes | None, dict[int, Rejection], Rejection | None]:
    if not isinstance(value, dict):
        return None, {}, template_failed(body.pointer, "a form is made of a flat object")
    pairs: list[str] = []
    for key, item in value.items():
        text = _plain_text(item)
        if item is None:
            continue
        if text is None:
            return None, {}, template_failed(body.pointer, f"`{key}` is a list or an object, and a form is flat")
        pairs.append(f"{_form_text(key)}={_form_text(text)}")
    return "&".join(pairs).encode(), {}, None


def _form_text(text: str) -> str:
    return quote(text, safe="*-._ ", errors="replace").replace(" ", "+")


def _lines(
    value: object, body: Body, records: int, *, as_json: bool
) -> tuple[bytes | None, dict[int, Rejection], Rejection | None]:
    if not isinstance(value, list):
        return None, {}, template_failed(body.pointer, "lines are made of a list")
    if as_json:
        return b"".join([encoded(item) + b"\n" for item in value]), {}, None
    lines: list[str] = []
    for index, item in enumerate(value):
        text = _plain_text(item)
        if text is None or "\n" in text or "\r" in text:
            rejection = template_failed(body.pointer, "a line is a text or a number without line breaks")
            return (None, {index: rejection}, None) if len(value) == records else (None, {}, rejection)
        lines.append(text + "\n")
    return "".join(lines).encode("utf-8", "replace"), {}, None


def _plain_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if is_number(value) else None  # type: ignore[arg-type] # it is a number


def _failure(failure: Failure) -> Rejection:
    if failure.is_empty:
        return Rejection(
            code="empty_record",
            message=f"The value at {failure.pointer} is missing, and it is all this record would send; make the field required.",
            details={"pointer": failure.pointer},
        )
    return template_failed(failure.pointer, failure.why)


def template_failed(pointer: str, why: str) -> Rejection:
    """The rejection that names a place of a template and never a value."""
    return Rejection(
        code="template_failed",
        message=f"The template at {pointer} failed: {why}; mend the value or the template.",
        details={"pointer": pointer},
    )
