"""What all readers share: byte sources, streams, rows, encodings."""
