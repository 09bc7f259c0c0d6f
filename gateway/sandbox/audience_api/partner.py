"""The fake audience API: a few routes with three kinds of login, limits, and an answer that names the records it refused."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.audience_api.configuration import AudienceApiConfiguration
from gateway.sandbox.audience_api.lists import AudienceList, Lists, RecordError
from gateway.sandbox.calls import Call
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.kept_partner import KeptPartner, Shown
from gateway.sandbox.request_log import LoggedRequest
from gateway.sandbox.showing import Json, readable, row
from gateway.sandbox.tokens import GivenTokens

READ_BYTES_MAX = 80 * 1024 * 1024
KEYS_MAX = 100_000  # idempotency keys remembered
PAGE_ROWS_MAX = 100
PAGE_REQUESTS_MAX = 20
TARGETS = ("add", "remove", "replace", "tag", "untag", "list", "token")

UNTAGGED = object()


class AudienceApi(KeptPartner[AudienceApiConfiguration]):
    """The partner of this name. clock: seconds; tokens end by it."""

    name = "audience-api"
    title = "Audience API"
    template = "audience_api/page.html"
    fault_targets = TARGETS
    body_bytes_max = READ_BYTES_MAX

    def __init__(
        self, configuration: AudienceApiConfiguration | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        super().__init__(configuration or AudienceApiConfiguration(), {"expire-tokens": self.expire_tokens})

    def members(self, list_id: str) -> frozenset[str]:
        """The identifiers that are on a list now."""
        found = self.lists.all.get(list_id)
        return frozenset(found.users) if found is not None else frozenset()

    def headline(self, logged: LoggedRequest) -> str:
        """`add 2 people, list 9001`; other calls as everywhere."""
        users = _users_of(logged)
        if logged.problem or users is None or not logged.names:
            return super().headline(logged)
        people = f"{len(users)} {'person' if len(users) == 1 else 'people'}"
        return f"{logged.names[0]} {people}, list {logged.path.split('/')[-2]}"

    def expire_tokens(self) -> None:
        """No token that was given out is good any more: the next request with one is a 401."""
        with self.changes.change():
            self._tokens.expire()

    def counts(self) -> dict[str, int]:
        """Every counter: requests, users taken, replays, faults, statuses (`status_200` …)."""
        return self._counted("requests", "users", "replays")

    def state(self, rows_max: int) -> object:
        """Lists with their people, tags, counters."""
        return {
            "version": self.changes.version,
            "counters": self.counts(),
            "lists": {list_id: _shown(one, rows_max) for list_id, one in islice(self.lists.all.items(), rows_max)},
            "tags": {
                tag: dict(islice(one.items(), rows_max)) for tag, one in islice(self.lists.tags.items(), rows_max)
            },
        }

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every list by name, with its size."""
        with self.changes.reading():
            return sorted((one.name, len(one.users)) for one in self.lists.all.values())

    def page(self) -> Mapping[str, object]:
        """What `page.html` needs."""
        with self.changes.reading():
            return {
                "endpoint": f"/{self.name}/v3",
                "counters": self.counts(),
                "configuration": self.configuration,
                "lists_total": len(self.lists.all),
                "lists": [
                    {"id": list_id, **_shown(one, PAGE_ROWS_MAX)}
                    for list_id, one in islice(self.lists.all.items(), PAGE_ROWS_MAX)
                ],
                "tags": {tag: list(islice(one, PAGE_ROWS_MAX)) for tag, one in self.lists.tags.items()},
                "requests": [
                    row(logged, readable(logged.body)) for logged in reversed(self.log.latest(PAGE_REQUESTS_MAX))
                ],
            }

    def _begin(self) -> None:
        super()._begin()
        self.lists = Lists(self.configuration.lists)
        self._tokens = GivenTokens[str](self._clock)
        self._answers: OrderedDict[tuple[str, str, bytes], Answer] = OrderedDict()

    def _configured(self) -> None:
        for list_id, name in self.configuration.lists.items():
            self.lists.all.setdefault(list_id, AudienceList(name))

    def _decide(self, exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
        """The answer and the fault to show with it. A login comes before everything, a fault before the work."""
        call = _Call(exchange, body or b"")
        logged.names = (call.target,) if call.target else ()
        if call.target != "token" and not self._may(call):
            return _problem(401, "UNAUTHORIZED", "The credentials are missing or wrong."), None
        if body is None or len(body) > self.configuration.body_bytes_max:
            return _problem(413, "TOO_LARGE", "The body is too large."), None
        return self._with_fault(logged, lambda _: self._once(call))

    def _once(self, call: "_Call") -> Answer:
        """The answer; the same as before, and nothing done again, for a request whose key was seen with this very body."""
        key = call.header("idempotency-key")
        known = (key, call.path, hashlib.sha256(call.body).digest())
        if key and known in self._answers:
            self._counter["replays"] += 1
            return self._answers[known]
        answer = self._answer(call)
        if key:
            self._answers[known] = answer
            if len(self._answers) > KEYS_MAX:
                self._answers.popitem(last=False)
        return answer

    def _may(self, call: "_Call") -> bool:
        configuration = self.configuration
        return (
            call.header("x-api-key") == configuration.api_key
            or call.bearer in configuration.tokens
            or self._tokens.owner(call.bearer) is not None
            or call.basic == f"{configuration.user}:{configuration.password}"
        )

    def _answer(self, call: "_Call") -> Answer:
        match (call.method, *call.parts):
            case ("POST", "oauth", "token"):
                return self._token(call)
            case ("GET", "v3", "lists"):
                wanted = call.query.get("name")
                found = [
                    {"id": list_id, "name": one.name}
                    for list_id, one in self.lists.all.items()
                    if wanted in (None, one.name)
                ]
                return json_answer(200, {"data": found})
            case ("POST", "v3", "lists"):
                return self._create(call)
            case ("DELETE", "v3", "lists", list_id):
                is_gone = self.lists.all.pop(list_id, None) is not None
                return json_answer(200, {}) if is_gone else _problem(404, "NO_LIST", "There is no such list.")
            case ("POST" | "DELETE" | "PUT", "v3", "lists", list_id, "users"):
                return self._change(call, list_id)
            case ("PUT" | "DELETE", "v3", "contacts", contact, "tags", tag):
                return self._tag(call, contact, tag)
            case _:
                return _problem(404, "NOT_FOUND", "There is nothing at this address.")

    def _token(self, call: "_Call") -> Answer:
        form = call.form()
        configuration = self.configuration
        given = (form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") != "client_credentials" or given != (configuration.user, configuration.password):
            return json_answer(401, {"error": "invalid_client"})
        token = self._tokens.give(configuration.user, configuration.token_life_s)
        return json_answer(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": configuration.token_life_s}
        )

    def _create(self, call: "_Call") -> Answer:
        given = call.json()
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or not name:
            return _problem(400, "NO_NAME", "A list needs a name.")
        list_id = self.lists.create(name)
        if list_id is None:
            return _problem(409, "TOO_MANY_LISTS", "There are too many lists.")
        return json_answer(201, {"data": {"id": list_id, "name": name}})

    def _change(self, call: "_Call", list_id: str) -> Answer:
        chosen = self.lists.all.get(list_id)
        if chosen is None:
            return _problem(404, "NO_LIST", "There is no such list.")
        users = _users(call.json())
        if users is None:
            return _problem(400, "BAD_BODY", "The body is an object with `users` or `emails`, a list.")
        if len(users) > self.configuration.users_max:
            return _problem(413, "TOO_MANY_USERS", f"At most {self.configuration.users_max} users.")
        trial = Lists({"1": "trial"})
        if self.configuration.bad_records == "refused" and trial.add(trial.all["1"], users):
            return _problem(400, "BAD_USERS", "Some users are not valid; nobody was taken.")
        if call.method == "PUT":
            chosen.users.clear()
        errors = self.lists.remove(chosen, users) if call.method == "DELETE" else self.lists.add(chosen, users)
        self._counter["users"] += len(users) - len(errors)
        return _partial(len(users) - len(errors), errors)

    def _tag(self, call: "_Call", contact: str, tag: str) -> Answer:
        tagged = self.lists.tags.setdefault(tag, {})
        if call.method == "PUT":
            tagged[contact] = call.json()
            return json_answer(200, {})
        is_gone = tagged.pop(contact, UNTAGGED) is not UNTAGGED
        return json_answer(200, {}) if is_gone else _problem(404, "NO_TAG", "The contact has no such tag.")


class _Call(Call):
    @property
    def target(self) -> str:
        """What it is for, for faults."""
        match (self.method, *self.parts):
            case (_, "oauth", "token"):
                return "token"
            case (method, "v3", "lists", _, "users"):
                return {"POST": "add", "DELETE": "remove", "PUT": "replace"}.get(method, "")
            case (method, "v3", "contacts", _, "tags", _):
                return {"PUT": "tag", "DELETE": "untag"}.get(method, "")
            case (_, "v3", "lists", *_):
                return "list"
            case _:
                return ""


def _users_of(logged: LoggedRequest) -> list[object] | None:
    """The people whom a logged request adds, removes or replaces; None where it is about something else."""
    if logged.body is None or not logged.path.endswith("/users"):
        return None
    try:
        return _users(msgspec.json.decode(logged.body))
    except (ValueError, RecursionError):
        return None


def _users(given: object) -> list[object] | None:
    if not isinstance(given, dict):
        return None
    users = given.get("users")
    if isinstance(users, list):
        return users
    emails = given.get("emails")
    return [{"em": email} for email in emails] if isinstance(emails, list) else None


def _partial(accepted: int, errors: list[RecordError]) -> Answer:
    body: Json = {"accepted": accepted, "errors": [msgspec.to_builtins(error) for error in errors]}
    return json_answer(207 if errors else 200, body)


def _problem(status: int, code: str, message: str) -> Answer:
    return json_answer(status, {"error": {"code": code, "message": message}})


def _shown(one: AudienceList, rows_max: int) -> Json:
    return {"name": one.name, "total": len(one.users), "users": list(islice(one.users.values(), rows_max))}
