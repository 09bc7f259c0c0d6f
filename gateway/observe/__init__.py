"""Logs and metrics: what the rooms tell operators. Nothing personal passes through here."""
