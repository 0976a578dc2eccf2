"""From sources to the articles table."""
