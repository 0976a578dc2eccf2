"""Commands that only look: status, verify, inspect, dry run."""
