"""One gateway for each process and endpoint: queue, workers, requests."""
