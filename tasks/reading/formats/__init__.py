"""Readers for the supported file formats, and the registry that picks one."""
