"""Reading who may be asked and how: `base_url`, `auth`, `headers`, `limits` and `capabilities` of a definition file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, cast
from urllib.parse import urlsplit

import msgspec

from gateway.core.http_messages import ANSWER_BYTES_MAX
from gateway.core.run_limits import RunBreaker, RunRetry
from gateway.destinations.http_audience.found import Findings, entries, listed, step, whole
from gateway.destinations.http_audience.shape import (
    AskedAddress,
    Capabilities,
    Limits,
    Login,
    PemSource,
    Secret,
    TlsRule,
)
from gateway.destinations.http_audience.templates import TemplateError, TextTemplate, header_problem

HEADERS_MAX: Final = 50
HOSTS_MAX: Final = 20
REQUEST_S_MAX: Final = 500.0  # of one exchange; a lane gives a whole batch ten minutes

_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_DURATION: Final = re.compile(r"([0-9]{1,6})(m|h|d)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "trailer"}
)

_LOGIN_KEYS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {  # type: (secrets, plain texts)
    "none": ((), ()),
    "basic": (("username", "password"), ()),
    "bearer": (("token",), ()),
    "api_key": (("value",), ("name", "in")),
    "oauth2_client_credentials": (("client_id", "client_secret"), ("token_url", "scope", "audience", "send_in")),
    "oauth2_refresh_token": (("client_id", "client_secret", "refresh_token"), ("token_url", "scope", "send_in")),
    "hmac": (("secret",), ("header", "algorithm", "encoding", "prefix")),
    "standard_webhooks": (("secret",), ()),
}
_OPTIONAL: Final = frozenset({"scope", "audience", "send_in", "in", "algorithm", "encoding", "prefix"})
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "in": ("header", "query"),
    "send_in": ("body", "basic"),
    "algorithm": ("sha256", "sha512", "sha1"),
    "encoding": ("hex", "base64"),
}


def read_base_url(found: Findings, file: Mapping[str, object], *, allow_http: bool) -> str:
    """The address every path is joined to, without a slash at its end; empty after a problem."""
    given = found.text(file, "base_url", "")
    problem = address_problem(given, allow_http=allow_http) if given else ""
    if problem:
        found.add("/base_url", problem)
    return "" if problem else given.removesuffix("/")


def read_asked_address(found: Findings, file: Mapping[str, object]) -> AskedAddress | None:
    """`base_url` as an object: what people are asked for, because each of them has an address of their own."""
    given = file.get("base_url")
    if not isinstance(given, dict):
        return None
    members = found.table(given, "/base_url", ("label", "help", "example"), what="`base_url`") or {}
    return AskedAddress(
        label=found.text(members, "label", "/base_url", default="Address"),
        help=found.text(members, "help", "/base_url", default=""),
        example=found.text(members, "example", "/base_url", default=""),
    )


def address_problem(address: str, *, allow_http: bool) -> str:
    """Why a text is no base address: scheme, host, nothing behind the path, nobody's name in it."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "This is no address."
    if parts.scheme not in ({"https", "http"} if allow_http else {"https"}):
        return 'An address begins with `https://`; set `"allow_http": true` to allow `http://`.'
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host) and not _is_ipv6(parts.netloc):
        return "The address has no usable host name."
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return "The address holds a user name or password; use `auth`."
    if parts.query or parts.fragment or address.endswith(("?", "#")):
        return "The address has a query or a fragment; put parameters into `query` of an action."
    if port == 0 or re.search(r"[\s\\{}]|[^\x21-\x7e]", address):
        return "The address holds characters that no address has."
    return ""


def host_of(address: str) -> str:
    """Host and port as they are compared: lower case, the scheme's own port left out."""
    parts = urlsplit(address)
    own_port = {"https": 443, "http": 80}.get(parts.scheme)
    host = (parts.hostname or "").lower()
    return host if parts.port in (None, own_port) else f"{host}:{parts.port}"


def read_login(found: Findings, file: Mapping[str, object], *, allow_http: bool) -> Login:
    """`auth`. Whatever is secret is a reference."""
    given = file.get("auth", {"type": "none"})
    if not isinstance(given, dict):
        found.add("/auth", "`auth` must be an object with a `type`.")
        return Login()
    kind = found.choice(given, "type", "/auth", tuple(_LOGIN_KEYS), "none")
    if "type" not in given:
        found.add("/auth", "`auth` needs a `type`.", f"Known: {', '.join(_LOGIN_KEYS)}.")
    secret_keys, text_keys = _LOGIN_KEYS[kind]
    more = ("proof",) if kind == "bearer" else ()
    found.table(given, "/auth", ("type", *secret_keys, *text_keys, *more), what=f"`auth` of type {kind}")
    texts: dict[str, str] = {}
    if kind == "basic" and isinstance(given.get("username"), str):  # A user name that everybody uses is no secret.
        secret_keys, texts["username"] = ("password",), found.text(given, "username", "/auth")
    for key in text_keys:
        if key in _CHOICES:
            texts[key] = found.choice(given, key, "/auth", _CHOICES[key], _CHOICES[key][0])
        elif key in given or key not in _OPTIONAL:
            texts[key] = found.text(given, key, "/auth")
            if problem := header_problem(texts[key]):
                found.add(f"/auth/{key}", f"`{key}` {problem}.")
    secrets = {key: _secret(found, given, key) for key in secret_keys}
    if "proof" in given and more:
        texts["proof"], secrets["proof"] = _proof(found, given["proof"])
    _check_login(found, texts, kind, allow_http=allow_http)
    return Login(type=kind, texts=texts, secrets={key: one for key, one in secrets.items() if one is not None})


def _secret(found: Findings, given: Mapping[str, object], key: str, owner: str = "/auth") -> Secret | None:
    pointer = f"{owner}/{key}"
    value = given.get(key)
    mend = f'Write `"{key}": {{"$secret": "NAME"}}`; NAME is a setting, else an environment variable.'
    if isinstance(value, dict) and list(value) == ["$secret"]:
        name = value["$secret"]
        if isinstance(name, str) and _NAME.fullmatch(name):
            return Secret(name=name)
        found.add(f"{pointer}/$secret", "`$secret` must name a setting or an environment variable.")
    elif value is None:
        found.add(owner, f"`{key}` is missing.", mend)
    else:
        found.add(pointer, f"`{key}` stands here in clear.", mend)
    return None


def _proof(found: Findings, given: object) -> tuple[str, Secret | None]:
    """A query parameter that proves the token with a second secret (Meta's `appsecret_proof`); left out without the secret."""
    members = found.table(given, "/auth/proof", ("name", "secret"), what="`proof`") or {}
    secret = _secret(found, members, "secret", "/auth/proof")
    return found.text(members, "name", "/auth/proof"), secret and msgspec.structs.replace(secret, optional=True)


def _check_login(found: Findings, texts: dict[str, str], kind: str, *, allow_http: bool) -> None:
    name = texts.get("name" if kind == "api_key" else "header", "")
    if kind == "hmac" or (kind == "api_key" and texts.get("in") == "header"):
        check_header_name(found, name, f"/auth/{'name' if kind == 'api_key' else 'header'}")
    url = texts.get("token_url", "")
    if url and not url.startswith("/") and (problem := address_problem(url, allow_http=allow_http)):
        found.add("/auth/token_url", problem)


def check_header_name(found: Findings, name: str, pointer: str) -> bool:
    """A header that may be set: a token, and none by which requests are framed."""
    if not _TOKEN.fullmatch(name):
        found.add(pointer, f"`{name}` is no name of a header.")
        return False
    if name.lower() in _OWN_HEADERS:
        found.add(pointer, f"`{name}` is set by the gateway itself.", "Take it out.")
        return False
    return True


def read_headers(found: Findings, owner: Mapping[str, object], pointer: str) -> tuple[tuple[str, TextTemplate], ...]:
    """`headers`: name → text with places; names that differ only in case are an error."""
    made: list[tuple[str, TextTemplate]] = []
    seen: set[str] = set()
    for name, text in entries(found, owner, "headers", pointer, most=HEADERS_MAX, what="headers").items():
        place = f"{pointer}/headers{step(name)}"
        if not check_header_name(found, name, place):
            continue
        if name.lower() in seen:
            found.add(place, f"`{name}` stands here twice; upper and lower case do not tell headers apart.")
        seen.add(name.lower())
        template = read_template(found, text, place)
        if template is None:
            continue
        if problem := header_problem(template.literal_text):
            found.add(place, f"The text {problem}.")
        made.append((name, template))
    return tuple(made)


def read_template(found: Findings, text: object, pointer: str) -> TextTemplate | None:
    """A text with places, or None after reporting why it is none."""
    if not isinstance(text, str):
        found.add(pointer, "This must be a text; values are filled in as `{{ path }}`.")
        return None
    try:
        return TextTemplate(text)
    except TemplateError as error:
        found.add(pointer, error.what, column_offset=error.at)
        return None


# --- Limits and capabilities ---

_LIMITS: Final = (
    "requests_per_second", "concurrency", "connect_timeout_s", "read_timeout_s", "retry", "breaker", "max_response_bytes",
    "allow_hosts", "allow_private", "tls", "idempotency_header", "debug_samples",
)  # fmt: skip


_PEM: Final = ("certificate", "key", "authorities")
_PEM_KINDS: Final[dict[str, Literal["secret", "env", "file"]]] = {"$secret": "secret", "$env": "env", "$file": "file"}


def read_limits(found: Findings, file: Mapping[str, object]) -> Limits:
    """`limits`, each within bounds of ours."""
    members = found.table(file.get("limits", {}), "/limits", _LIMITS, what="`limits`")
    if members is None:
        return Limits()
    at = "/limits"
    header = found.text(members, "idempotency_header", at, default="")
    if header:
        check_header_name(found, header, f"{at}/idempotency_header")
    return Limits(
        requests_per_second=found.number(members, "requests_per_second", at, 0.01, 10_000, 10),
        concurrency=whole(found, members, "concurrency", at, 1, 32, 4),
        connect_timeout_s=found.number(members, "connect_timeout_s", at, 0.1, 60, 10),
        read_timeout_s=found.number(members, "read_timeout_s", at, 0.1, REQUEST_S_MAX - 60, 60),
        retry=_retry(found, members.get("retry", {})),
        breaker=_breaker(found, members.get("breaker", {})),
        max_response_bytes=whole(found, members, "max_response_bytes", at, 1_000, 5_000_000, ANSWER_BYTES_MAX),
        allow_hosts=_hosts(found, members),
        allow_private=found.flag(members, "allow_private", at, default=False),
        tls=_tls(found, members.get("tls", {})),
        idempotency_header=header,
        debug_samples=whole(found, members, "debug_samples", at, 0, 100, 0),
    )


def _tls(found: Findings, given: object) -> TlsRule | None:
    at = "/limits/tls"
    members = found.table(given, at, ("verify", "certificate", "key", "authorities"), what="`tls`") or {}
    if not found.flag(members, "verify", at, default=True):
        found.add(f"{at}/verify", "Certificates are always verified.", "Name the partner's authority in `authorities`.")
    if "key" in members and "certificate" not in members:
        found.add(f"{at}/key", "A `key` without its `certificate` shows nothing.", "Add `certificate`.")
    made = {key: _pem_source(found, members[key], key) for key in members if key in _PEM}
    sources = {key: one for key, one in made.items() if one is not None}
    return TlsRule(**sources) if sources else None


def _pem_source(found: Findings, given: object, key: str) -> PemSource | None:
    """A path, or a reference. PEM itself is refused: a key would stand in clear, and a certificate ends without notice."""
    pointer = f"/limits/tls/{key}"
    mend = 'Write a path, `{"$file": "/path"}`, `{"$env": "NAME"}` or `{"$secret": "NAME"}`.'
    if isinstance(given, str) and given.strip() and "-----" not in given:
        return PemSource(key=key, kind="file", name=given)
    if isinstance(given, dict) and len(given) == 1:
        ((how, name),) = given.items()
        kind = _PEM_KINDS.get(how)
        if kind is not None and isinstance(name, str) and (name.strip() if kind == "file" else _NAME.fullmatch(name)):
            return PemSource(key=key, kind=kind, name=name)
    found.add(pointer, f"`{key}` says nowhere to read a PEM text from.", mend)
    return None


def _retry(found: Findings, given: object) -> RunRetry:
    at = "/limits/retry"
    known = ("max_attempts", "base_ms", "factor", "cap_ms", "jitter", "respect_retry_after", "max_wait_s")
    members = found.table(given, at, known, what="`retry`") or {}
    return RunRetry(
        max_attempts=whole(found, members, "max_attempts", at, 1, 35, 5),
        base_ms=found.number(members, "base_ms", at, 1, 3_600_000, 500),
        factor=found.number(members, "factor", at, 1, 10, 2),
        cap_ms=found.number(members, "cap_ms", at, 1, 3_600_000, 60_000),
        jitter=cast('Literal["full", "none"]', found.choice(members, "jitter", at, ("full", "none"), "full")),
        respect_retry_after=found.flag(members, "respect_retry_after", at, default=True),
        max_wait_s=found.number(members, "max_wait_s", at, 1, 3600, 900),
    )


def _breaker(found: Findings, given: object) -> RunBreaker:
    at = "/limits/breaker"
    members = found.table(given, at, ("first", "window", "share"), what="`breaker`") or {}
    return RunBreaker(
        first=whole(found, members, "first", at, 1, 1_000_000, 200),
        window=whole(found, members, "window", at, 1, 1_000_000, 1000),
        share=found.number(members, "share", at, 0, 1, 0.5),
    )


def _hosts(found: Findings, members: Mapping[str, object]) -> frozenset[str]:
    hosts: set[str] = set()
    for index, host in enumerate(listed(found, members, "allow_hosts", "/limits", most=HOSTS_MAX)):
        name = host.lower() if isinstance(host, str) else ""
        if _HOST.fullmatch(name.partition(":")[0]) and re.fullmatch(r"[^:]*(?::[0-9]{1,5})?", name):
            hosts.add(name)
        else:
            found.add(
                f"/limits/allow_hosts/{index}",
                "This is no host name.",
                "Whole names only, such as `upload.example.com`.",
            )
    return frozenset(hosts)


def read_capabilities(found: Findings, file: Mapping[str, object], actions: frozenset[str]) -> Capabilities:
    """`capabilities`: what is not said follows from the actions there are."""
    known = tuple(field.name for field in msgspec.structs.fields(Capabilities))
    allowed = tuple("full_replace_every" if name == "full_replace_every_s" else name for name in known)
    members = found.table(file.get("capabilities", {}), "/capabilities", allowed, what="`capabilities`") or {}
    at = "/capabilities"
    flags = {
        name: found.flag(members, name, at, default=name in actions) for name in ("add", "update", "remove", "replace")
    }
    for name, is_on in flags.items():
        if is_on and name not in actions:
            found.add(f"{at}/{name}", f"There is no action `{name}`.", "Add the action, or take this out.")
    every: float | None = None
    if "full_replace_every" in members:
        text = members["full_replace_every"]
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            found.add(f"{at}/full_replace_every", 'This must be a span such as `"24h"`, `"90m"` or `"7d"`.')
        else:
            every = int(match[1]) * {"m": 60.0, "h": 3600.0, "d": 86400.0}[match[2]]
    return Capabilities(
        add=flags["add"],
        update=flags["update"],
        remove=flags["remove"],
        replace=flags["replace"],
        identifier_update=found.flag(members, "identifier_update", at, default=False),
        idempotent=found.flag(members, "idempotent", at, default=True),
        min_distinct=whole(found, members, "min_distinct", at, 0, 100_000_000, 0),
        full_replace_every_s=every,
    )


def _is_ipv6(netloc: str) -> bool:
    return re.fullmatch(r"\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?", netloc) is not None
