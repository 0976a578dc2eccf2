"""The Prefect flows: ingest, summarize, and the pipeline of both."""
