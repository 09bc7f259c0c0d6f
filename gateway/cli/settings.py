"""The GATEWAY_* settings as commands read them."""

from __future__ import annotations

import os

from gateway.cli.output import EXIT_INVALID, fail
from gateway.config.environment import Environment, read_environment
from gateway.core.errors import SettingsError


def environment() -> Environment:
    """Read the GATEWAY_* settings, or end with every problem named."""
    try:
        return read_environment(os.environ)
    except SettingsError as error:
        fail(str(error), code=EXIT_INVALID)
