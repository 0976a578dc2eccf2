"""The gateway of a run to its endpoint: queue, workers and requests."""
