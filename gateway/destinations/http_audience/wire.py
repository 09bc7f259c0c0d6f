"""From prepared records to requests: who shares one, where it is cut, its URL, headers and body. Pure; `answers.py` reads back."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final
from urllib.parse import urlsplit

import msgspec

from gateway.core.http_messages import Request
from gateway.destinations.http_audience.bodies import CONTENT_TYPES, body_bytes, encoded, template_failed
from gateway.destinations.http_audience.fields import Record, Rejection
from gateway.destinations.http_audience.login import login_headers, login_query
from gateway.destinations.http_audience.shape import ActionRule, AnswerError, DefinitionFile, RequestRule
from gateway.destinations.http_audience.templates import UnresolvedError, header_text, path_text, query_text

URL_CHARS_MAX: Final = 16_000  # ours; most servers stop at 8,000


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One prepared record. place: in the batch it came with; asked: the action wanted; facts: what its list is called."""

    place: int
    id: object
    asked: str
    action: ActionRule
    record: Record
    facts: Facts


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What records of one list share in templates: `$.connection`, `$.audience`, `$.run`, `$.session`."""

    connection: dict[str, object]
    audience: dict[str, object]
    run: dict[str, object] = {}
    session: dict[str, object] = {}


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One batch ready to go. bodies: one for each request of the action, None where it has none. rejected: on the way."""

    action: ActionRule
    items: tuple[Item, ...]
    scope: dict[str, object]
    bodies: tuple[bytes | None, ...]
    rejected: tuple[tuple[Item, Rejection], ...] = ()


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a configured destination adds to its definition. secrets: by the key of `auth`; token: OAuth's.

    token_url: instead of the file's, when it is given. sent_at_s: when this request goes out, in Unix seconds.
    """

    base_url: str
    settings: dict[str, object]
    secrets: dict[str, str]
    token: str = ""
    token_url: str = ""
    sent_at_s: int = 0


# --- Batches ---


def batches(file: DefinitionFile, items: Sequence[Item], settings: dict[str, object]) -> Iterator[Made]:
    """Batches in the order of their first records; each is made when it is asked for, so that one is in memory at a time."""
    groups: dict[object, Group] = {}
    for item in items:
        key = (item.action.name, _text(item.facts), _text([item.record.get(name) for name in item.action.group_by]))
        if key not in groups:
            groups[key] = Group(file, item.action, item.facts, settings)
        groups[key].queue.append(item)
    waiting = [(group.queue[0].place, number, group) for number, group in enumerate(groups.values())]
    heapify(waiting)
    while waiting:
        _, number, group = heappop(waiting)
        yield group.next()
        if group.queue:
            heappush(waiting, (group.queue[0].place, number, group))


class Group:
    """Records that may share a request, in order. queue: those that still wait."""

    def __init__(self, file: DefinitionFile, action: ActionRule, facts: Facts, settings: dict[str, object]) -> None:
        self.queue: deque[Item] = deque()
        self._file = file
        self._action = action
        self._facts = facts
        self._settings = settings
        self._hint = (
            action.records_max
        )  # How many are tried at once; what the last batch took, where bytes are the bound.

    def next(self) -> Made:
        """Take as many records as fit both limits. Records that cannot be sent at all are handed back as rejected."""
        most = min(self._action.records_max, len(self.queue))
        count = min(most, self._hint)
        items = [self.queue.popleft() for _ in range(count)]
        made, size = self._make(items)
        while size <= self._action.body_bytes_max:
            if count >= most:
                self._hint = self._action.records_max if count >= self._action.records_max else max(self._hint, count)
                return made
            count = min(most, count * 2)
            items.extend(self.queue.popleft() for _ in range(count - len(items)))
            made, size = self._make(items)
        return self._largest(made, size)

    def render(self, items: Sequence[Item]) -> Made:
        """These records as one batch once more, which they were before."""
        made, _ = self._make(items)
        return made

    def _largest(self, whole: Made, size: int) -> Made:
        """The longest beginning that fits; sizes are guessed at between what is known to fit and what is known not to."""
        limit, items = self._action.body_bytes_max, whole.items
        fits, fits_size, over, over_size = 0, 0, len(items), size
        best: Made | None = None
        while over - fits > 1:
            guess = fits + int((over - fits) * (limit - fits_size) / max(1, over_size - fits_size))
            made, made_size = self._make(items[: min(max(guess, fits + 1), over - 1)])
            if made_size <= limit:
                best, fits, fits_size = made, len(made.items), made_size
            else:
                over, over_size = len(made.items), made_size
        if best is None:
            self.queue.extendleft(reversed(items[1:]))
            return self._too_large(whole, items[0], over_size if over == 1 else size)
        self.queue.extendleft(reversed(items[fits:]))
        self._hint = fits + 1
        return msgspec.structs.replace(best, rejected=(*whole.rejected, *best.rejected))

    def _too_large(self, whole: Made, item: Item, size: int) -> Made:
        limit = self._action.body_bytes_max
        rejection = Rejection(
            code="record_too_large",
            message=f"The body for this record alone has {size} bytes, and {limit} are allowed; send less of it.",
            details={"bytes": size, "limit": limit},
        )
        return Made(action=self._action, items=(), scope={}, bodies=(), rejected=(*whole.rejected, (item, rejection)))

    def _make(self, items: Sequence[Item]) -> tuple[Made, int]:
        """Render every body for these records; those that fail leave, and the rest is rendered without them."""
        left, rejected = list(items), list[tuple[Item, Rejection]]()
        while True:
            scope = self._scope(left)
            bodies: list[bytes | None] = []
            failed: dict[int, Rejection] = {}
            whole: Rejection | None = None
            for request in self._action.requests:
                body, record_failures, failure = body_bytes(request, scope, len(left))
                bodies.append(body)
                failed |= record_failures
                if not request.needs_steps:  # Else it is rendered again, once it is known what they gave.
                    whole = whole or failure
            if failed:
                rejected += [(left[index], failed[index]) for index in sorted(failed)]
                left = [item for index, item in enumerate(left) if index not in failed]
            elif whole is not None:
                rejected += [(item, whole) for item in left]
                left = []
            if not left:
                return Made(action=self._action, items=(), scope={}, bodies=(), rejected=tuple(rejected)), 0
            if not failed:
                break
        made = Made(action=self._action, items=tuple(left), scope=scope, bodies=tuple(bodies), rejected=tuple(rejected))
        return made, max((len(body) for body in bodies if body is not None), default=0)

    def _scope(self, items: Sequence[Item]) -> dict[str, object]:
        records: list[object] = [item.record for item in items]
        connection, action = self._facts.connection, self._action
        ids = [item.id for item in items]
        scope: dict[str, object] = {
            "records": records,
            "connection": connection,
            "settings": self._settings,
            "audience": self._facts.audience,
            "batch": {
                "id": batch_id(self._file.slug, action.name, connection, ids, records),
                "size": len(items),
                "action": action.name,
            },
            "run": self._facts.run,
            "steps": {},
        }
        if action.session is not None:
            # Where no list is under way, what is shown is the whole of it: one request, the first and the last.
            alone = {"id": 1, "seq": action.session.first, "is_last": True, "size": len(items)}
            scope["session"] = {**alone, **self._facts.session}
        if action.records_max == 1:
            scope["record"], scope["index"] = records[0], 0
        return scope


def batch_id(slug: str, action: str, connection: object, ids: Sequence[object], records: object) -> str:
    """The same for the same records on every try, and for no others: delivery ids alone may come again."""
    text = encoded([slug, action, connection, list(ids), records])
    return hashlib.blake2b(text, digest_size=16, person=b"audience-batch").hexdigest()


# --- Requests ---


def build_request(
    file: DefinitionFile, request: RequestRule, scope: dict[str, object], body: bytes | None, access: Access
) -> Request | Rejection:
    """One HTTP request, or why there is none.

    Raises LoginError for credentials that cannot be sent, AnswerError for an address from an earlier answer that may not be
    gone to.
    """
    try:
        url = _url(file, request, scope, access)
        headers = _headers(file, request, scope, body, access, url=url)
    except UnresolvedError as error:
        return Rejection(
            code="endpoint_unresolved",
            message=f"{error} (in {request.pointer}); give it a value that can stand there.",
            details={"placeholder": error.place},
        )
    if len(url) > URL_CHARS_MAX:
        return template_failed(f"{request.pointer}/path", f"the URL has more than {URL_CHARS_MAX} characters")
    return Request(
        method=request.method,
        url=url,
        headers=headers,
        body=body or b"",
        timeout_s=file.limits.connect_timeout_s + file.limits.read_timeout_s,
        connect_s=file.limits.connect_timeout_s,
    )


def _url(file: DefinitionFile, request: RequestRule, scope: dict[str, object], access: Access) -> str:
    if request.is_given:
        return _given_address(file, request, scope)
    path = path_text(request.address, scope)
    url = path if request.is_foreign else joined_address(access.base_url, path)
    query = [query_text(request.query, scope)]
    if not request.is_foreign:
        query.append(login_query(file.login, access.secrets))
    parameters = "&".join(part for part in query if part)
    return f"{url}{'&' if '?' in url else '?'}{parameters}" if parameters else url


def joined_address(base_url: str, path: str) -> str:
    """The base without a slash at its end, the path with one at its beginning; an empty path is the base itself."""
    base = base_url.removesuffix("/")
    return base + path if not path or path.startswith(("/", "?")) else f"{base}/{path}"


def _given_address(file: DefinitionFile, request: RequestRule, scope: dict[str, object]) -> str:
    """An address that an earlier answer gave: whole, and only on a host that the definition lists."""
    single = request.address.single
    assert single is not None
    steps = scope["steps"]
    address = steps.get(single[1]) if isinstance(steps, dict) and len(single) == 2 else None
    if not isinstance(address, str) or len(address) > URL_CHARS_MAX:
        raise AnswerError(f"`{request.address_text}` is no address")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise AnswerError(f"`{request.address_text}` is no address") from None
    host = (parts.hostname or "").lower()
    named = host if port in (None, {"https": 443, "http": 80}.get(parts.scheme)) else f"{host}:{port}"
    is_plain = address.isascii() and address.isprintable() and " " not in address and "\\" not in address
    if parts.scheme not in ({"https", "http"} if file.allow_http else {"https"}) or not is_plain or "@" in parts.netloc:
        raise AnswerError(f"`{request.address_text}` is no address that may be gone to")
    if named not in file.limits.allow_hosts:
        raise AnswerError(f"the host that `{request.address_text}` names is not in `limits.allow_hosts`")
    return address


def _headers(
    file: DefinitionFile,
    request: RequestRule,
    scope: dict[str, object],
    body: bytes | None,
    access: Access,
    *,
    url: str,
) -> dict[str, str]:
    """Later ones replace earlier ones of the same name in any case: content type, the file's, the request's, ours, the login."""
    headers = _Headers()
    if body is not None:
        headers.put("Content-Type", CONTENT_TYPES[request.format])
    if not request.is_foreign:
        for name, template in file.headers:
            headers.put(name, header_text(template, scope))
    for name, template in request.headers:
        headers.put(name, header_text(template, scope))
    if not request.is_foreign:
        batch = scope.get("batch")
        if file.limits.idempotency_header and isinstance(batch, dict):
            headers.put(file.limits.idempotency_header, str(batch["id"]))
        login = login_headers(
            file.login,
            access.secrets,
            access.token,
            body or b"",
            message_id=_message_id(batch, request.method, url, body),
            sent_at_s=access.sent_at_s,
        )
        for name, value in login.items():
            headers.put(name, value)
    return headers.all


def _message_id(batch: object, method: str, url: str, body: bytes | None) -> str:
    """The same on every try: the batch's, or what a request without records says."""
    if isinstance(batch, dict):
        return f"msg_{batch['id']}"
    text = f"{method} {url}\n".encode() + (body or b"")
    return f"msg_{hashlib.blake2b(text, digest_size=16, person=b'audience-list').hexdigest()}"


class _Headers:
    def __init__(self) -> None:
        self.all: dict[str, str] = {}

    def put(self, name: str, value: str) -> None:
        for other in [one for one in self.all if one.lower() == name.lower()]:
            del self.all[other]
        self.all[name] = value


def _text(value: object) -> bytes:
    return encoded(msgspec.to_builtins(value) if isinstance(value, Facts) else value)


def shown_path(request: RequestRule) -> str:
    """Method and path for people and logs, its places not filled in."""
    return f"{request.method} {request.address_text or '/'}"


def non_secret(settings: Mapping[str, object], file: DefinitionFile) -> dict[str, object]:
    """`$.settings`: what was configured, secrets left out, defaults filled in."""
    return {
        one.key: settings.get(one.key, one.default)
        for one in file.settings
        if not one.secret and settings.get(one.key, one.default) is not None
    }
