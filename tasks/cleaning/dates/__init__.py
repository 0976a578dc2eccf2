"""Dates as text to moments in UTC."""
