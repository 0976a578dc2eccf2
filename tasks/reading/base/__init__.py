"""Shared by all readers: byte sources, streams, rows, encodings."""
