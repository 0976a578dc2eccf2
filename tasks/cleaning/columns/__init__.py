"""The mapping from a source's columns to the columns of the articles table."""
