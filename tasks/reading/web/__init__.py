"""Polite and bounded HTTP downloads that never reach private networks."""
