"""`limits.tls` of a configured destination: PEM texts read where the file says, shown to no host but the partner's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from gateway.core.http_messages import Answer, Request, Tls
from gateway.destinations.base import HttpClient
from gateway.destinations.http_audience.format_access import host_of
from gateway.destinations.http_audience.shape import PemSource, TlsRule
from gateway.destinations.tls import TlsError, tls_problem

PEM_BYTES_MAX: Final = 1024 * 1024  # a whole bundle of authorities has a quarter of that


def read_tls(rule: TlsRule, *, secret: Callable[[str], str], variables: Mapping[str, str]) -> Tls:
    """The texts, as they are now. secret: a setting, else an environment variable; "" for none. Raises TlsError."""
    texts = {one.key: _text(one, secret, variables) for one in rule.sources}
    return Tls(**texts)


def tls_problems(rule: TlsRule, *, secret: Callable[[str], str], variables: Mapping[str, str]) -> list[str]:
    """What is wrong with them, in sentences that hold nothing of them."""
    try:
        problem = tls_problem(read_tls(rule, secret=secret, variables=variables))
    except TlsError as error:
        return [str(error)]
    return [f"`limits.tls`: {problem}"] if problem else []


def _text(source: PemSource, secret: Callable[[str], str], variables: Mapping[str, str]) -> str:
    if source.kind == "file":
        return _file_text(source)
    text = secret(source.name) if source.kind == "secret" else variables.get(source.name, "").strip()
    if text:
        return text
    where = "neither a setting nor an environment variable" if source.kind == "secret" else "no environment variable"
    raise TlsError(f"`{source.name}`, which `limits.tls.{source.key}` names, is {where}; put the PEM text there.")


def _file_text(source: PemSource) -> str:
    place = f"`limits.tls.{source.key}`: the file {source.name}"
    try:
        with Path(source.name).open("rb") as file:
            data = file.read(PEM_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except UnicodeError:
        raise TlsError(f"{place} is no PEM text.") from None
    except OSError as error:
        raise TlsError(f"{place} cannot be read: {error.strerror or type(error).__name__}.") from None
    if len(data) > PEM_BYTES_MAX:
        raise TlsError(f"{place} is larger than {PEM_BYTES_MAX} bytes.")
    return text


class Identified:
    """A way out on which the partner's own hosts see the certificate; others (a storage host) see what everybody shows."""

    def __init__(self, http: HttpClient, tls: Tls, addresses: tuple[str, ...]) -> None:
        """addresses: of the partner, whose hosts are its own."""
        self._http = http
        self._tls = tls
        self._hosts = frozenset(host_of(one) for one in addresses if "://" in one)

    async def send(self, request: Request) -> Answer:
        """As the client it stands before."""
        if host_of(request.url) not in self._hosts:
            return await self._http.send(request)
        return await self._http.send(msgspec.structs.replace(request, tls=self._tls))
