"""Summaries, headlines, keywords and categories taken from a text itself: no language model."""
