"""From what the user names to files and their formats."""
