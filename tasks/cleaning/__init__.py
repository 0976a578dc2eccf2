"""Turn raw rows into articles: column mapping, text cleaning, language detection, filters."""
