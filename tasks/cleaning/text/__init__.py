"""Text cleaning: HTML, control characters, mojibake, JSON."""
