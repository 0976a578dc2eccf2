"""Rows that are no article, or a near duplicate of one."""
