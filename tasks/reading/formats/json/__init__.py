"""JSON documents of any layout, and JSON Lines."""
