"""One run's calls: sent one after the other, counted, and told in one line each for the attempt row."""

from __future__ import annotations

from gateway.core.answers import status_text
from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.core.outcomes import Unreachable
from gateway.destinations.base import Context


class Calls:
    """What went out and what came back. settings: the destination's, resolved."""

    def __init__(self, settings: dict[str, object], context: Context) -> None:
        self.settings = settings
        self.now_us = context.now_us
        self.notes = context.notes
        self.requests = 0
        self.asked: list[str] = []
        self.told: list[str] = []
        self._http = context.http

    async def send(self, request: Request, summary: str, *, to: str = "The Trade Desk") -> Answer | Unreachable:
        """The answer, or why there is none. summary: one line without anybody in it."""
        self.requests += 1
        self.asked.append(summary)
        try:
            answer = await self._http.send(request)
        except NoAnswerError as error:
            self.told.append(f"no answer: {error.reason}")
            return Unreachable(reason=f"{to} gave no answer: {error.reason}", sent=error.sent)
        self.told.append(status_text(answer.status))
        return answer
