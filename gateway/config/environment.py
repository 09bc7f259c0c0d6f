"""The gateway's own settings: GATEWAY_* variables, each readable from a file named by GATEWAY_*_FILE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.core.errors import SettingsError


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
    Variable("STOP_S", "10", "Seconds a graceful stop may take, 1 to 60."),
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
    stop_s: int


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
    "stop_s": (1, 60),
}
_WORDS = {"log_level": ("debug", "info", "warning", "error"), "log_form": ("json", "text", "auto")}


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
    return msgspec.convert(values, Environment)


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
    return Path(text) if field in ("data", "mappings") else text
