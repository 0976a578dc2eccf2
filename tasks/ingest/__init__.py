"""Load sources into the articles table."""
