"""Counts, times and weighs each request that is made for a sync's run, whatever becomes of its attempt."""

from __future__ import annotations

import time

from gateway.core.http_messages import Answer, Request
from gateway.destinations.base import HttpClient
from gateway.observe import metrics

NO_ANSWER = "none"


class MeteredHttp:
    """A lane's way out for one attempt, with its requests in the metrics of syncs. bytes: of their bodies, so far."""

    def __init__(self, http: HttpClient, lane: str) -> None:
        self._http = http
        self._lane = lane
        self.bytes = 0

    async def send(self, request: Request) -> Answer:
        """As the lane's own. Raises NoAnswerError."""
        started_s = time.perf_counter()
        status = NO_ANSWER
        self.bytes += len(request.body)
        try:
            answer = await self._http.send(request)
            status = str(answer.status)
            return answer
        finally:
            metrics.SYNC_REQUESTS.labels(self._lane, status).inc()
            metrics.SYNC_REQUEST_S.labels(self._lane).observe(time.perf_counter() - started_s)
