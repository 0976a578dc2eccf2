"""From whatever a user points at to raw rows: places, formats, encodings."""
