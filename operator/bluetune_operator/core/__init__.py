"""Decisions: pure functions of what was observed and the time."""
