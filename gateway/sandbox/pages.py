"""The sandbox's pages for people, rendered on the server; nothing on them comes from elsewhere and all of it is escaped."""

import secrets
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from gateway.sandbox.faults import Fault
from gateway.sandbox.partner import Partner

LISTS_SHOWN = 6  # of each partner at `/`

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a fault's form: its name, what it starts with, and its choices (empty: free text)."""

    name: str
    value: str
    choices: tuple[str, ...] = ()


class FaultForm(msgspec.Struct, frozen=True, kw_only=True):
    """The form that arms one kind of fault."""

    kind: str
    about: str
    inputs: tuple[Input, ...]
    is_targetable: bool
    needs_target: bool


def overview_page(partners: Sequence[Partner]) -> HTMLResponse:
    """The page at `/`: which partners there are, their lists and the faults they were told to show."""
    return _page("templates/overview.html", {"partners": partners, "LISTS_SHOWN": LISTS_SHOWN})


def partner_page(partner: Partner) -> HTMLResponse:
    """A partner's own page."""
    context = {
        "partner": partner,
        "version": partner.changes.version,
        "armed": partner.faults.armed,
        "forms": [_form(kind) for kind in partner.fault_kinds],
        **partner.page(),
    }
    return _page(partner.template, context)


def _page(template: str, context: Mapping[str, object]) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cache-control": "no-store",
    }
    return HTMLResponse(_TEMPLATES.get_template(template).render(nonce=nonce, **context), headers=headers)


def _form(kind: type[Fault]) -> FaultForm:
    inputs = tuple(
        Input(name=field.name, value=_shown(field.default), choices=_choices(field.type))
        for field in msgspec.structs.fields(kind)
        if field.name not in {"target", "times"} and not isinstance(field.default, tuple)
    )
    tag = str(kind.__struct_config__.tag)
    about = (kind.__doc__ or "").replace("`", "").split("\n")[0]
    needs_target = any(field.name == "target" and field.required for field in msgspec.structs.fields(kind))
    return FaultForm(kind=tag, about=about, inputs=inputs, is_targetable=tag != "down", needs_target=needs_target)


def _shown(default: object) -> str:
    """A default as a form would send it back; where None is the default, an empty input means it."""
    if default is None or default is msgspec.NODEFAULT:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _choices(annotation: object) -> tuple[str, ...]:
    if annotation is bool:
        return ("false", "true")
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(str(choice) for choice in typing.get_args(annotation))
    return ()
