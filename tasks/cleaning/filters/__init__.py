"""Filters for rows that are not articles, or near duplicates of one."""
