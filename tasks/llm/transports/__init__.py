"""Transports: ways to reach a model over HTTP."""
