"""Prefect flows that enrich tables of articles with columns only a language model can write."""

import os

# Before pyarrow is imported: its default pool, mimalloc, keeps for each thread what a part took
# to write; a run of 20,000 articles peaked at 345 MB with it, and at 244 MB without.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
