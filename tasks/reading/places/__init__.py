"""Where bytes are: archives, compressed files, object stores, the web."""
