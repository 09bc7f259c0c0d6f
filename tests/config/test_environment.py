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


ALERTING = {
    "GATEWAY_ALERT_WEBHOOK_URL": "https://hooks.example.com/x",
    "GATEWAY_ALERT_WEBHOOK_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    "GATEWAY_ALERT_EMAIL_TO": "ops@example.com, night@example.com",
    "GATEWAY_ALERT_EMAIL_FROM": "gateway@example.com",
    "GATEWAY_SMTP_HOST": "mail.example.com",
}


def test_where_alerts_go_is_read_whole():
    """Recipients as a list; port and security as documented."""
    settings = read_environment(ALERTING)
    assert (settings.alert_email_to, settings.smtp_port, settings.smtp_security) == (
        ("ops@example.com", "night@example.com"), 587, "starttls",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"GATEWAY_ALERT_WEBHOOK_URL": "ftp://x"}, "GATEWAY_ALERT_WEBHOOK_URL must"),
        ({"GATEWAY_ALERT_WEBHOOK_SECRET": ""}, "GATEWAY_ALERT_WEBHOOK_SECRET must"),
        ({"GATEWAY_ALERT_WEBHOOK_SECRET": "hunter2"}, "GATEWAY_ALERT_WEBHOOK_SECRET must"),
        ({"GATEWAY_ALERT_EMAIL_TO": "Ops <ops@example.com>"}, "GATEWAY_ALERT_EMAIL_TO must"),
        ({"GATEWAY_ALERT_EMAIL_TO": ",".join(["a@example.com"] * 21)}, "more than 20"),
        ({"GATEWAY_ALERT_EMAIL_FROM": ""}, "GATEWAY_ALERT_EMAIL_FROM must"),
        ({"GATEWAY_SMTP_HOST": ""}, "GATEWAY_SMTP_HOST is not set"),
        ({"GATEWAY_SMTP_SECURITY": "ssl"}, "GATEWAY_SMTP_SECURITY must be one of"),
        ({"GATEWAY_SMTP_PORT": "0"}, "GATEWAY_SMTP_PORT must be"),
    ],
)
def test_where_alerts_go_is_checked(changed, named):
    """What is missing or wrong is named, and no secret is repeated."""
    with pytest.raises(SettingsError) as caught:
        read_environment(ALERTING | changed)
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)
