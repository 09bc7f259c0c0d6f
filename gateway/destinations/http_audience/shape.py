"""A definition file once it is read: frozen values and compiled functions, nothing left to check. `format.py` makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from gateway.core.http_messages import ANSWER_BYTES_MAX
from gateway.core.identifiers import Algorithm, Encoding
from gateway.core.run_limits import RunBreaker, RunRetry
from gateway.destinations.http_audience.templates import TextTemplate
from gateway.destinations.http_audience.trees import Body

ActionName = Literal["add", "update", "remove", "replace"]
ACTION_NAMES: tuple[ActionName, ...] = ("add", "update", "remove", "replace")
Hashing = Literal["on", "off", "auto"]
Format = Literal["json", "form", "ndjson", "lines"]

Expression = Callable[[object], object]
"""A compiled JMESPath expression. Raises AnswerError for data it cannot work on."""

NOTHING: Mapping[str, Expression] = MappingProxyType({})


class AnswerError(Exception):
    """A partner's answer does not have what the definition looks for; the text names the expression, never the data."""


class AskedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A base address that no file can know: it must be given when the destination is configured."""

    label: str
    help: str = ""
    example: str = ""


class FieldRule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `fields`. actions, required_in: None means all. validate: (rule as written, test) pairs, of texts and others."""

    key: str
    label: str
    help: str = ""
    required: bool = False
    required_in: frozenset[str] | None = None
    identifier: bool = False
    any_of: str = ""
    static: bool = False
    actions: frozenset[str] | None = None
    hash: Algorithm | None = None
    hash_encoding: Encoding = "hex"
    normalize: Callable[[str], str] | None = None
    normalizer: str = "none"
    validate: tuple[tuple[str, Callable[[object], bool]], ...] = ()
    on_invalid: Literal["drop", "reject"] = "drop"
    multiple: Literal["first", "all", "reject"] = "first"
    default: object = msgspec.UNSET

    def is_required_in(self, action: str) -> bool:
        """Whether records of this action must have a value."""
        return self.required and self.is_sent_in(action) and (self.required_in is None or action in self.required_in)

    def rejects_in(self, action: str) -> bool:
        """Whether a value that is not valid refuses the record, rather than being dropped."""
        return self.on_invalid == "reject" or self.is_required_in(action)

    def is_sent_in(self, action: str) -> bool:
        """Whether records of this action have the field at all."""
        return self.actions is None or action in self.actions


class TargetKey(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a sync must give: the list's id, its name, a region."""

    key: str
    label: str
    required: bool = False
    default: str | None = None
    fits: Callable[[str], bool] | None = None
    pattern: str = ""
    example: str = ""


class SettingKey(msgspec.Struct, frozen=True, kw_only=True):
    """One value given when the destination is configured."""

    key: str
    label: str
    required: bool = False
    default: str | None = None
    secret: bool = False
    example: str = ""


class Pointing(msgspec.Struct, frozen=True, kw_only=True):
    """How an item of an answer points back at a record: by place, by its own place, or by a field's value as it was sent."""

    in_order: bool = False
    index: Expression | None = None
    index_base: int = 0
    match_field: str = ""
    match_value: Expression | None = None


class RecordErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer lists the records it refused, and what it says of each. when: the items that are errors; None: all."""

    items: Expression
    pointing: Pointing
    when: Expression | None = None
    code: Expression | None = None
    message: Expression | None = None
    retryable: Expression | None = None


class RecordIds(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer lists the records it took. field: whose values they are; empty: any identifier's."""

    items: Expression
    field: str = ""


class Remember(msgspec.Struct, frozen=True, kw_only=True):
    """Values an answer gives for single records, to be kept for their removal."""

    items: Expression
    pointing: Pointing
    values: Mapping[str, Expression]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that only promises: its job's id, and how to ask what became of it."""

    job: Expression
    path: TextTemplate
    until: Expression
    failed: Expression | None
    every_s: float
    timeout_s: float


class ResponseRule(msgspec.Struct, frozen=True, kw_only=True):
    """How one request's answer is read. retry_when, auth_when, whole_when: what a refusal means, where its status does not say.

    success_needs_json: `success` looks into the body, so that a body that is no JSON says neither yes nor no.
    """

    success: Expression | None = None
    success_needs_json: bool = False
    ok_statuses: Mapping[str, frozenset[int]] = MappingProxyType({})
    record_errors: RecordErrors | None = None
    record_ids: RecordIds | None = None
    retry_statuses: frozenset[int] = frozenset({408, 423, 425, 429, 500, 502, 503, 504})
    auth_statuses: frozenset[int] = frozenset({401, 403})
    split_statuses: frozenset[int] = frozenset({400, 413, 422})
    retry_when: Expression | None = None
    auth_when: Expression | None = None
    whole_when: Expression | None = None
    job: Job | None = None
    remember: Remember | None = None

    @property
    def tells_records(self) -> bool:
        """Whether a success that cannot be read leaves open what became of the records."""
        return self.record_errors is not None or self.record_ids is not None

    @property
    def reads_body(self) -> bool:
        """Whether a successful status is not all there is to read."""
        return self.tells_records or self.success is not None or self.remember is not None


class RequestRule(msgspec.Struct, frozen=True, kw_only=True):
    """One request of an action, or of the list life cycle. pointer: where it stands in the file.

    address: the path as text, absolute or not; upload: a whole address that an earlier step's answer gives.
    stop_when: on an answer that went well: the steps behind this one have nothing to do.
    saves_lists: names in `save` whose expressions give lists.
    is_foreign: the address is absolute, so neither the login nor the file's headers go there.
    """

    pointer: str
    method: str
    address: TextTemplate
    address_text: str
    is_foreign: bool = False
    is_given: bool = False
    query: tuple[tuple[str, TextTemplate], ...] = ()
    headers: tuple[tuple[str, TextTemplate], ...] = ()
    body: Body | None = None
    format: Format = "json"
    response: ResponseRule = ResponseRule()
    save: Mapping[str, Expression] = NOTHING
    saves_lists: frozenset[str] = frozenset()
    stop_when: Expression | None = None

    @property
    def needs_steps(self) -> bool:
        """Whether its body holds something that an earlier step's answer gives."""
        return self.body is not None and any(path[0] == "steps" for path in self.body.paths)


class SessionRule(msgspec.Struct, frozen=True, kw_only=True):
    """A whole list may take several requests. first: number of the first; life_s: an older one is not gone on with."""

    first: int = 1
    life_s: float = 3_600.0


SESSION_KEYS = ("id", "seq", "is_last", "size")


class ActionRule(msgspec.Struct, frozen=True, kw_only=True):
    """One action with its own requests. group_by: fields whose values must agree within a batch.

    session: `replace` is an upload of several requests; None: of one.
    """

    name: ActionName
    requests: tuple[RequestRule, ...]
    records_max: int = 1
    body_bytes_max: int = 4_000_000
    group_by: tuple[str, ...] = ()
    session: SessionRule | None = None

    @property
    def record_fields(self) -> list[str]:
        """Record fields that its requests read, in order; `*` where whole records are sent."""
        return names_read(self.requests, "record")

    @property
    def target_keys(self) -> list[str]:
        """Target values that its requests read."""
        return names_read(self.requests, "connection")


class ListRule(msgspec.Struct, frozen=True, kw_only=True):
    """The optional life cycle of a list: how to find one, make one, delete one."""

    get: RequestRule | None = None
    create: RequestRule | None = None
    delete: RequestRule | None = None


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A reference, never a value. name: a setting of the destination, else an environment variable.

    optional: without it a login works all the same.
    """

    name: str
    optional: bool = False


OAUTH_LOGINS = frozenset({"oauth2_client_credentials", "oauth2_refresh_token"})
"""Logins that fetch a token first."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """`auth`: its type, plain texts, and references to secrets, by key."""

    type: str = "none"
    texts: Mapping[str, str] = MappingProxyType({})
    secrets: Mapping[str, Secret] = MappingProxyType({})


class PemSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where a PEM text is read. key: the member of `tls` it stands for; name: of a secret, of a variable, or a file's path."""

    key: str
    kind: Literal["secret", "env", "file"]
    name: str


class TlsRule(msgspec.Struct, frozen=True, kw_only=True):
    """What connections to the partner show and trust. certificate, key: the client's own. authorities: instead of the shipped."""

    certificate: PemSource | None = None
    key: PemSource | None = None
    authorities: PemSource | None = None

    @property
    def sources(self) -> tuple[PemSource, ...]:
        """Those that are given."""
        return tuple(one for one in (self.certificate, self.key, self.authorities) if one is not None)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How hard the partner may be pressed, and where requests may go. hosts: exact names, besides the base URL's own."""

    requests_per_second: float = 10.0
    concurrency: int = 4
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    retry: RunRetry = RunRetry()
    breaker: RunBreaker = RunBreaker()
    max_response_bytes: int = ANSWER_BYTES_MAX
    allow_hosts: frozenset[str] = frozenset()
    allow_private: bool = False
    tls: TlsRule | None = None
    idempotency_header: str = ""
    debug_samples: int = 0


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the sync engine may plan. full_replace_every_s: a whole list is due that often."""

    add: bool
    update: bool
    remove: bool
    replace: bool
    identifier_update: bool = False
    idempotent: bool = True
    min_distinct: int = 0
    full_replace_every_s: float | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A record the file tries itself on. rejected: the code it must be refused with; empty: it must be sent."""

    id: str
    action: ActionName
    fields: dict[str, object]
    rejected: str = ""
    pointer: str = ""


class DefinitionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file. actions: by the name asked for; those with `same_as` are the very action they share.

    base_url: empty where it is asked for (asked_address). notes, sources: for the docs page, which is `page` where it has one.
    digest: of everything in the file; fields_digest: of its fields, which decide what a record is.
    """

    slug: str
    name: str
    names: tuple[str, ...] = ()
    docs: str = ""
    description: str = ""
    api_version: str = ""
    checked_on: str = ""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    base_url: str
    asked_address: AskedAddress | None = None
    login: Login
    headers: tuple[tuple[str, TextTemplate], ...] = ()
    settings: tuple[SettingKey, ...] = ()
    target: tuple[TargetKey, ...] = ()
    fields: Mapping[str, FieldRule] = MappingProxyType({})
    actions: Mapping[str, ActionRule] = MappingProxyType({})
    limits: Limits = Limits()
    lists: ListRule = ListRule()
    capabilities: Capabilities
    samples: tuple[Sample, ...] = ()
    allow_http: bool = False
    file: str = ""
    page: str = ""
    digest: str = ""
    fields_digest: str = ""

    @property
    def needs_audience_id(self) -> bool:
        """Whether no request can go out before the list's id is known."""
        return any(one.key == AUDIENCE_ID and one.required and one.default is None for one in self.target)


AUDIENCE_ID = "audience_id"
AUDIENCE_NAME = "audience_name"


def names_read(requests: tuple[RequestRule, ...], root: str) -> list[str]:
    """What requests read below one root, in order, each once."""
    found: dict[str, None] = {}
    for request in requests:
        templates = [request.address, *(one for _, one in (*request.query, *request.headers))]
        templates += [request.response.job.path] if request.response.job is not None else []
        for paths in (*(template.paths for template in templates), request.body.paths if request.body else ()):
            for path in paths:
                if path[0] == root:
                    found[path[1] if len(path) > 1 else "*"] = None
    return list(found)
