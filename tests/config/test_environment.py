"""GATEWAY_* variables: defaults, bounds, files, and every problem at once."""

from pathlib import Path

import pytest

from gateway.config.environment import read_environment
from gateway.core.errors import SettingsError


def test_nothing_set_gives_the_documented_defaults():
    """An empty environment is enough."""
    settings = read_environment({"PATH": "/bin"})
    assert (settings.port, settings.admin_port, settings.data, settings.mappings) == (
        8080,
        8081,
        Path("data"),
        Path("mappings"),
    )


def test_a_value_may_come_from_a_file(tmp_path):
    """GATEWAY_X_FILE is read and stripped."""
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    assert read_environment({"GATEWAY_ADMIN_TOKEN_FILE": str(file)}).admin_token == "s3cret"


def test_all_problems_are_told_at_once(tmp_path):
    """Unknown names, bad numbers, unreadable files, and a value given twice."""
    file = tmp_path / "there"
    file.write_text("x")
    variables = {
        "GATEWAY_PROT": "1",
        "GATEWAY_PORT": "70000",
        "GATEWAY_STOP_S": "soon",
        "GATEWAY_LOG_LEVEL": "loud",
        "GATEWAY_KEY_FILE": str(tmp_path / "missing"),
        "GATEWAY_ADMIN_TOKEN": "a",
        "GATEWAY_ADMIN_TOKEN_FILE": str(file),
    }
    with pytest.raises(SettingsError) as caught:
        read_environment(variables)
    for name in (
        "GATEWAY_PROT",
        "GATEWAY_PORT",
        "GATEWAY_STOP_S",
        "GATEWAY_LOG_LEVEL",
        "GATEWAY_KEY_FILE",
        "GATEWAY_ADMIN_TOKEN",
    ):
        assert name in str(caught.value)
