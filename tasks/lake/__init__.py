"""Tables of immutable Parquet parts: write, merge, supersede."""
