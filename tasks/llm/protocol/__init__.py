"""Requests, responses and errors of an OpenAI-compatible endpoint, apart from transport."""
