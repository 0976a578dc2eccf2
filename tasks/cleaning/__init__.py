"""From raw rows to articles: which column is what, clean text, languages, rules."""
