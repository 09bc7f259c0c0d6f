"""Notices as e-mails through an SMTP server, in a thread of their own, as the standard library's client blocks."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

import msgspec

from gateway.alerting.sinks import NotTold, Told
from gateway.core.notices import Notice, mail_subject, mail_text

STEP_S_MAX = 15.0  # one step of the conversation
LETTER_S_MAX = 60.0  # all of it; a server that drips its answers is left alone then

Security = Literal["starttls", "tls", "none"]


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Where letters are handed in, and for whom. user: "" where the server wants no login."""

    host: str
    port: int
    security: Security
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = ""


class Email:
    """One letter a notice, to all recipients. context: how TLS is checked; None for the system's authorities."""

    name = "email"

    def __init__(self, mailbox: Mailbox, *, context: ssl.SSLContext | None = None) -> None:
        self._mailbox = mailbox
        self._context = context or ssl.create_default_context()

    async def tell(self, notice: Notice, *, identity: str, now_s: int) -> Told | NotTold:
        """One conversation with the server."""
        letter = letter_of(self._mailbox, notice, identity=identity, now_s=now_s)
        conversation = _Conversation(self._mailbox, self._context, letter)
        try:
            async with asyncio.timeout(LETTER_S_MAX):
                await _in_a_daemon(conversation.hold)
        except TimeoutError:
            return NotTold(reason=f"no end within {LETTER_S_MAX:g} s")
        except smtplib.SMTPResponseException as error:
            return NotTold(reason=f"SMTP {error.smtp_code}")
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            return NotTold(reason=f"recipients refused (SMTP {', '.join(map(str, codes))})")
        except (smtplib.SMTPException, OSError, ValueError) as error:
            return NotTold(reason=type(error).__name__)
        finally:
            conversation.end()
        return Told()


class _Conversation:
    """One connection; `end` cuts it off from another thread."""

    def __init__(self, mailbox: Mailbox, context: ssl.SSLContext, letter: EmailMessage) -> None:
        self._mailbox = mailbox
        self._context = context
        self._letter = letter
        self._client: smtplib.SMTP | None = None
        self._is_over = False

    def hold(self) -> None:
        """All of it; blocks. Raises what smtplib raises."""
        box = self._mailbox
        client: smtplib.SMTP
        if box.security == "tls":
            client = smtplib.SMTP_SSL(box.host, box.port, timeout=STEP_S_MAX, context=self._context)
        else:
            client = smtplib.SMTP(box.host, box.port, timeout=STEP_S_MAX)
        self._client = client
        if self._is_over:
            client.close()
            return
        try:
            if box.security == "starttls":
                client.starttls(context=self._context)
            if box.user:
                client.login(box.user, box.password)
            client.send_message(self._letter, from_addr=box.sender, to_addrs=list(box.recipients))
            self._take_leave(client)
        finally:
            client.close()

    @staticmethod
    def _take_leave(client: smtplib.SMTP) -> None:
        """The letter is taken: what goes wrong now changes nothing."""
        try:
            client.quit()
        except (smtplib.SMTPException, OSError):
            return

    def end(self) -> None:
        """Close the connection, whoever waits for it."""
        self._is_over = True
        if self._client is not None:
            self._client.close()


def letter_of(mailbox: Mailbox, notice: Notice, *, identity: str, now_s: int) -> EmailMessage:
    """The letter. Its Message-ID is the notice's identity, so that a repeated one is known."""
    letter = EmailMessage()
    letter["Subject"] = mail_subject(notice)
    letter["From"] = mailbox.sender
    letter["To"] = ", ".join(mailbox.recipients)
    letter["Date"] = formatdate(now_s)
    letter["Message-ID"] = f"<{identity}@{mailbox.sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers
    letter.set_content(mail_text(notice))
    return letter


async def _in_a_daemon(work: Callable[[], None]) -> None:
    """Run blocking work in a daemon thread: unlike an executor's, it keeps no stop of the gateway waiting."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except Exception as failed:  # noqa: BLE001 - handed on to who waits
            error = failed
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="alert-email", daemon=True).start()
    await done
