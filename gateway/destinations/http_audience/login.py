"""Credentials on the wire: headers, query keys, signatures, and the call for an OAuth token. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from gateway.core.http_messages import Answer, Request
from gateway.destinations.http_audience.shape import Login
from gateway.destinations.http_audience.templates import header_problem

TOKEN_EARLY_S: Final = 60  # a token counts as expired that long before it is
TOKEN_LIFE_S_DEFAULT: Final = 300  # RFC 6749 lets `expires_in` be left out; ours
TOKEN_LIFE_S_MAX: Final = 7 * 86_400
TOKEN_CHARS_MAX: Final = 20_000
TOKEN_TIMEOUT_S: Final = 30.0


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token and until when it may be used, in Unix µs."""

    text: str
    until_us: int


class LoginError(Exception):
    """The credentials cannot be put on the wire; the text names the setting, never its value."""


def login_headers(
    login: Login, secrets: Mapping[str, str], token: str, body: bytes, *, message_id: str = "", sent_at_s: int = 0
) -> dict[str, str]:
    """What the login adds to a request's headers. token: for OAuth; message_id, sent_at_s: for Standard Webhooks.

    Raises LoginError.
    """
    headers: dict[str, str] = {}
    match login.type:
        case "basic":
            username = login.texts.get("username") or secrets["username"]
            pair = f"{username}:{secrets['password']}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        case "bearer":
            headers["Authorization"] = f"Bearer {secrets['token']}"
        case "oauth2_client_credentials" | "oauth2_refresh_token":
            headers["Authorization"] = f"Bearer {token}"
        case "standard_webhooks":
            headers["webhook-id"] = message_id
            headers["webhook-timestamp"] = str(sent_at_s)
            headers["webhook-signature"] = webhook_signature(secrets["secret"], message_id, sent_at_s, body)
        case "api_key" if login.texts["in"] == "header":
            headers[login.texts["name"]] = secrets["value"]
        case "hmac":
            headers[login.texts["header"]] = signature(login, secrets["secret"], body)
    for name, value in headers.items():
        if problem := header_problem(value):
            raise LoginError(f"the secret for `{name}` {problem}")
    return headers


def login_query(login: Login, secrets: Mapping[str, str]) -> str:
    """What the login adds to a URL: `name=value`, or nothing."""
    if login.type == "api_key" and login.texts["in"] == "query":
        return f"{quote(login.texts['name'], safe='')}={quote(secrets['value'], safe='')}"
    if login.texts.get("proof") and secrets.get("proof"):
        proof = hmac.new(secrets["proof"].encode(), secrets["token"].encode(), "sha256").hexdigest()
        return f"{quote(login.texts['proof'], safe='')}={proof}"
    return ""


def webhook_signature(secret: str, message_id: str, sent_at_s: int, body: bytes) -> str:
    """`v1,` and the Base64 of HMAC-SHA256 over `id.time.body` (Standard Webhooks 1.0.0). Raises LoginError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise LoginError("the secret for `webhook-signature` is not `whsec_` and Base64") from None
    digest = hmac.new(key, f"{message_id}.{sent_at_s}.".encode() + body, "sha256").digest()
    return "v1," + base64.b64encode(digest).decode()


def signature(login: Login, secret: str, body: bytes) -> str:
    """The keyed hash of the body's bytes, as `auth` says it is written."""
    digest = hmac.new(secret.encode(), body, getattr(hashlib, login.texts["algorithm"])).digest()
    text = digest.hex() if login.texts["encoding"] == "hex" else base64.b64encode(digest).decode()
    return login.texts.get("prefix", "") + text


def token_request(login: Login, secrets: Mapping[str, str], base_url: str, token_url: str = "") -> Request:
    """The client credentials grant (RFC 6749 §4.4), or that of a refresh token (§6). token_url: instead of the file's."""
    url = token_url or login.texts["token_url"]
    form = {"grant_type": "client_credentials"}
    if login.type == "oauth2_refresh_token":
        form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
    form.update({key: login.texts[key] for key in ("scope", "audience") if login.texts.get(key)})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if login.texts["send_in"] == "basic":
        pair = f"{quote(secrets['client_id'], safe='')}:{quote(secrets['client_secret'], safe='')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    else:
        form |= {"client_id": secrets["client_id"], "client_secret": secrets["client_secret"]}
    return Request(
        method="POST",
        url=base_url.removesuffix("/") + url if url.startswith("/") else url,
        headers=headers,
        body=urlencode(form).encode(),
        timeout_s=TOKEN_TIMEOUT_S,
    )


def read_token(answer: Answer, *, now_us: int) -> Token | None:
    """The token of a successful answer; None when it holds none."""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    text = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(text, str) or not 0 < len(text) <= TOKEN_CHARS_MAX or header_problem(text):
        return None
    life = body.get("expires_in")
    if isinstance(life, str) and life.isascii() and life.isdigit() and len(life) < 12:
        life = int(life)
    if isinstance(life, bool) or not isinstance(life, (int, float)) or not life > 0:
        life = TOKEN_LIFE_S_DEFAULT
    usable_s = max(0.0, min(float(life), TOKEN_LIFE_S_MAX) - TOKEN_EARLY_S)
    return Token(text=text, until_us=now_us + round(usable_s * 1_000_000))


def credentials_digest(login: Login, secrets: Mapping[str, str], base_url: str) -> str:
    """Under this a token is kept, so that changed credentials do not meet an old one."""
    text = msgspec.json.encode([base_url, dict(login.texts), dict(sorted(secrets.items()))])
    return hashlib.blake2b(text, digest_size=12, person=b"http-audience").hexdigest()
