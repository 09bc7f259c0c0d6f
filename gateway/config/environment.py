"""The gateway's own settings: GATEWAY_* variables, each readable from a file named by GATEWAY_*_FILE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.core.errors import SettingsError
from gateway.core.signatures import standard_key

RECIPIENTS_MAX = 20


class Variable(msgspec.Struct, frozen=True):
    """One documented variable: its name without the prefix, default as text, and what it is for."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable(
        "HOST", "", "Address ingest listens on; empty: every address when sources are configured, else 127.0.0.1."
    ),
    Variable("PORT", "8080", "Port of ingest (/v1/*, /webhook/*); 0 picks a free one."),
    Variable("ADMIN_HOST", "127.0.0.1", "Address the admin port listens on."),
    Variable("ADMIN_PORT", "8081", "Port of the engine (/api/*, /metrics); 0 picks a free one."),
    Variable("ADMIN_TOKEN", "", "Bearer token of the admin API; empty: made once and kept in the data folder."),
    Variable("DATA", "data", "Folder of the databases, the last good rulebook and the generated keys."),
    Variable("MAPPINGS", "mappings", "Folder of the mapping files and sources.json."),
    Variable(
        "KEY", "", "Secret that signs audience ids given to senders; empty: made once and kept in the data folder."
    ),
    Variable("INGEST_PROCESSES", "1", "Number of ingest processes, 1 to 16."),
    Variable("LOG_LEVEL", "info", "debug, info, warning or error."),
    Variable("LOG_FORM", "auto", "json, text, or auto (text at a terminal)."),
    Variable("RETAIN_EVENTS_DAYS", "7", "Days that raw events and their traces are kept, 1 to 90."),
    Variable("RETAIN_DEAD_DAYS", "30", "Days that dead deliveries are kept, 1 to 365."),
    Variable("RETAIN_ATTEMPTS_DAYS", "14", "Days that attempts are kept, 1 to 365."),
    Variable(
        "LATE_WINDOW_DAYS", "30", "Days after which an event is too late for an audience the ledger has long known."
    ),
    Variable("INBOX_FILE_MIB", "1024", "Size at which an inbox file is sealed and the next one begun, 1 to 16384."),
    Variable("BUFFER_MIB", "64", "Bytes that may wait for their commit before senders get a 503, 1 to 1024."),
    Variable("DISK_FREE_MIB", "256", "Free disk space below which senders get a 503."),
    Variable("SYNC_LOG_DIR", "", "Folder that the sync log of every run is written to when it has ended; empty: none."),
    Variable("SYNC_LOG_FORMAT", "ndjson", "Of the files in that folder: ndjson or csv."),
    Variable("SYNC_LOG_MINUTES", "60", "Minutes between two looks for runs to be written there, 1 to 1440."),
    Variable("STOP_S", "10", "Seconds a graceful stop may take, 1 to 60."),
    Variable("ALERT_WEBHOOK_URL", "", "Where alerts of syncs are posted; empty: nowhere."),
    Variable(
        "ALERT_WEBHOOK_SECRET", "", "Signs these posts (Standard Webhooks): `whsec_` and base64; needed with the URL."
    ),
    Variable("ALERT_EMAIL_TO", "", "Who gets alerts by e-mail, with commas between, at most 20; empty: nobody."),
    Variable("ALERT_EMAIL_FROM", "", "The sender of these e-mails; needed with recipients."),
    Variable("SMTP_HOST", "", "The server that takes e-mails; needed with recipients."),
    Variable("SMTP_PORT", "587", "Its port, 1 to 65535."),
    Variable("SMTP_SECURITY", "starttls", "starttls, tls (from the first byte on) or none."),
    Variable("SMTP_USER", "", "User at that server; empty: no login."),
    Variable("SMTP_PASSWORD", "", "Password of that user."),
)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, parsed. Paths are as given; times in days or seconds as named."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    admin_token: str
    data: Path
    mappings: Path
    key: str
    ingest_processes: int
    log_level: str
    log_form: str
    retain_events_days: int
    retain_dead_days: int
    retain_attempts_days: int
    late_window_days: int
    inbox_file_mib: int
    buffer_mib: int
    disk_free_mib: int
    sync_log_dir: str
    sync_log_format: str
    sync_log_minutes: int
    stop_s: int
    alert_webhook_url: str
    alert_webhook_secret: str
    alert_email_to: tuple[str, ...]
    alert_email_from: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    smtp_user: str
    smtp_password: str


_BOUNDS = {
    "port": (0, 65535),
    "admin_port": (0, 65535),
    "ingest_processes": (1, 16),
    "retain_events_days": (1, 90),
    "retain_dead_days": (1, 365),
    "retain_attempts_days": (1, 365),
    "late_window_days": (1, 365),
    "inbox_file_mib": (1, 16384),
    "buffer_mib": (1, 1024),
    "disk_free_mib": (0, 1024 * 1024),
    "sync_log_minutes": (1, 1440),
    "stop_s": (1, 60),
    "smtp_port": (1, 65535),
}
_WORDS = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_form": ("json", "text", "auto"),
    "sync_log_format": ("ndjson", "csv"),
    "smtp_security": ("starttls", "tls", "none"),
}

_WEBHOOK_URL = re.compile(r"https?://[!-~]{1,2000}")
_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}")


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read and check every GATEWAY_* variable. Raises SettingsError that lists all problems, unknown names included."""
    values: dict[str, object] = {}
    known = {f"GATEWAY_{variable.name}" for variable in VARIABLES}
    problems = [
        f"{name} is not a setting of the gateway; `gateway serve --help` lists them."
        for name in sorted(variables)
        if name.startswith("GATEWAY_") and name.removesuffix("_FILE") not in known
    ]
    for variable in VARIABLES:
        field = variable.name.lower()
        text = _text_of(variable, variables, problems)
        values[field] = _parsed(variable.name, field, text, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    settings = msgspec.convert(values, Environment)
    if problems := _alert_problems(settings):
        raise SettingsError("\n".join(problems))
    return settings


def _alert_problems(settings: Environment) -> list[str]:
    """What of the settings for telling alerts is missing or cannot be right."""
    problems = []
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url and not _WEBHOOK_URL.fullmatch(url):
        problems.append("GATEWAY_ALERT_WEBHOOK_URL must be an http or https URL.")
    if url and standard_key(secret) is None:
        problems.append(
            "GATEWAY_ALERT_WEBHOOK_SECRET must be `whsec_` followed by base64; GATEWAY_ALERT_WEBHOOK_URL needs it. "
            "Make one: echo whsec_$(openssl rand -base64 24)"
        )
    if not settings.alert_email_to:
        return problems
    if len(settings.alert_email_to) > RECIPIENTS_MAX:
        problems.append(f"GATEWAY_ALERT_EMAIL_TO names more than {RECIPIENTS_MAX} recipients; give a list's address.")
    if not all(_ADDRESS.fullmatch(one) for one in settings.alert_email_to):
        problems.append("GATEWAY_ALERT_EMAIL_TO must hold plain e-mail addresses, with commas between.")
    if not _ADDRESS.fullmatch(settings.alert_email_from):
        problems.append("GATEWAY_ALERT_EMAIL_FROM must be a plain e-mail address; GATEWAY_ALERT_EMAIL_TO needs it.")
    if not settings.smtp_host:
        problems.append("GATEWAY_SMTP_HOST is not set; GATEWAY_ALERT_EMAIL_TO needs it.")
    return problems


def _text_of(variable: Variable, variables: Mapping[str, str], problems: list[str]) -> str:
    name = f"GATEWAY_{variable.name}"
    file = variables.get(f"{name}_FILE", "")
    if not file:
        return variables.get(name, "") or variable.default
    if variables.get(name):
        problems.append(f"{name} and {name}_FILE are both set; keep one of them.")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        problems.append(f"{name}_FILE: {file} cannot be read ({type(error).__name__}).")
        return variable.default


def _parsed(name: str, field: str, text: str, problems: list[str]) -> object:
    if field in _BOUNDS:
        low, high = _BOUNDS[field]
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            problems.append(f"GATEWAY_{name} must be a whole number from {low} to {high}, but it is `{text}`.")
            return low
        return int(text)
    if field in _WORDS and text not in _WORDS[field]:
        problems.append(f"GATEWAY_{name} must be one of {', '.join(_WORDS[field])}, but it is `{text}`.")
    if field == "alert_email_to":
        return tuple(one for part in text.split(",") if (one := part.strip()))
    return Path(text) if field in ("data", "mappings") else text
