"""The kinds of byte sources: archives, compressed files, object stores, the web, pipes."""
