"""Plan what is left, build prompts, run batches, commit."""
