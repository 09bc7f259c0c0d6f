"""Tells people of alerts. Notices wait in the store; here they go out, and nobody who raises one waits for that."""
