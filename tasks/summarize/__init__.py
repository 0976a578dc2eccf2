"""Plan the open articles, build prompts, run batches, and commit the answers."""
