"""Convert chunks of records into columns of the articles table."""
