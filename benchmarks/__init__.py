"""Benchmarks of article-flows against simpler ways to do the same work, measured side by side."""
