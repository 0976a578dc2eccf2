"""Errors, the schema of articles, signals."""
