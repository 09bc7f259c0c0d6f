"""Fake partners as real servers on loopback, for `gateway sandbox`, the demo and the tests; imports no other room."""
