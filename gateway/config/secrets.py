"""References to secrets: `{"$env": "NAME"}` and `{"$file": "/run/secrets/x"}` become texts; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.config.files import Findings

SECRET_BYTES_MAX = 64 * 1024


class SecretSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where references are looked up. strict: a missing one is an error, else a warning and a placeholder."""

    variables: Mapping[str, str]
    strict: bool = True


def is_reference(value: object) -> bool:
    """Tell whether a value is a reference to a secret."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("$env", "$file")


def resolve(value: object, pointer: str, findings: Findings, secrets: SecretSource) -> str | None:
    """Return the text a reference stands for, or None after reporting why there is none."""
    assert isinstance(value, dict)
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name:
        findings.add(f"{pointer}/{kind}", f"`{kind}` must name {'a variable' if kind == '$env' else 'a file'}.")
        return None
    text, problem = _from_variable(name, secrets) if kind == "$env" else _from_file(name)
    if text is None:
        severity = "error" if secrets.strict else "warning"
        mend = f"Set it, for example `export {name}=…`." if kind == "$env" else "Put the secret there, as plain text."
        findings.add(pointer, problem, mend, severity=severity)
        return None if secrets.strict else "secret-not-set"
    return text


def _from_variable(name: str, secrets: SecretSource) -> tuple[str | None, str]:
    text = secrets.variables.get(name, "").strip()
    return (text, "") if text else (None, f"The environment variable {name} is not set.")


def _from_file(name: str) -> tuple[str | None, str]:
    try:
        data = Path(name).read_bytes()[: SECRET_BYTES_MAX + 1]
        text = data.decode("utf-8").strip()
    except UnicodeError:
        return None, f"The secret file {name} is not UTF-8 text."
    except OSError as error:
        return None, f"The secret file {name} cannot be read: {error.strerror or type(error).__name__}."
    if len(data) > SECRET_BYTES_MAX:
        return None, f"The secret file {name} is larger than {SECRET_BYTES_MAX} bytes."
    return (text, "") if text else (None, f"The secret file {name} is empty.")
