"""Notices as signed POSTs, as the Standard Webhooks specification wants them."""

from __future__ import annotations

from gateway.alerting.sinks import NotTold, Told
from gateway.core.http_messages import NoAnswerError, Request
from gateway.core.notices import Notice, webhook_body
from gateway.core.signatures import standard_signature
from gateway.destinations.base import HttpClient

TIMEOUT_S = 15.0  # Standard Webhooks specification, "Delivery": 15 to 30 s


class Webhook:
    """One address. secret: `whsec_` and base64."""

    name = "webhook"

    def __init__(self, *, url: str, secret: str, http: HttpClient) -> None:
        self._url = url
        self._secret = secret
        self._http = http

    async def tell(self, notice: Notice, *, identity: str, now_s: int) -> Told | NotTold:
        """One POST; any 2xx means taken."""
        body = webhook_body(notice)
        request = Request(
            method="POST",
            url=self._url,
            headers={
                "content-type": "application/json",
                "webhook-id": identity,
                "webhook-timestamp": str(now_s),
                "webhook-signature": standard_signature(self._secret, identity, now_s, body),
            },
            body=body,
            timeout_s=TIMEOUT_S,
        )
        try:
            answer = await self._http.send(request)
        except NoAnswerError as error:
            return NotTold(reason=error.reason)
        return Told() if 200 <= answer.status < 300 else NotTold(reason=f"HTTP {answer.status}")
