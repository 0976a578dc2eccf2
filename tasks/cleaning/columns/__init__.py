"""Which column of a source is which column of the articles table."""
