"""Notices on their way: signed posts and letters, sinks that are down, hang or are taken out, and what is kept meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alert_receivers import SECRET, MailServer, WebhookReceiver, trusting
from msgspec.structs import replace

from gateway.alerting.courier import NOTICES_MAX, Courier
from gateway.alerting.email import Email, Mailbox, Security
from gateway.alerting.sinks import NotTold, Told
from gateway.alerting.webhook import Webhook
from gateway.core.errors import EventError
from gateway.core.notices import Notice, encode_notice
from gateway.core.retries import FAILURES_MAX
from gateway.core.signatures import check_webhook
from gateway.core.sources import Source, WebhookAuth
from gateway.destinations.http_client import PartnerHttp
from gateway.store import open_state

pytestmark = pytest.mark.anyio

S = 1_000_000
NOON_US = 1_795_003_200 * S
NOTICE = Notice(
    kind="raised", alert="held", level="critical", sync="lister/all/vip", message="350 of 1000 would go.",
    since_us=NOON_US, at_us=NOON_US + S, run=7,
)  # fmt: skip


class Desk:
    """A store with notices, a clock set by hand, and a courier for the sinks a test gives."""

    def __init__(self, folder: Path) -> None:
        self.state: Any = open_state(folder)
        self.http = PartnerHttp(version="test")
        self.now_us = NOON_US

    def courier(self, *sinks: Any) -> Courier:
        return Courier(state=self.state, sinks=sinks, clock=lambda: self.now_us, chance=lambda: 1.0)

    def webhook(self, receiver: WebhookReceiver) -> Webhook:
        return Webhook(url=receiver.url, secret=SECRET, http=self.http.lane(allow_private=True))

    def email(self, server: MailServer, *, security: Security = "starttls") -> Email:
        box = Mailbox(
            host="localhost", port=server.port, security=security, sender="gateway@example.com",
            recipients=("ops@example.com", "night@example.com"),
        )  # fmt: skip
        return Email(box, context=trusting())

    async def raise_(self, count: int = 1) -> None:
        for number in range(count):
            body = encode_notice(replace(NOTICE, run=number))
            await self.state.write(lambda tx, body=body: tx.add_notice(body, now_us=self.now_us))

    async def tell(self, notice: Notice) -> None:
        await self.state.write(lambda tx: tx.add_notice(encode_notice(notice), now_us=self.now_us))

    async def owed(self, sink: str) -> int:
        rows = await self.state.read(lambda view: view.notices_due(sink, now_us=2**62, limit=10_000))
        return len(rows)


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    await made.http.aclose()
    await made.state.close()


async def test_a_webhook_gets_a_signed_post(desk):
    """The receiver checks the signature as the specification says; type, time and data stand in the body."""
    async with WebhookReceiver().open() as receiver:
        await desk.raise_()
        assert await desk.courier(desk.webhook(receiver)).step() == 1
    assert receiver.posts == [
        {
            "type": "alert.raised", "timestamp": "2026-11-18T12:00:01Z",
            "data": {
                "alert": "held", "level": "critical", "sync": "lister/all/vip", "message": "350 of 1000 would go.",
                "since": "2026-11-18T12:00:00Z", "run": None,
            },
        }
    ]  # fmt: skip
    assert await desk.owed("webhook") == 0


async def test_an_alert_is_told_before_its_end_however_long_the_receiver_was_away(desk):
    """The end is due while the beginning waits for its next try: it waits, too; another sync's alert does not."""
    ended, other = replace(NOTICE, kind="recovered"), replace(NOTICE, sync="lister/all/gold")
    async with WebhookReceiver().open() as receiver:
        courier = desk.courier(desk.webhook(receiver))
        receiver.status = 503
        await desk.tell(NOTICE)
        for _ in range(4):
            assert await courier.step() == 0
            desk.now_us += 60 * S
        receiver.status = 200  # it is there again, 4 s before the next try of what it missed
        await desk.tell(ended)
        await desk.tell(other)
        assert await courier.step() == 1
        assert [(one["type"], one["data"]["sync"]) for one in receiver.posts] == [("alert.raised", other.sync)]
        desk.now_us += 60 * S
        assert await courier.step() == 2
    assert [one["type"] for one in receiver.posts] == ["alert.raised", "alert.raised", "alert.recovered"]


async def test_alerts_that_a_receiver_never_takes_leave_the_others_their_turn(desk):
    """Each round ends with a refusal; the one that would be taken was raised last, and is told once each had one try."""

    tried: list[str] = []

    class Choosy:
        name = "choosy"

        async def tell(self, notice: Notice, *, identity: str, now_s: int) -> Told | NotTold:
            tried.append(notice.sync)
            return Told() if notice.sync == "good" else NotTold(reason="status 400")

    courier = desk.courier(Choosy())
    for number in range(10):
        await desk.tell(replace(NOTICE, sync=f"bad/{number}"))
    await desk.tell(replace(NOTICE, sync="good"))
    while not await courier.step():
        desk.now_us += 30 * S
    assert tried[:11] == [*(f"bad/{number}" for number in range(10)), "good"]


async def test_our_own_ingest_would_take_the_signature():
    """What the gateway signs, the gateway's webhook sources accept; and nothing else."""
    from gateway.core.signatures import standard_signature

    source = Source(name="alerts", auth=WebhookAuth(standard_webhooks=(SECRET,)))
    headers = {
        "webhook-id": "ntc_1", "webhook-timestamp": "1000",
        "webhook-signature": standard_signature(SECRET, "ntc_1", 1000, b"{}"),
    }  # fmt: skip
    assert check_webhook(source, headers, b"{}", path_token=None, now_s=1000) == ()
    with pytest.raises(EventError):
        check_webhook(source, headers, b"{ }", path_token=None, now_s=1000)


async def test_an_email_goes_out_by_starttls(desk):
    """To all recipients, with one Message-ID a notice, marked as nothing to answer."""
    async with MailServer().open() as server:
        await desk.raise_()
        assert await desk.courier(desk.email(server)).step() == 1
    (letter,) = server.letters
    assert server.envelopes == [("gateway@example.com", ["ops@example.com", "night@example.com"], True)]
    assert letter["Subject"] == "[audience gateway] critical: held, lister/all/vip"
    assert (letter["Auto-Submitted"], letter["Message-ID"]) == ("auto-generated", f"<ntc_{NOON_US:x}_1@example.com>")
    assert "350 of 1000 would go." in letter.get_content()


async def test_without_starttls_no_letter_goes_in_clear(desk):
    """A server that does not offer it (or somebody in between who takes it out) gets nothing."""
    async with MailServer(offers_tls=False).open() as server:
        await desk.raise_()
        courier = desk.courier(desk.email(server))
        assert await courier.step() == 0
        assert (server.letters, await desk.owed("email")) == ([], 1)
        desk.now_us += 2 * S
        assert await desk.courier(desk.email(server, security="none")).step() == 1


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_webhook_that_was_down_gets_it_once_it_is_up(desk, status):
    """It is tried again with growing waits under one id, and arrives once; the other sink has had its own long before."""
    async with WebhookReceiver().open() as receiver, MailServer().open() as server:
        courier = desk.courier(desk.webhook(receiver), desk.email(server))
        receiver.status = status
        await desk.raise_()
        assert await courier.step() == 1
        assert len(server.letters) == 1
        for wait_s in (1, 4, 16):
            assert await courier.step() == 0
            desk.now_us += wait_s * S
            assert await courier.step() == 0
        receiver.status = 200
        desk.now_us += 64 * S
        assert await courier.step() == 1
        assert await courier.step() == 0
        assert (receiver.identities, len(server.letters)) == ([f"ntc_{NOON_US:x}_1"], 1)


async def test_a_mail_server_that_was_down_gets_it_once_it_is_up(desk):
    """Refused at first, then nobody listens, then it is taken."""
    async with MailServer().open() as server:
        server.refuses = 451
        courier = desk.courier(desk.email(server))
        await desk.raise_()
        assert await courier.step() == 0
        port = server.port
    desk.now_us += 10 * S
    assert await courier.step() == 0
    async with MailServer().open(port) as server:
        desk.now_us += 60 * S
        assert await courier.step() == 1
        assert len(server.letters) == 1


async def test_a_sink_that_hangs_delays_only_itself(desk):
    """With the webhook hanging, letters go on, and a stop does not wait for it."""
    async with WebhookReceiver().open() as receiver, MailServer().open() as server:
        receiver.status = 0
        courier = desk.courier(desk.webhook(receiver), desk.email(server))
        await desk.raise_(3)
        running = asyncio.create_task(courier.run())
        await asyncio.wait_for(receiver.asked.wait(), 10)
        for _ in range(3):
            await asyncio.wait_for(server.taken.get(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await desk.owed("webhook") == 3


async def test_a_stop_does_not_wait_for_a_mail_server_that_hangs(desk):
    """The connection is cut, the letter stays owed."""
    async with MailServer().open() as server:
        server.hangs = True
        await desk.raise_()
        running = asyncio.create_task(desk.courier(desk.email(server)).run())
        await asyncio.wait_for(server.asked.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 2)
    assert await desk.owed("email") == 1


async def test_a_notice_is_given_up_after_a_day(desk):
    """35 failures, as deliveries; then it is gone."""
    async with WebhookReceiver().open() as receiver:
        receiver.status = 503
        courier = desk.courier(desk.webhook(receiver))
        await desk.raise_()
        for attempt in range(1, FAILURES_MAX + 1):
            assert await desk.owed("webhook" if attempt > 1 else "") == 1
            await courier.step()
            desk.now_us += 3_600 * S
    assert await desk.owed("webhook") == 0
    assert desk.now_us - NOON_US > 28 * 3_600 * S


async def test_what_a_sink_owes_is_bounded(desk):
    """The newest stay."""
    async with WebhookReceiver().open() as receiver:
        receiver.status = 503
        body = encode_notice(NOTICE)

        def many(tx: Any) -> None:
            for _ in range(NOTICES_MAX + 5):
                tx.add_notice(body, now_us=desk.now_us)

        await desk.state.write(many)
        await desk.courier(desk.webhook(receiver)).share()
        rows = await desk.state.read(lambda view: view.notices_due("webhook", now_us=2**62, limit=10_000))
    assert [row.number for row in rows] == list(range(6, NOTICES_MAX + 6))


async def test_without_sinks_nothing_is_kept(desk):
    """Nor for a sink that was taken out of the settings."""
    async with WebhookReceiver().open() as receiver:
        receiver.status = 503
        await desk.raise_()
        await desk.courier(desk.webhook(receiver)).step()
    await desk.raise_()
    await desk.courier().step()
    assert (await desk.owed("webhook"), await desk.owed("")) == (0, 0)


async def test_a_crash_between_sending_and_noting_repeats_with_the_same_id(desk):
    """At least once: whoever takes it can tell."""
    async with WebhookReceiver().open() as receiver:
        await desk.raise_()
        courier = desk.courier(desk.webhook(receiver))
        await courier.share()
        rows = await desk.state.read(lambda view: view.notices_due("webhook", now_us=2**62, limit=1))
        await desk.webhook(receiver).tell(NOTICE, identity=f"ntc_{rows[0].created_us:x}_{rows[0].number}", now_s=1)
        assert await courier.step() == 1
    assert len(set(receiver.identities)) == 1
    assert json.dumps(receiver.posts[0]["type"]) == '"alert.raised"'
