"""Who hears of alerts: a webhook and an SMTP server on 127.0.0.1, both real, that keep what they got and can be told to fail."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a key for these tests, 32 bytes!").decode()
CERTIFICATE = Path(__file__).parent / "destinations" / "localhost.pem"


class WebhookReceiver:
    """Answers every POST with `status`; hangs for ever where that is 0. `posts` are those it took, checked."""

    def __init__(self) -> None:
        self.status = 200
        self.posts: list[dict[str, Any]] = []
        self.identities: list[str] = []
        self.raw = b""
        self.asked = asyncio.Event()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks/alerts"

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[WebhookReceiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._released.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")[1:]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.set()
            if not self.status:
                await self._released.wait()
                return
            if self.status == 200:
                self._take(headers, body)
                self.raw += head.encode() + body
            writer.write(f"HTTP/1.1 {self.status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        """As the Standard Webhooks specification says: HMAC-SHA256 over id, time and body, with the key behind `whsec_`."""
        identity, sent = headers["webhook-id"], headers["webhook-timestamp"]
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{identity}.{sent}.".encode() + body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
        self.posts.append(json.loads(body))
        self.identities.append(identity)


class MailServer:
    """Speaks as much SMTP as a client with STARTTLS needs. `refuses`: the code it says to every letter; `letters`: taken ones."""

    def __init__(self, *, offers_tls: bool = True) -> None:
        self.refuses = 0
        self.hangs = False
        self.letters: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str], bool]] = []
        self.raw = b""
        self.asked = asyncio.Event()
        self.taken: asyncio.Queue[None] = asyncio.Queue()
        self._offers_tls = offers_tls
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(CERTIFICATE)
        self._released = asyncio.Event()

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[MailServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._released.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.set()
            if self.hangs:
                await self._released.wait()
                return
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await say("220 mail.example.com")
        sender, recipients, is_safe = "", list[str](), False
        while line := (await reader.readline()).decode().strip():
            match line.split()[0].upper():
                case "EHLO":
                    await say(
                        "250-mail.example.com\r\n250 STARTTLS" if self._offers_tls and not is_safe else "250 mail"
                    )
                case "STARTTLS":
                    await say("220 go on")
                    await writer.start_tls(self._tls)
                    is_safe = True
                case "MAIL":
                    sender, recipients = line.partition(":")[2].split()[0].strip("<>"), []
                    await say("250 ok")
                case "RCPT":
                    recipients.append(line.partition(":")[2].strip("<>"))
                    await say("250 ok")
                case "DATA":
                    await say("354 go on")
                    body = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                    if self.refuses:
                        await say(f"{self.refuses} not now")
                        continue
                    self.raw += body
                    self.letters.append(email.message_from_bytes(body, policy=email.policy.default))  # type: ignore[arg-type]
                    self.envelopes.append((sender, recipients, is_safe))
                    self.taken.put_nowait(None)
                    await say("250 taken")
                case "QUIT":
                    await say("221 bye")
                    return
                case _:
                    await say("250 ok")


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the servers above."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))
