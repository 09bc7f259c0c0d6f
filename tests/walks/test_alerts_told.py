"""An alert leaves the gateway's own process: by signed webhook and by STARTTLS mail, shown in the API, over when it is over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest
from alert_receivers import CERTIFICATE, SECRET, MailServer, WebhookReceiver
from walks_running import Walk, until

from gateway.sandbox.server import SandboxThread
from gateway.sandbox.the_trade_desk import TheTradeDesk

NAME = "ttd/sync-audience/vip"
VICTIM = "canary.alert@example.com"


class Receivers:
    """A webhook and a mail server in a thread with a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        self.webhook = await self._stack.enter_async_context(WebhookReceiver().open())
        self.mail = await self._stack.enter_async_context(MailServer().open())


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as made:
        yield made


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """A project folder that keeps the audience vip at the sandbox's Trade Desk."""
    with SandboxThread([TheTradeDesk()], port=0, upload_port=0) as sandbox:
        made = Walk(tmp_path / "project", sandbox.url)
        (made.folder / "mappings" / "stackadapt.json").unlink()
        settings = {
            "auth_token": {"$env": "STACKADAPT_TOKEN"},
            "advertiser_id": "adv123",
            "api_base_url": f"{sandbox.url}/the-trade-desk/v3",
        }
        mapping = {
            "name": "Sync Audience",
            "fields": {"pii_type": "EmailHashedUnifiedId2"},
            "audiences": {"*": {"region": "EU", "create": True, "name": "VIP customers"}},
            "sync": {"alerts": {"below_minimum": "critical"}},
        }
        made.write("ttd.json", {"destination": "the-trade-desk-crm", "settings": settings, "mappings": [mapping]})
        yield made
        made.stop()


def enter(walk: Walk, numbers: range) -> None:
    """People come in, in requests of a hundred."""
    events = [
        {
            "type": "track", "event": "Audience Entered", "userId": f"u-{number}", "messageId": f"m-{number}",
            "properties": {"audience_key": "vip", "vip": True},
            "context": {
                "traits": {"email": f"{number}{VICTIM}"},
                "personas": {"computation_class": "audience", "computation_key": "vip", "computation_id": "aud_vip"},
            },
        }
        for number in numbers
    ]  # fmt: skip
    for start in range(0, len(events), 100):
        assert walk.post({"batch": events[start : start + 100]}, "/v1/batch")[0] == 200


def size(walk: Walk) -> int:
    """Of the audience, as the API shows it."""
    audiences = walk.admin("GET", "/api/audiences")[1]["audiences"]
    assert isinstance(audiences, list)
    return int(audiences[0]["members"]) if audiences else 0


def standing(walk: Walk) -> list[str]:
    """Alerts that stand."""
    alerts = walk.admin("GET", "/api/alerts")[1]["alerts"]
    assert isinstance(alerts, list)
    return [f"{one['level']} {one['name']} of {one['sync']}" for one in alerts]


def test_a_list_that_is_too_small_is_told_by_webhook_and_mail(walk: Walk, receivers: Receivers) -> None:
    """Told once with its level, over with the first list that is large enough; nobody's address is in it."""
    role = walk.serve(
        "--single",
        GATEWAY_ALERT_WEBHOOK_URL=receivers.webhook.url,
        GATEWAY_ALERT_WEBHOOK_SECRET=SECRET,
        GATEWAY_ALERT_EMAIL_TO="ops@example.com, night@example.com",
        GATEWAY_ALERT_EMAIL_FROM="gateway@example.com",
        GATEWAY_SMTP_HOST="localhost",
        GATEWAY_SMTP_PORT=str(receivers.mail.port),
        SSL_CERT_FILE=str(CERTIFICATE),
    )
    enter(walk, range(3))
    until(lambda: size(walk) == 3)
    assert walk.admin("POST", f"/api/syncs/{NAME}:run", {})[0] == 200
    for sink in ("webhook", "email"):
        role.wait_for("notice.sent", sink=sink, alert="below_minimum")
    assert standing(walk) == [f"critical below_minimum of {NAME}"]
    enter(walk, range(3, 1_503))
    until(lambda: size(walk) == 1_503)
    assert walk.admin("POST", f"/api/syncs/{NAME}:run", {})[0] == 200
    for sink in ("webhook", "email"):
        role.wait_for("notice.sent", times=2, sink=sink, alert="below_minimum")
    assert standing(walk) == []
    shown = walk.metrics(walk.admin_port)
    for line in (
        f'gateway_sync_list_size{{sync="{NAME}"}} 1503.0',
        f'gateway_sync_ops_total{{op="add",outcome="accepted",sync="{NAME}"}} 1503.0',
        'gateway_sync_requests_total{destination="ttd",status="200"}',
        'gateway_events_total{kind="track",result="applied"} 1503.0',
    ):
        assert line in shown, line
    assert [post["type"] for post in receivers.webhook.posts] == ["alert.raised", "alert.recovered"]
    assert [recipients for _, recipients, is_safe in receivers.mail.envelopes if is_safe] == [
        ["ops@example.com", "night@example.com"]
    ] * 2
    assert b"canary" not in receivers.webhook.raw + receivers.mail.raw
