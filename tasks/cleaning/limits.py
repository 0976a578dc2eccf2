"""Limits that are settings as well; without what the rules import, as the settings load first."""

MAX_CHARS = 1_000_000
"""About 250,000 tokens of English: more than nearly all models take."""
