"""Extensions of Prefect: an event loop task runner, concurrency slots, a temporary server."""
