"""Structured logs: JSON lines for machines, coloured ones at a terminal; secrets and personal members never get through.

Events are named `noun.past_verb`. The redactor is a safety net under a rule that code keeps anyway: no identifier, trait,
property, secret or partner's answer is ever passed to a log call.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

FORBIDDEN_KEYS = frozenset(
    {
        "email", "phone", "name", "first_name", "last_name", "ip", "user_id", "userId", "anonymous_id", "anonymousId",
        "device_id", "advertising_id", "traits", "properties", "payload", "body", "password", "token", "secret", "api_key",
        "apiKey", "authorization", "write_key", "writeKey", "headers",
    }
)  # fmt: skip

# Frames without their locals: those would hold events.
_tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

_encode = msgspec.json.Encoder(enc_hook=str).encode


def redact(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop members that must never be logged, whoever passed them."""
    for key in FORBIDDEN_KEYS & fields.keys():
        fields[key] = "[redacted]"
    return fields


def _render(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
    return _encode(dict(fields)).decode()


def configure(*, level: str = "info", form: str = "auto", role: str = "") -> None:
    """Set up logging for this process.

    level: "debug", "info", "warning", "error". form: "json", "text", or "auto" (text at a terminal).
    role: added to every line when the gateway runs as several processes.
    """
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    final: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.ExceptionRenderer(_tracebacks), _render]
    )
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if role:
        structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(
        level=logging.WARNING, format="%(name)s %(levelname)s %(message)s", stream=sys.stderr, force=True
    )


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return the logger every room uses."""
    return structlog.get_logger()  # type: ignore[no-any-return] # structlog types its lazy proxy as Any
