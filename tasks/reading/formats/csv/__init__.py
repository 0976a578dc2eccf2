"""CSV and TSV in any dialect."""
