"""Ways to reach a model over HTTP."""
