"""What a run says: Markdown, tables, one line of JSON."""
