"""An OpenAI-compatible server without a language model, for the demo, tests and benchmarks."""
