"""What Prefect lacks: an event loop task runner, slots, a temporary server."""
