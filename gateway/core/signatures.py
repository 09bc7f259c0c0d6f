"""Checks that a webhook request shows what its source asks for. Pure: headers, raw bytes and the time come in.

Comparisons are constant-time and run over every configured secret, so that rotation costs nothing and timing tells nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from gateway.core import json_slices
from gateway.core.errors import EventError
from gateway.core.sources import Source, WebhookAuth

TIMESTAMP_TOLERANCE_S = 300  # Standard Webhooks specification, "Verifying webhook authenticity"
SIGNATURES_MAX = 32  # entries of one `webhook-signature` header that are looked at
SIGNATURE_HEADER_MAX = 4096  # characters of it
RESERVED_PATH_TOKEN = "audiences"  # noqa: S105 (a path word, not a secret)
STANDARD_SECRET_PREFIX = "whsec_"  # noqa: S105 (the public marker of such secrets)

_SHA1_HEX = re.compile(r"[0-9a-fA-F]{40}")
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")
_UNIX_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


def auth_problems(source: Source) -> list[str]:
    """What a source's `auth` asks for that cannot work, one sentence each; for whoever loads sources."""
    auth = source.auth
    problems = []
    if RESERVED_PATH_TOKEN in auth.path_token:
        problems.append(f"`{RESERVED_PATH_TOKEN}` cannot be a path token: it begins the audience routes.")
    if any("/" in token or not token for token in auth.path_token):
        problems.append("A path token is one non-empty part of a URL path, without slashes.")
    problems.extend(
        "A `standard_webhooks` secret is `whsec_` followed by base64."
        for secret in auth.standard_webhooks
        if standard_key(secret) is None
    )
    problems.extend(
        "Ed25519 keys are not supported for `jitsu_signature`; give the shared secret of its HMAC-SHA256 form."
        for secret in auth.jitsu_signature
        if secret.startswith(("-----BEGIN", "ed25519:"))
    )
    if source.extras_keys and not auth.x_signature:
        problems.append("`extras_keys` only serves `x_signature`, which this source does not have.")
    return problems


def check_webhook(
    source: Source, headers: Mapping[str, str], body: bytes, *, path_token: str | None, now_s: float
) -> tuple[str, ...]:
    """Let a webhook request pass, or raise EventError 401. Everything that is configured must pass.

    headers: lower-case names. body: raw bytes after Content-Encoding. path_token: the URL's, None without one.
    Returns the warnings for its events: `partial_signature` where the signature covers the first event only.
    """
    auth = source.auth
    if auth.none:
        return ()
    if not auth.is_configured:
        raise EventError(401, "missing_credentials", "This source has no `auth`; configure one, or say `none`.")
    check_path_token(auth, path_token)
    _check_authorization(auth, headers.get("authorization"))
    for name, values in auth.header:
        _check_one_of(headers.get(name.lower()), values, f"header {name}")
    if auth.standard_webhooks:
        _check_standard(auth.standard_webhooks, headers, body, now_s)
    if auth.jitsu_signature:
        _check_jitsu(auth.jitsu_signature, headers, body)
    return _check_x_signature(source, headers.get("x-signature"), body) if auth.x_signature else ()


def check_path_token(auth: WebhookAuth, path_token: str | None) -> None:
    """Check the URL's token where the source has some. Raises EventError 401."""
    if auth.path_token:
        _check_one_of(path_token, auth.path_token, "token in the URL")


def _check_authorization(auth: WebhookAuth, header: str | None) -> None:
    if auth.bearer:
        scheme, _, token = (header or "").partition(" ")
        _check_one_of(token.strip() if scheme.lower() == "bearer" else None, auth.bearer, "bearer token")
    if auth.basic:
        given = basic_credentials(header) if header and header[:6].lower() == "basic " else None
        pair = None if given is None else f"{given[0]}\0{given[1]}"
        _check_one_of(pair, [f"{user}\0{password}" for user, password in auth.basic], "user and password")


def _check_one_of(given: str | None, wanted: Iterable[str], what: str) -> None:
    if given is None:
        raise EventError(401, "missing_credentials", f"The {what} is missing.")
    if not _matches(given.encode("utf-8", "surrogateescape"), (value.encode() for value in wanted)):
        raise EventError(401, "invalid_write_key", f"The {what} is not one this source accepts.")


def basic_credentials(header: str) -> tuple[str, str]:
    """User and password of an `Authorization: Basic` header; base64 with or without padding, a missing colon tolerated.

    Raises EventError 401 `malformed_authorization`.
    """
    encoded = header[6:].strip().rstrip("=")
    try:
        decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True).decode()
    except (binascii.Error, ValueError) as error:  # UnicodeDecodeError is a ValueError.
        raise EventError(
            401, "malformed_authorization", "The Authorization header is not base64 of UTF-8 text."
        ) from error
    user, _, password = decoded.partition(":")
    return user, password


def _matches(given: bytes, wanted: Iterable[bytes]) -> bool:
    """Whether `given` is one of `wanted`, comparing with all of them."""
    hit = False
    for value in wanted:
        hit |= hmac.compare_digest(given, value)
    return hit


# --- X-Signature: HMAC-SHA1 over the body or over its first event ---


def _check_x_signature(source: Source, header: str | None, body: bytes) -> tuple[str, ...]:
    if header is None:
        raise EventError(401, "missing_signature", "The X-Signature header is missing.")
    given = header.strip().removeprefix("sha1=")
    if not _SHA1_HEX.fullmatch(given):
        raise EventError(401, "bad_signature", "X-Signature is not 40 hexadecimal digits.")
    given = given.lower()
    secrets = [secret.encode() for secret in source.auth.x_signature]
    extras = frozenset(source.extras_keys)
    if any(_signs(given, secrets, text) for text in (body, *_cut(body, extras))):
        return ()
    first, is_whole = _first_event(body)
    if not any(_signs(given, secrets, text) for event in first for text in (event, *_cut(event, extras))):
        raise EventError(401, "bad_signature", "X-Signature does not match the body with any secret of this source.")
    if is_whole:
        return ()
    if source.require_full_signature:
        raise EventError(
            401, "bad_signature", "X-Signature covers the first event only; this source wants all covered."
        )
    return ("partial_signature",)


def _signs(given: str, secrets: list[bytes], text: bytes) -> bool:
    return _matches(given.encode(), (hmac.new(secret, text, hashlib.sha1).hexdigest().encode() for secret in secrets))


def _cut(text: bytes, extras: frozenset[str]) -> list[bytes]:
    """The text as it was before the extras were merged in, where the source says which members those are."""
    if not extras:
        return []
    try:
        return [json_slices.without(text, extras)]
    except ValueError:
        return []


def _first_event(body: bytes) -> tuple[list[bytes], bool]:
    """Byte slices of an array's first element, and of the event inside its `json` wrapper; whether nothing else follows."""
    try:
        slices = json_slices.elements(body)
    except ValueError:
        return [], False
    if not slices:
        return [], False
    start, end = slices[0]
    found = [body[start:end]]
    try:
        inner = json_slices.members(found[0])
    except ValueError:
        inner = []
    if len(inner) == 1 and inner[0].name == "json":
        found.append(found[0][inner[0].value_start : inner[0].end])
    return found, len(slices) == 1


# --- Standard Webhooks and Jitsu: HMAC-SHA256 over time and body ---


def standard_key(secret: str) -> bytes | None:
    """The key of a Standard Webhooks secret; None where it is not `whsec_` and base64."""
    if not secret.startswith(STANDARD_SECRET_PREFIX):
        return None
    try:
        return base64.b64decode(secret.removeprefix(STANDARD_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None


def standard_signature(secret: str, identity: str, sent_s: int, body: bytes) -> str:
    """The `webhook-signature` of a webhook of our own. secret: one that `standard_key` reads."""
    key = standard_key(secret)
    assert key is not None, "checked where settings are read"
    return f"v1,{_standard_digest(key, identity, str(sent_s), body).decode()}"


def _standard_digest(key: bytes, identity: str, sent: str, body: bytes) -> bytes:
    signed = f"{identity}.{sent}.".encode("utf-8", "surrogateescape") + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _check_standard(secrets: Iterable[str], headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    identity, sent, header = (headers.get(f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if identity is None or sent is None or header is None:
        raise EventError(
            401, "missing_signature", "webhook-id, webhook-timestamp and webhook-signature are all needed."
        )
    if not _UNIX_SECONDS.fullmatch(sent):
        raise EventError(401, "bad_signature", "webhook-timestamp is not a number of seconds.")
    if abs(int(sent) - now_s) > TIMESTAMP_TOLERANCE_S:
        raise EventError(401, "stale_signature", f"webhook-timestamp is more than {TIMESTAMP_TOLERANCE_S} s from now.")
    wanted = [_standard_digest(key, identity, sent, body) for key in map(standard_key, secrets) if key is not None]
    entries = header[:SIGNATURE_HEADER_MAX].split(" ")[:SIGNATURES_MAX]
    given = [
        entry.removeprefix("v1,").encode("utf-8", "surrogateescape") for entry in entries if entry.startswith("v1,")
    ]
    if not any(_matches(signature, wanted) for signature in given):
        raise EventError(401, "bad_signature", "No entry of webhook-signature matches with any secret of this source.")


def _check_jitsu(secrets: Iterable[str], headers: Mapping[str, str], body: bytes) -> None:
    header, sent = headers.get("jitsu-signature"), headers.get("jitsu-signature-timestamp")
    if header is None:
        raise EventError(401, "missing_signature", "The Jitsu-Signature header is missing.")
    given = header.strip()
    signed = body if sent is None else sent.encode("utf-8", "surrogateescape") + b"." + body
    wanted = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets)
    if not _SHA256_HEX.fullmatch(given) or not _matches(given.lower().encode(), wanted):
        raise EventError(401, "bad_signature", "Jitsu-Signature does not match with any secret of this source.")
