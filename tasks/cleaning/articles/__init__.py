"""Articles from records, as whole columns."""
