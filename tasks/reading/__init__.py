"""Read raw rows from the sources that a user names: byte sources, formats, encodings."""
