"""Clean text: HTML, control characters, mojibake, JSON."""
