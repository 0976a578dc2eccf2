"""Chat requests, completions, errors, prices."""
