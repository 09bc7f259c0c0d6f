"""Definitions made from Python values, scripted partners, and what destinations do with them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.config.files import Findings, RawFile, parse_file
from gateway.core.http_messages import Answer, Request
from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.rehearsing import Setting, preview, records_of
from gateway.destinations.rehearsal import FreshNotes

NOW_US = 1_795_338_000_000_000
TOKEN = "sandbox-token"

SMALL: dict[str, Any] = {
    "kind": "http_audience",
    "slug": "small",
    "name": "Small API",
    "base_url": "https://api.small.example/v1",
    "fields": {"email": {"label": "Email", "identifier": True}, "note": {"label": "Note"}, "n": {"label": "Number"}},
    "actions": {
        "add": {
            "method": "POST",
            "path": "/people",
            "batch": {"max_records": 100},
            "body": {"people": {"@each": {"in": "$.records", "do": {"e": {"@path": "$.record.email"}}}}},
        }
    },
}


def changed(base: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A copy with members replaced; `actions__add__body=…` reaches inside, and None takes a member away."""
    copy = json.loads(json.dumps(base))
    for name, value in more.items():
        *way, last = name.split("__")
        owner = copy
        for step in way:
            owner = owner.setdefault(step, {})
        if value is None:
            owner.pop(last, None)
        else:
            owner[last] = value
    return copy


def findings_of(value: object) -> Findings:
    """A value as a file that was read."""
    return parse_file(RawFile(name="some.json", stem="some", text=json.dumps(value)))


def problems_of(value: object) -> list[tuple[str, str]]:
    """Errors of a definition: pointer and sentence."""
    _, problems = load_definition(findings_of(value), variables={})
    return [(one.pointer, one.what) for one in problems if one.severity == "error"]


def loaded(value: object, **variables: str) -> HttpAudience:
    """A definition that must be right."""
    destination, problems = load_definition(findings_of(value), variables=variables)
    assert destination is not None, problems
    return destination


def previewed(value: object, records: list[dict[str, Any]], **setting: Any) -> dict[str, Any]:
    """What a preview shows."""
    given = records_of(records)
    assert not isinstance(given, str)
    return asyncio.run(preview(loaded(value).file, given, Setting(**setting)))


def adds(*fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Records to add, numbered."""
    return [{"id": f"m-{number}", "action": "add", "fields": one} for number, one in enumerate(fields, 1)]


class Scripted:
    """A partner that gives answers in turn (the last one for ever), or what a function makes of the request."""

    def __init__(self, *answers: Any) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(status: int, body: object = None, **headers: str) -> Answer:
    """An answer with a JSON body."""
    content = b"" if body is None else json.dumps(body).encode()
    return Answer(status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}, body=content)


def owed_of(fields: list[dict[str, Any]], operation: str = "enter", **more: Any) -> tuple[Owed, ...]:
    """Deliveries of different people."""
    return tuple(
        Owed(id=number, operation=operation, payload=one, member=f"user_id:{number}", **more)
        for number, one in enumerate(fields, 1)
    )


def performed(
    destination: HttpAudience,
    owed: tuple[Owed, ...],
    partner: Any,
    *,
    notes: Any = None,
    settings: Any = None,
    **more: Any,
) -> Any:
    """What `perform` gives."""
    batch = Batch(action="syncAudience", settings=settings or {}, owed=owed, corrections=frozenset(), **more)
    context = Context(http=partner, notes=notes or FreshNotes(), now_us=NOW_US)
    return asyncio.run(destination.perform(batch, context))
