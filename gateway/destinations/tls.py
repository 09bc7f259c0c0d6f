"""Client certificates and authorities of one's own: PEM texts into what connections are made with, or what is wrong with them."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway.core.http_messages import Tls

CONTEXTS_MAX: Final = 64

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_KEY_END: Final = "PRIVATE KEY-----"


class TlsError(Exception):
    """A certificate, key or list of authorities cannot be used. The text holds nothing of them."""


def tls_problem(tls: Tls) -> str:
    """Why these cannot be used, in a sentence; empty when they can."""
    try:
        client_context(tls)
    except TlsError as error:
        return str(error)
    return ""


def _system_context(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@lru_cache(maxsize=CONTEXTS_MAX)
def client_context(
    tls: Tls, *, usual: Callable[[str | None], ssl.SSLContext] = _system_context, ca_file: str | None = None
) -> ssl.SSLContext:
    """What connections are made with; the partner's certificate is verified whatever is given. Raises TlsError.

    usual: makes what trusts `ca_file`, or the shipped authorities, where `tls` names none of its own.
    """
    context = _trusting(tls.authorities) if tls.authorities else usual(ca_file)
    if tls.certificate or tls.key:
        _show(context, tls)
    return context


def _trusting(authorities: str) -> ssl.SSLContext:
    if _CERTIFICATE not in authorities:
        raise TlsError("The authorities hold no PEM certificate.")
    try:
        return ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise TlsError("The authorities hold a certificate that cannot be read.") from None


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    """Let the context show the certificate."""
    if _CERTIFICATE not in tls.certificate:
        raise TlsError("The client certificate is no PEM certificate.")
    if _KEY_END not in tls.key + tls.certificate:
        raise TlsError("There is no private key for the client certificate, in PEM.")
    if "ENCRYPTED" in tls.key + tls.certificate:
        raise TlsError("The private key of the client certificate is encrypted; give it without a passphrase.")
    # OpenSSL reads files only. This one is ours alone, and gone at the end of the block.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(f"{tls.certificate}\n{tls.key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsError("The client certificate and the private key do not belong together.") from None
            raise TlsError("The client certificate or its private key cannot be read.") from None
