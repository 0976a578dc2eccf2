"""An OpenAI-compatible server that needs no model: for the demo, for tests and for benchmarks."""
