"""Concurrency, rate, budget, circuit breaker, retries."""
