"""Parsing of dates in any usual form, to UTC."""
