"""Reports of runs as Markdown and JSON."""
