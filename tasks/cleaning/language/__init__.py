"""Language codes, and language detection."""
