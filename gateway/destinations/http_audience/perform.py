"""A destination made from a definition file: its input and output. What is sent is `wire.py`'s, how answers read `answers.py`'s."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.core.definitions import Definition
from gateway.core.http_messages import Answer, Request, header_secret_problem
from gateway.destinations.attempt_lines import in_one_line
from gateway.destinations.base import Batch, Context, Foreseen, Performed
from gateway.destinations.http_audience.certificates import Identified, read_tls, tls_problems
from gateway.destinations.http_audience.definition import BASE_URL, TOKEN_URL, definition_of, secrets_in_headers
from gateway.destinations.http_audience.delivering import REHEARSED, Courier
from gateway.destinations.http_audience.dispatching import ASKED, Dispatch, Run
from gateway.destinations.http_audience.fields import Record, Rejection, prepare
from gateway.destinations.http_audience.format_access import address_problem
from gateway.destinations.http_audience.login import LoginError, login_headers
from gateway.destinations.http_audience.shape import OAUTH_LOGINS, Capabilities, DefinitionFile, Hashing, Limits
from gateway.destinations.http_audience.target import entry_warnings
from gateway.destinations.http_audience.tokens import TokenRefusedError
from gateway.destinations.http_audience.wire import Access, non_secret
from gateway.destinations.tls import TlsError

_NEW_SESSION: Final = "The upload's own number is new each time, so the run's bytes differ from these in it."
_NOTHING_TRIED: Final = (
    "warning: this definition has no request that only tries the credentials; the first delivery will."
)


class HttpAudience:
    """One definition file as a destination. capabilities, limits: for the sync engine and the lanes."""

    def __init__(self, file: DefinitionFile, *, variables: Mapping[str, str]) -> None:
        """variables: where a secret is looked up that is no setting, the process's environment."""
        self.file = file
        self._variables = variables
        self._definition = definition_of(file)

    @property
    def definition(self) -> Definition:
        """Settings, the one action, its fields."""
        return self._definition

    @property
    def capabilities(self) -> Capabilities:
        """What the sync engine may plan."""
        return self.file.capabilities

    @property
    def limits(self) -> Limits:
        """How hard the partner may be pressed."""
        return self.file.limits

    @property
    def lane_bounds(self) -> tuple[int, float]:
        """For the lane: requests at once, requests per second."""
        return self.file.limits.concurrency, self.file.limits.requests_per_second

    def group(self, action: str, payload: dict[str, object], settings: dict[str, object]) -> Hashable:  # noqa: ARG002
        """Any deliveries may come together: requests are told apart here, where operations and lists are known."""
        return ()

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:  # noqa: ARG002
        """A secret that is nowhere, and an address that is none."""
        problems = [
            f"The secret `{name}` is neither a setting nor an environment variable; set one of them."
            for name in self._missing_secrets(settings)
        ]
        # One of the settings is looked at when it is read.
        for name in secrets_in_headers(self.file.login) - settings.keys():
            problem = header_secret_problem(self._secret(name, settings))
            problems += [f"The secret `{name}`, an environment variable, {problem}."] if problem else []
        asked = self.file.asked_address
        for key in (BASE_URL, TOKEN_URL):
            given = settings.get(key)
            if given is not None and given != "":
                problem = address_problem(given, allow_http=True) if isinstance(given, str) else "This is no address."
                problems += [f"`{key}`: {problem}"] if problem else []
            elif key == BASE_URL and asked is not None:
                problems.append(f"`{BASE_URL}` ({asked.label}) is missing; every account has its own, so give yours.")
        if self.file.limits.tls is not None:
            problems += tls_problems(
                self.file.limits.tls, secret=lambda name: self._secret(name, settings), variables=self._variables
            )
        return problems

    def audience_warnings(self, entry: dict[str, object]) -> Sequence[str]:
        """A list's id, its name, a region that do not look as the definition says they do."""
        return entry_warnings(self.file, entry)

    def success_answer(self, request: Request) -> Answer:
        """A token where one is asked for, else an answer that counts as success whatever the definition looks for."""
        if b"grant_type=" in request.body and self.file.login.type in OAUTH_LOGINS:
            return Answer(status=200, body=b'{"access_token":"rehearsed-token","expires_in":3600}')
        return REHEARSED

    @property
    def uploads_lines(self) -> bool:
        """People stand in bodies of every form."""
        return False

    def foreseen(self, request: Request) -> Foreseen:
        """For plans of whole lists: the id of an upload in several requests is new each time."""
        whole = self.file.actions.get("replace")
        is_session = whole is not None and whole.session is not None
        return Foreseen(url=request.url, note=_NEW_SESSION if is_session else "")

    def prepared(
        self, operation: str, payload: Mapping[str, object], *, hashing: Hashing = "on", planned: bool = False
    ) -> Record | Rejection:
        """One record as templates see it: what a sync compares and keeps, or why it cannot be sent.

        planned: it is a sync's, so that a removal holds what was accepted before, which is hashed already.
        """
        asked = ASKED.get(operation, operation)
        if asked not in self.file.actions:
            return Rejection(
                code="action_not_configured",
                message=f"The definition has no action `{asked}`; add it, or plan without it.",
                details={"action": asked},
            )
        switch: Hashing = "auto" if planned and asked == "remove" else hashing
        return prepare(payload, asked, self.file.fields, hashing=switch)

    def rendered(
        self,
        action: str,  # noqa: ARG002 - definitions have one action
        payload: dict[str, object],
        *,
        hashing: Hashing,
    ) -> tuple[dict[str, object], frozenset[str]] | str:
        """For syncs: the record of a member who is in, and the names of its identifiers; a code where it cannot be sent."""
        asked = "add" if "add" in self.file.actions else "replace"
        record = self.prepared(asked, payload, hashing=hashing)
        if isinstance(record, Rejection):
            return record.code
        return record, frozenset(key for key, rule in self.file.fields.items() if rule.identifier)

    async def perform(self, batch: Batch, context: Context) -> Performed:
        """As many requests as the records need, one after the other; what cannot be sent is refused by itself."""
        done = await self.deliver(batch, context)
        requests = sum(len(one.requests) for one in done.sent)
        remembered: tuple[dict[str, object], ...] = ()
        if any(one.remembered for one in done.sent):
            kept: list[dict[str, object]] = [{} for _ in batch.owed]
            for one in done.sent:
                for item, values in zip(one.made.items, one.remembered, strict=False):
                    kept[item.place] = values
            remembered = tuple(kept)
        return Performed(
            outcomes=done.outcomes,
            request=in_one_line([line for one in done.sent for line in one.told]) or "no request",
            answer=in_one_line([line for one in done.sent for line in one.answered]) or "nothing was sent",
            requests=requests,
            remembered=remembered,
            counts=done.counts,
            stops=next((one.stops for one in done.sent if one.stops is not None), None),
        )

    async def deliver(self, batch: Batch, context: Context) -> Dispatch:
        """The same with everything that previews and reports show."""
        run = Run(self, batch, self.way_out(batch.settings, context))
        if batch.owed and run.held is not None:
            return Dispatch(outcomes=(run.held,) * len(batch.owed), rejections={}, sent=())
        return await run.all()

    async def test(self, settings: dict[str, object], context: Context) -> Sequence[str]:
        """Secrets that are missing or unusable; the token call where there is one. Nothing else is harmless in general."""
        problems = self.check_settings(settings, frozenset())
        if problems:
            return problems
        access = self.access(settings)
        courier = Courier(self.file, access, self.way_out(settings, context), frozenset())
        try:
            login_headers(self.file.login, access.secrets, "token", b"")
            await courier.tokens.drop()
            await courier.tokens.get()
        except LoginError as error:
            return [f"{error}."]
        except TokenRefusedError as error:
            return [getattr(error.outcome, "reason", "There is no token.")]
        return [] if self.file.login.type in OAUTH_LOGINS else [_NOTHING_TRIED]

    def way_out(self, settings: Mapping[str, object], context: Context) -> Context:
        """The context with connections that show the partner `limits.tls`; as it is where there is none, or a broken one."""
        rule = self.file.limits.tls
        if rule is None:
            return context
        try:
            tls = read_tls(rule, secret=lambda name: self._secret(name, settings), variables=self._variables)
        except TlsError:
            return context  # `check_settings` says so, and nothing is sent.
        access = self.access(settings)
        token_url = access.token_url or self.file.login.texts.get("token_url", "")
        http = Identified(context.http, tls, (access.base_url, token_url))
        return msgspec.structs.replace(context, http=http)

    def access(self, settings: Mapping[str, object]) -> Access:
        """Address, plain settings and secrets of one configured destination. Secrets that are nowhere are left out."""
        given, token_url = settings.get(BASE_URL), settings.get(TOKEN_URL)
        found = {key: self._secret(one.name, settings) for key, one in self.file.login.secrets.items()}
        return Access(
            base_url=given.removesuffix("/") if isinstance(given, str) and given else self.file.base_url,
            settings=non_secret(settings, self.file),
            secrets={key: text for key, text in found.items() if text},
            token_url=token_url if isinstance(token_url, str) else "",
        )

    def _secret(self, name: str, settings: Mapping[str, object]) -> str:
        given = settings.get(name)
        return given if isinstance(given, str) and given else self._variables.get(name, "").strip()

    def _missing_secrets(self, settings: Mapping[str, object]) -> list[str]:
        return [
            one.name
            for one in {secret.name: secret for secret in self.file.login.secrets.values()}.values()
            if not one.optional and not self._secret(one.name, settings)
        ]
