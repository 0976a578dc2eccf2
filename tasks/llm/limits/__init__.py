"""Limits on requests: concurrency, rate, budget, circuit breaker and retries."""
