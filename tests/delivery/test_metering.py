"""Requests made for runs, as the metrics of syncs count them: each by its status, or by its having none."""

from __future__ import annotations

import asyncio

import pytest
from alert_receivers import WebhookReceiver

from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.delivery.bounds import LaneLimits, RatedHttp, Throttle
from gateway.delivery.metering import MeteredHttp
from gateway.destinations.http_client import PartnerHttp
from gateway.observe import metrics

pytestmark = pytest.mark.anyio

LANE = "metered-lane"


async def test_each_request_is_counted_by_its_status() -> None:
    """An error status is a status; a connection refused is `none`."""
    http = PartnerHttp(version="test")
    way_out = MeteredHttp(http.lane(allow_private=True), LANE)
    async with WebhookReceiver().open() as partner:
        request = Request(method="POST", url=partner.url, headers={})
        for partner.status in (429, 503, 503):
            await way_out.send(request)
    with pytest.raises(NoAnswerError):
        await way_out.send(request)
    counted = {
        status: metrics.SYNC_REQUESTS.labels(LANE, status)._value.get() for status in ("200", "429", "503", "none")
    }
    assert counted == {"200": 0, "429": 1, "503": 2, "none": 1}
    assert metrics.SYNC_REQUEST_S.labels(LANE)._sum.get() > 0
    await http.aclose()


async def test_waiting_for_the_rate_is_no_part_of_a_request() -> None:
    """Else a slow rate would look like a slow platform."""

    class Way:
        async def send(self, _request: Request) -> Answer:
            return Answer(status=200)

    class Slow(Throttle):
        async def may_send(self) -> None:
            await asyncio.sleep(0.3)

    way, metered = RatedHttp(Way(), Slow(LaneLimits())).around(lambda inner: MeteredHttp(inner, "rated-lane"))
    await way.send(Request(method="POST", url="https://example.com", headers={}, body=b"12"))
    assert metered.bytes == 2
    assert metrics.SYNC_REQUEST_S.labels("rated-lane")._sum.get() < 0.2
