"""Resolve the sources that the user names to files and their formats."""
