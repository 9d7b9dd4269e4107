"""Decisions: pure functions of what was observed."""
