"""Errors, the schema of articles, signals: what every other folder may import."""
