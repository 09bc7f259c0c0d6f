"""Small files in the data folder by which processes find each other: who runs where, and the generated keys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from gateway.core.errors import SettingsError


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A running role. port: the one it really listens on."""

    role: str
    pid: int
    host: str
    port: int


def write_run_file(data: Path, run: RunFile) -> Path:
    """Say that a role runs; written whole or not at all."""
    folder = data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.role}.json"
    fresh = path.with_suffix(f".{run.pid}.new")
    fresh.write_bytes(msgspec.json.encode(run))
    fresh.replace(path)
    return path


def read_run_file(data: Path, role: str) -> RunFile | None:
    """The role's run file when its process is alive, else None."""
    try:
        run = msgspec.json.decode((data / "run" / f"{role}.json").read_bytes(), type=RunFile)
        os.kill(run.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return run


def remove_run_file(data: Path, run: RunFile) -> None:
    """Take it away at a clean stop, unless another process has taken the role since."""
    if read_run_file(data, run.role) == run:
        (data / "run" / f"{run.role}.json").unlink(missing_ok=True)


def kept_key(data: Path, name: str, given: str) -> str:
    """Return the key given by a setting, else the one kept in the data folder, made at the first call (mode 0600)."""
    if given:
        return given
    path = data / f"{name}.key"
    try:
        return _existing(path) or _made(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read or written: {error.strerror or type(error).__name__}.") from error


def _existing(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _made(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        os.link(fresh, path)  # fails when another process was first: its key counts
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return _existing(path)
