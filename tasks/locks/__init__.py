"""One writer where one is needed."""
